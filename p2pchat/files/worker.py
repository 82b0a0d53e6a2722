"""libtorrent, in a process of its own: `python -m p2pchat.files.worker`, spoken to over a pipe.

Its WebRTC part is young and may crash, its calls block, its import is slow; here that costs a
transfer, which resumes, and never the chat. The worker ends when its input does. One thread owns
the session. Alerts wake it through a file descriptor, never through a callback, which deadlocks
with the GIL (arvidn/libtorrent#4638), and are copied before the next pop frees them (#7429).

It never learns a share's key: what it moves is ciphertext. The DHT is here too (dhtworker.py).
"""

import os
import queue
import re
import resource
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import libtorrent as lt
import msgspec

from p2pchat.files.commands import (
    Add,
    Command,
    Connect,
    DhtGet,
    DhtJoin,
    DhtPut,
    Made,
    Make,
    PeerRow,
    Ready,
    Reannounce,
    Recheck,
    Remove,
    Report,
    State,
    Torrent,
    frame,
    read_frame,
)
from p2pchat.files.dhtworker import DhtSession
from p2pchat.files.durable import write_durably

__all__ = ["main"]

_BUSY_S, _IDLE_S = 0.2, 2.0
_RESUME_S = 60.0
_STOP_S = 3.0
_RETRY_S = 30.0
"""After a disk error: somebody may have made room."""
_STALL_S = 5.0
"""A connection that brings nothing for so long, with pieces wanted, is given up for a new one."""
_LOST_S = 3.0
"""All connections have been lost for so long; making one takes up to two."""
_ALONE_S = 30.0
"""Nobody has been there for so long: offers may have been lost."""
_DIRECT_MAX = 16
_METADATA_MAX = 4 * 1024 * 1024
_PEERS_SHOWN = 50
_NOT_SEALED = "the link leads to something else than a sealed share"
_STATES = {
    "downloading_metadata": "metadata",
    "checking_files": "checking",
    "checking_resume_data": "checking",
}
# Neither peer_info nor socket_type_t of the bindings (2.1.1) knows WebRTC; the text does.
_TRANSPORT = re.compile(r"\((\w+)\)")
_TRANSPORTS = {"RTC": "webrtc", "TCP": "tcp", "uTP": "utp"}


def _settings(
    listen: str, stun: str, upload_rate: int
) -> "lt.settings_pack":  # a name of the stubs alone
    categories = lt.alert.category_t
    return {
        "listen_interfaces": listen,
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_outgoing_utp": False,
        "enable_incoming_utp": False,
        # Both defaults are somebody's server.
        "dht_bootstrap_nodes": "",
        "webtorrent_stun_server": stun,
        "user_agent": "p2pchat",
        "peer_fingerprint": "-PP0001-",
        # Two nodes on one machine have one address.
        "allow_multiple_connections_per_ip": True,
        # Tells nobody our TCP port: it is on loopback, and of two connections from one address and
        # port, libtorrent closes the newer, while the older is dead and has not been found so.
        "anonymous_mode": True,
        "stop_tracker_timeout": 1,
        "max_metadata_size": _METADATA_MAX,
        "upload_rate_limit": upload_rate,
        # Each is a PeerConnection with its sockets; the tracker asks again when more are wanted.
        "max_webtorrent_offers": 4,
        "webtorrent_connection_timeout": 30,
        "min_websocket_announce_interval": 5,
        # Writing to a mapped file kills the process (SIGBUS) when the disk is full; pwrite fails.
        "disk_write_mode": 0,
        "alert_mask": categories.status_notification
        | categories.error_notification
        | categories.storage_notification
        | categories.connect_notification,
    }


def _all_bounded() -> lt.ip_filter:
    """Everybody into the class that the settings bound: by default peers with local addresses are
    in one without bounds, however slow the line to them (a Wi-Fi, a VPN)."""
    classes = lt.ip_filter()
    everybody = 1 << lt.session.global_peer_class_id
    classes.add_rule("0.0.0.0", "255.255.255.255", everybody)  # noqa: S104  (a range)
    classes.add_rule("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", everybody)
    return classes


