"""The DHT in the worker's process: a libtorrent session of its own, with no torrents in it.

Apart from the one for files, because it listens to the world, and that one to this machine alone.
Nodes to start from are added as ordinary nodes, not as libtorrent's bootstrap routers, which store
no items: a DHT of one own machine then is one. It listens on the port it had before, or else its
earlier self were a dead node in the tables of others, and costs each of their lookups 15 s.
"""

import ipaddress
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libtorrent as lt

from p2pchat.files.commands import (
    DhtFound,
    DhtGet,
    DhtJoin,
    DhtNodes,
    DhtPut,
    DhtStored,
    Report,
)
from p2pchat.files.durable import write_durably

__all__ = ["DhtSession"]

_LOOK_FIRST_S, _LOOK_S = 0.05, 5.0
_FIRST_S = 3.0
"""For so long the number of nodes is looked at often: somebody waits for the first."""
_JOIN_AGAIN_S = 30.0
_SAVE_S = 900.0
_NODES_MAX = 200
"""Remembered, and asked at the start; each costs a packet."""
_STATE_MAX = 32_768
_UPLOAD_MAX = 64_000
"""Bytes/s. libtorrent's 8,000 drop packets of a single put of 640 bytes to eight nodes."""


def _settings(command: DhtJoin, port: int) -> "lt.settings_pack":  # a name of the stubs alone
    categories = lt.alert.category_t
    settings: lt.settings_pack = {
        "listen_interfaces": ",".join(
            f"{interface.removesuffix(':0')}:{port}" for interface in command.listen.split(",")
        ),
        "enable_dht": True,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_incoming_tcp": False,
        "enable_outgoing_tcp": False,
        "enable_incoming_utp": False,
        "enable_outgoing_utp": False,
        "dht_bootstrap_nodes": "",
        "dht_upload_rate_limit": _UPLOAD_MAX,
        "webtorrent_stun_server": "",
        "user_agent": "p2pchat",
        "alert_mask": categories.dht_notification
        | categories.error_notification
        | categories.status_notification,
    }
    if command.local:
        # Many nodes on one address are many there, and not one that pretends.
        settings |= {
            "dht_restrict_routing_ips": False,
            "dht_restrict_search_ips": False,
            "dht_prefer_verified_node_ids": False,
            "dht_ignore_dark_internet": False,
            "dht_block_ratelimit": 1_000,
        }
    return settings


class DhtSession:
    """Told what to do, and when its alerts can be read, by the worker's one thread."""

    def __init__(
        self, command: DhtJoin, wake: int, send: Callable[[Report], None], now: float
    ) -> None:
        """`wake`: a file descriptor that is written to where there are alerts."""
        self._command = command
        self._send = send
        port, self._remembered = _read(Path(command.state))
        self._session = lt.session(_settings(command, port))
        self._session.set_alert_fd(wake)
        self._gets: dict[bytes, list[DhtGet]] = {}
        self._puts: dict[bytes, list[int]] = {}
        self._nodes = self._counted = 0
        self._began = now
        self._look_at = self._join_at = now
        self._save_at = now + _SAVE_S

    # -- time ----------------------------------------------------------------------------------

    def next_timer(self) -> float:
        return min(self._look_at, self._save_at)

    def keep_time(self, now: float) -> None:
        if now >= self._look_at:
            eager = now - self._began < _FIRST_S or not self._nodes
            self._look_at = now + (_LOOK_FIRST_S if now - self._began < _FIRST_S else 1.0)
            if not eager:
                self._look_at = now + _LOOK_S
            if self._counted == 0 and self._nodes:
                self._told(0)
            self._counted = 0
            self._session.post_dht_stats()
            if not self._nodes and now >= self._join_at:
                self._join_at = now + _JOIN_AGAIN_S
                for host, port in self._command.bootstrap + self._remembered:
                    self._session.add_dht_node((host, port))
        if now >= self._save_at:
            self._save_at = now + _SAVE_S
            self.save()

    # -- commands ------------------------------------------------------------------------------

    def get(self, command: DhtGet) -> None:
        self._gets.setdefault(command.key, []).append(command)
        self._session.dht_get_mutable_item(command.key, b"")

    def put(self, command: DhtPut) -> None:
        self._puts.setdefault(command.key, []).append(command.request)
        # Signed with the seq that is found, plus one.
        self._session.dht_put_mutable_item(command.private, command.key, command.value, b"")

    # -- alerts --------------------------------------------------------------------------------

    def pump(self) -> None:
        for alert in self._session.pop_alerts():
            match alert:
                case lt.dht_mutable_item_alert():
                    self._found(alert)
                case lt.dht_put_alert():
                    waiting = self._puts.get(alert.public_key, [])
                    if waiting:
                        self._send(DhtStored(waiting.pop(0), alert.num_success))
                    if not waiting:
                        self._puts.pop(alert.public_key, None)
                case lt.dht_stats_alert():
                    # One for each address that is listened on.
                    self._counted += sum(row["num_nodes"] for row in alert.routing_table)
                    if self._counted:
                        self._told(self._counted)
                case lt.listen_failed_alert():
                    print(f"DHT: {alert.message()}", file=sys.stderr)  # noqa: T201

    def _found(self, alert: Any) -> None:
        """Told to each that waits as soon as it is what they look for, or when that was all."""
        value = alert.item if isinstance(alert.item, bytes) else b""
        # Nothing was found: libtorrent then answers with no signature.
        seq = alert.seq if any(alert.signature) else -1
        still = []
        for command in self._gets.pop(alert.key, []):
            if seq > command.newer_than or alert.authoritative:
                self._send(DhtFound(command.request, value, seq))
            else:
                still.append(command)
        if still:
            self._gets[alert.key] = still

    def _told(self, count: int) -> None:
        if count != self._nodes:
            if not self._nodes:
                self._save_at = 0.0
            self._nodes = count
            self._send(DhtNodes(count))

    # -- what is remembered --------------------------------------------------------------------

    def save(self) -> None:
        """Write down the nodes that are known; where there are none, the earlier ones stay."""
        flag = lt.save_state_flags_t.save_dht_state
        data = lt.write_session_params_buf(self._session.session_state(flag), flag)
        state: Any = lt.bdecode(data)
        nodes = state.get(b"dht state", {})
        packed = [*nodes.get(b"nodes", []), *nodes.get(b"nodes6", [])][:_NODES_MAX]
        lines = [
            f"{ipaddress.ip_address(entry[:-2])} {int.from_bytes(entry[-2:], 'big')}\n"
            for entry in packed
            if len(entry) in (6, 18)
        ]
        if not lines:
            return
        try:
            lines.insert(0, f"port {self._session.listen_port()}\n")
            write_durably(Path(self._command.state), "".join(lines).encode())
        except OSError as error:
            print(f"DHT: {error}", file=sys.stderr)  # noqa: T201


def _read(state: Path) -> tuple[int, list[tuple[str, int]]]:
    """Our port and the nodes met in an earlier run; a damaged line is left out."""
    try:
        with state.open("rb") as file:
            text = file.read(_STATE_MAX).decode(errors="replace")
    except OSError:
        return 0, []
    own, found = 0, []
    for line in text.splitlines()[: _NODES_MAX + 1]:
        name, _, number = line.partition(" ")
        try:
            port = int(number)
            if not 0 < port < 1 << 16:
                continue
            if name == "port":
                own = port
            else:
                found.append((str(ipaddress.ip_address(name)), port))
        except ValueError:
            continue
    return own, found