class _Worker:
    def __init__(self, listen: str, stun: str, upload_rate: int, output: int, *, rtc: bool) -> None:
        self._session = lt.session(_settings(listen, stun, upload_rate))
        if upload_rate:
            self._session.set_peer_class_filter(_all_bounded())
        self._output = output
        self._rtc = rtc
        self._added: dict[bytes, Add] = {}
        self._handles: dict[bytes, lt.torrent_handle] = {}
        self._errors: dict[bytes, str] = {}
        self._transports: dict[tuple[bytes, tuple[str, int]], str] = {}
        self._rows: dict[bytes, Torrent] = {}
        self._changed: set[bytes] = set()
        self._direct: dict[bytes, set[tuple[str, int]]] = {}
        # Bytes, and since when there have been no more of them.
        self._moved: dict[bytes, tuple[int, float]] = {}
        # Have had a peer since they were started.
        self._met: set[bytes] = set()
        self._saving = 0
        # Taken out and put in again as soon as their resume data is there.
        self._renewing: set[bytes] = set()
        # Complete, and asked (False) or known (True) to be on disk to the last byte.
        self._flushed: dict[bytes, bool] = {}
        # Just hashed here, so there is no need to hash them again.
        self._hashed: set[bytes] = set()
        self._made: queue.SimpleQueue[Made] = queue.SimpleQueue()
        self._alerts, self._waker = socket.socketpair()
        self._alerts.settimeout(0)
        # The network thread writes here, and would block with a full pipe otherwise.
        self._waker.settimeout(0)
        self._session.set_alert_fd(self._waker.fileno())
        self._report_at = self._resume_at = self._retry_at = 0.0
        self._dht: DhtSession | None = None

    def run(self) -> None:
        """Until the input ends."""
        held = bytearray()
        decoder = msgspec.msgpack.Decoder(Command)
        self._send(Ready(self._session.listen_port()))
        while True:
            timers = [self._report_at] + ([self._dht.next_timer()] if self._dht else [])
            wait = max(0.0, min(timers) - time.monotonic())
            readable, _, _ = select.select([sys.stdin.fileno(), self._alerts], [], [], wait)
            if sys.stdin.fileno() in readable:
                data = os.read(sys.stdin.fileno(), 1 << 20)
                if not data:
                    return
                held += data
                while (body := read_frame(held)) is not None:
                    self._obey(decoder.decode(body))
                self._report_at = 0.0
            if self._alerts in readable:
                self._pump()
            self._keep_time(time.monotonic())

    def stop(self) -> None:
        """Write down what has arrived, for as long as that takes a sensible time.

        Not through the session's destructor: it waits for trackers (arvidn/libtorrent#1199).
        """
        if self._dht is not None:
            self._dht.save()
        self._session.pause()
        self._save(lt.save_resume_flags_t.flush_disk_cache)
        deadline = time.monotonic() + _STOP_S
        while self._saving > 0 and (left := deadline - time.monotonic()) > 0:
            select.select([self._alerts], [], [], left)
            self._pump()

    def _keep_time(self, now: float) -> None:
        if self._dht is not None:
            self._dht.keep_time(now)
        if now >= self._resume_at:
            self._resume_at = now + _RESUME_S
            self._save(0)
        if now >= self._retry_at:
            self._retry_at = now + _RETRY_S
            self._retry()
        if now >= self._report_at:
            self._session.post_torrent_updates()
            self._unstall(now)
            self._report()
            busy = any(row.state != "seeding" or row.rate for row in self._rows.values())
            self._report_at = now + (_BUSY_S if busy else _IDLE_S)

    # -- commands ------------------------------------------------------------------------------

    def _obey(self, command: Command) -> None:
        if isinstance(command, DhtJoin | DhtGet | DhtPut):
            self._obey_dht(command)
            return
        handle = None if isinstance(command, Make) else self._handles.get(command.info_hash)
        try:
            match command:
                case Add():
                    self._add(command)
                case Make():
                    # It takes a second for 2 GB, in which others want their pieces.
                    threading.Thread(target=self._make, args=(command,), daemon=True).start()
                case Connect(info_hash, address, port) if handle is not None:
                    handle.connect_peer((address, port))
                    known = self._direct.setdefault(info_hash, set())
                    if len(known) < _DIRECT_MAX:
                        known.add((address, port))
                case Reannounce() if handle is not None:
                    handle.force_reannounce(0, -1, lt.reannounce_flags_t.ignore_min_interval)
                case Recheck(info_hash) if handle is not None:
                    self._errors.pop(info_hash, None)
                    handle.force_recheck()
                case Remove(info_hash) if handle is not None:
                    self._remove(info_hash, handle)
        # One command that libtorrent refuses must not end all transfers. TypeError, OverflowError:
        # its bindings say so of a port that is none.
        except (RuntimeError, ValueError, TypeError, OverflowError, OSError) as error:
            if isinstance(command, Add):
                row = Torrent(command.info_hash, "checking", 0, 0, 0, [], str(error))
                self._send(State([row]))
            else:
                print(f"{type(command).__name__}: {error}", file=sys.stderr)  # noqa: T201

    def _obey_dht(self, command: DhtJoin | DhtGet | DhtPut) -> None:
        match command:
            case DhtJoin() if self._dht is None:
                wake = self._waker.fileno()
                self._dht = DhtSession(command, wake, self._send, time.monotonic())
            case DhtGet() if self._dht is not None:
                self._dht.get(command)
            case DhtPut() if self._dht is not None:
                self._dht.put(command)

    def _add(self, command: Add) -> None:
        if command.info_hash not in self._handles:
            self._added[command.info_hash] = command
            self._start(command, self._params(command))

    def _start(self, command: Add, params: lt.add_torrent_params) -> None:
        self._met.discard(command.info_hash)
        params.save_path = command.folder
        params.trackers = [command.tracker] if command.tracker and self._rtc else []
        flags = lt.torrent_flags
        # Not the private flag of BEP 27: libtorrent then withholds metadata from magnets.
        params.flags |= flags.disable_dht | flags.disable_lsd | flags.disable_pex
        params.flags |= flags.override_trackers | flags.override_web_seeds
        params.flags &= ~(flags.auto_managed | flags.paused)
        if command.info_hash in self._hashed:
            params.flags |= flags.seed_mode
        handle = self._session.add_torrent(params)
        self._handles[command.info_hash] = handle
        self._judge(command.info_hash, handle)

    def _remove(self, info_hash: bytes, handle: lt.torrent_handle) -> None:
        del self._added[info_hash], self._handles[info_hash]
        self._hashed.discard(info_hash)
        self._errors.pop(info_hash, None)
        self._direct.pop(info_hash, None)
        self._rows.pop(info_hash, None)
        self._moved.pop(info_hash, None)
        self._flushed.pop(info_hash, None)
        self._renewing.discard(info_hash)
        self._met.discard(info_hash)
        self._session.remove_torrent(handle)

    def _params(self, command: Add) -> lt.add_torrent_params:
        """From what is remembered of it, or from the bare info-hash; what is damaged is gone."""
        content = Path(command.folder) / "sealed"
        resume = _resume(command)
        try:
            # Written after the last byte of the content (not in the same tick of the clock, which
            # says nothing), or there is more (or other) content than
            # it knows, and all is hashed again.
            if not content.exists() or resume.stat().st_mtime_ns > content.stat().st_mtime_ns:
                params = lt.read_resume_data(resume.read_bytes())
                if params.info_hashes.v1.to_bytes() == command.info_hash:
                    return params
        except FileNotFoundError:
            pass
        except RuntimeError:
            resume.unlink(missing_ok=True)
        torrent = Path(command.torrent)
        if torrent.exists():
            try:
                params = lt.load_torrent_file(str(torrent))
                if params.info_hashes.v1.to_bytes() == command.info_hash:
                    return params
            except RuntimeError:
                torrent.unlink(missing_ok=True)
        return lt.parse_magnet_uri(f"magnet:?xt=urn:btih:{command.info_hash.hex()}")

    def _make(self, command: Make) -> None:
        try:
            size = (Path(command.folder) / "sealed").stat().st_size
            # v1 alone: magnets of v2-only torrents brought no metadata with libtorrent 2.1.1, and
            # our AEAD vouches for the content, SHA-1 need not.
            torrent = lt.create_torrent(
                [lt.create_file_entry("sealed", size)], 0, lt.create_torrent.v1_only
            )
            lt.set_piece_hashes(torrent, command.folder)
            write_durably(Path(command.torrent), lt.bencode(torrent.generate()))
            info_hash = lt.torrent_info(torrent.generate()).info_hashes().v1.to_bytes()
            self._made.put(Made(command.request, info_hash, ""))
        except (OSError, RuntimeError) as error:
            self._made.put(Made(command.request, b"", str(error)))
        with suppress(BlockingIOError):  # full of wakes already
            self._waker.send(b"m")

    # -- alerts --------------------------------------------------------------------------------

    def _pump(self) -> None:
        with suppress(BlockingIOError):
            while self._alerts.recv(4096):
                pass
        for alert in self._session.pop_alerts():
            self._hear(alert)
        if self._dht is not None:
            self._dht.pump()
        while not self._made.empty():
            made = self._made.get()
            self._hashed.add(made.info_hash)
            self._send(made)

    def _hear(self, alert: Any) -> None:
        match alert:
            case lt.state_update_alert():
                for status in alert.status:
                    self._note(status)
            case lt.save_resume_data_alert():
                self._saving -= 1
                self._keep_resume(alert)
                self._restart(alert.handle, alert.params)
            case lt.save_resume_data_failed_alert():
                self._saving -= 1
                self._restart(alert.handle, None)
            case lt.metadata_received_alert():
                self._keep_metadata(alert.handle)
            case lt.torrent_finished_alert():
                flags = lt.save_resume_flags_t
                self._saving += 1
                alert.handle.save_resume_data(flags.flush_disk_cache | flags.save_info_dict)
                self._report_at = 0.0
            case lt.cache_flushed_alert():
                if alert.handle.is_valid():  # it may have been removed meanwhile
                    self._flushed[alert.handle.info_hashes().v1.to_bytes()] = True
                    self._note(alert.handle.status())
                    self._report_at = 0.0
            case lt.state_changed_alert():
                self._report_at = 0.0
            case lt.file_error_alert() | lt.torrent_error_alert():
                # A full disk is no error of the torrent's: libtorrent stops asking for pieces.
                info_hash = alert.handle.info_hashes().v1.to_bytes()
                self._errors.setdefault(info_hash, alert.error.message())
                self._changed.add(info_hash)
                self._report_at = 0.0
            case lt.peer_connect_alert() | lt.peer_disconnected_alert():
                self._note_transport(alert)
            case lt.alerts_dropped_alert():
                # Among them may have been ends of connections, and resume data we wait for.
                self._transports.clear()
                self._saving = 0

    def _note_transport(self, alert: Any) -> None:
        key = alert.handle.info_hashes().v1.to_bytes(), alert.ip
        found = _TRANSPORT.search(alert.message())
        if isinstance(alert, lt.peer_disconnected_alert):
            self._transports.pop(key, None)
        elif found is not None:
            self._met.add(key[0])
            self._transports[key] = _TRANSPORTS.get(found[1], "unknown")

    def _keep_metadata(self, handle: lt.torrent_handle) -> None:
        info_hash = handle.info_hashes().v1.to_bytes()
        command, info = self._added.get(info_hash), handle.torrent_file()
        if command is None or info is None or not self._judge(info_hash, handle):
            return
        try:
            data = lt.bencode({b"info": lt.bdecode(info.info_section())})
            write_durably(Path(command.torrent), data)
        except OSError as error:
            self._errors[info_hash] = error.strerror or str(error)

    def _judge(self, info_hash: bytes, handle: lt.torrent_handle) -> bool:
        """Whether the metadata is a sealed share's; a stranger's torrent could hold anything."""
        info, wanted = handle.torrent_file(), self._added[info_hash].size
        if info is None:
            return True
        files = info.layout()
        if (
            files.num_files() == 1
            and files.file_path(0) == "sealed"
            and wanted in (0, files.total_size())
        ):
            return True
        handle.pause()
        self._errors[info_hash] = _NOT_SEALED
        self._changed.add(info_hash)
        return False

    def _keep_resume(self, alert: Any) -> None:
        command = self._added.get(alert.handle.info_hashes().v1.to_bytes())
        if command is not None:
            try:
                write_durably(_resume(command), lt.write_resume_data_buf(alert.params))
            except OSError as error:
                # Without it the content is hashed again, no more.
                print(f"resume data: {error}", file=sys.stderr)  # noqa: T201

    def _save(self, flags: int) -> None:
        """Ask for the resume data of what has changed."""
        flags |= lt.save_resume_flags_t.save_info_dict | lt.save_resume_flags_t.only_if_modified
        for info_hash, handle in self._handles.items():
            row = self._rows.get(info_hash)
            if row is not None and row.state != "metadata":
                self._saving += 1
                handle.save_resume_data(flags)

    def _retry(self) -> None:
        for info_hash in [key for key, text in self._errors.items() if text != _NOT_SEALED]:
            handle = self._handles.get(info_hash)
            del self._errors[info_hash]
            if handle is not None:
                handle.clear_error()
                handle.unset_flags(lt.torrent_flags.upload_mode)
                handle.resume()
                if info_hash in self._rows:
                    row = msgspec.structs.replace(self._rows[info_hash], error="")
                    self._rows[info_hash] = row
                    self._changed.add(info_hash)

    def _unstall(self, now: float) -> None:
        """Start anew what has stopped moving, with other connections.

        libtorrent's WebRTC streams (2.1.1) sometimes fall silent in the middle of a fast transfer
        and stay so; its own timeouts take minutes, and the bindings cannot close one peer. After
        pause and resume its tracker client may say nothing for half a minute; a torrent that has
        just been added announces itself at once.
        """
        for info_hash, row in self._rows.items():
            bytes_, since = self._moved.get(info_hash, (-1, now))
            waiting = row.state in ("metadata", "downloading") and not row.error
            if not waiting or row.done != bytes_:
                self._moved[info_hash] = row.done, now
                continue
            lost = _LOST_S if info_hash in self._met else _ALONE_S
            if now - since >= (_STALL_S if row.peers else lost):
                self._moved[info_hash] = row.done, now
                self._renewing.add(info_hash)
                self._saving += 1
                flags = lt.save_resume_flags_t
                self._handles[info_hash].save_resume_data(
                    flags.flush_disk_cache | flags.save_info_dict
                )

    def _restart(self, handle: lt.torrent_handle, params: lt.add_torrent_params | None) -> None:
        """The second half of `_unstall`; without resume data there was nothing to resume."""
        info_hash = handle.info_hashes().v1.to_bytes()
        if info_hash not in self._renewing:
            return
        self._renewing.discard(info_hash)
        command = self._added[info_hash]
        self._session.remove_torrent(handle)
        self._start(command, params or self._params(command))
        for address, port in self._direct.get(info_hash, ()):
            self._handles[info_hash].connect_peer((address, port))

    # -- reports -------------------------------------------------------------------------------

    def _note(self, status: lt.torrent_status) -> None:
        info_hash = status.info_hashes.v1.to_bytes()
        if info_hash not in self._handles:
            return
        state = _STATES.get(str(status.state), "downloading")
        if not status.has_metadata:
            state = "metadata"
        elif status.is_seeding and state != "checking":
            # The last pieces are hashed in memory, and for a moment not yet in the file.
            if info_hash not in self._flushed:
                self._flushed[info_hash] = False
                self._handles[info_hash].flush_cache()
            state = "seeding" if self._flushed[info_hash] else "checking"
        else:
            self._flushed.pop(info_hash, None)
        row = Torrent(
            info_hash,
            state,
            status.total_wanted_done,
            status.total_wanted,
            max(status.download_payload_rate, status.upload_payload_rate),
            self._peers(info_hash) if status.num_peers else [],
            self._errors.get(info_hash) or (status.errc.message() if status.errc.value() else ""),
        )
        if self._rows.get(info_hash) != row:
            self._rows[info_hash] = row
            self._changed.add(info_hash)

    def _peers(self, info_hash: bytes) -> list[PeerRow]:
        rows = []
        for peer in self._handles[info_hash].get_peer_info():
            if not peer.flags & (peer.handshake | peer.connecting):
                transport = self._transports.get((info_hash, peer.ip), "unknown")
                rows.append(PeerRow(peer.ip[0], transport, peer.ip[1]))
        return rows[:_PEERS_SHOWN]

    def _report(self) -> None:
        rows = []
        # An error may come before the first status does, and then waits for it.
        for info_hash in self._changed & self._rows.keys():
            error = self._errors.get(info_hash)
            row = self._rows[info_hash]
            if error is not None and row.error != error:
                row = self._rows[info_hash] = msgspec.structs.replace(row, error=error)
            rows.append(row)
        self._changed -= self._rows.keys()
        self._changed &= self._handles.keys()
        if rows:
            self._send(State(rows))

    def _send(self, report: Report) -> None:
        data = memoryview(frame(report))
        while data:
            data = data[os.write(self._output, data) :]


def _resume(command: Add) -> Path:
    return Path(command.folder) / "resume"


def main() -> None:
    """Arguments: listen interfaces, STUN server or "", 1 or 0 for WebRTC, upload bytes/s or 0."""
    listen, stun, rtc, upload_rate = sys.argv[1:5]
    # Ctrl-C is for the node, which then ends our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    # What some library prints must not stand between frames.
    output = os.dup(1)
    os.dup2(2, 1)
    worker = _Worker(listen, stun, int(upload_rate), output, rtc=rtc == "1")
    with suppress(BrokenPipeError):  # the node is gone, however it went
        worker.run()
    worker.stop()
    os._exit(0)


if __name__ == "__main__":
    main()
