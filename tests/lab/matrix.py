"""Which pairs of networks two people can meet across, by which carrier, with which servers.

A cell is one network, one carrier and one choice of servers: Ann invites, Bob joins by her blob,
each with the installed command in a namespace of their own. `expected` says what plain ICE can do
there (RFC 8445, RFC 4787); that a cell does better or worse is a failure all the same.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness.homes import Home, events
from tests.harness.internet import Internet
from tests.harness.lab import Host
from tests.harness.signal import SIGNAL

__all__ = ["ALL", "SOME", "Cell", "Grid", "Result", "expected", "opened", "run", "table"]

NETWORKS = {
    "same host": "one machine, behind a NAT",
    "same LAN": "two machines behind one NAT",
    "one NAT": "Ann has a public address, Bob is behind a port-restricted cone NAT",
    "two cones": "each behind a port-restricted cone NAT",
    "cone + symmetric": "Ann behind a cone, Bob behind a symmetric NAT",
    "two symmetric": "each behind a symmetric NAT",
    "IPv6 only": "no IPv4 at all; each behind a firewall that lets in answers alone",
    "UDP blocked": "Ann behind a cone NAT, Bob where no UDP leaves",
}
CARRIERS = ("paste", "lan", "dht", "mailbox")
SERVERS = ("none", "stun", "turn")
"""`turn`: with STUN as well, as one would have it."""
_USER = "ann:secret"
_WAIT_S, _FAIL_S = (90.0, 150.0), (15.0, 60.0)
"""For how long a join waits: where it should connect, and where it should not; the latter over the
DHT: of ten nodes there two are behind NATs, and libtorrent waits 15 s for each of them."""


@dataclass(frozen=True)
class Cell:
    network: str
    carrier: str
    servers: str

    def __str__(self) -> str:
        return f"{self.network}, {self.carrier}, {self.servers}"


@dataclass(frozen=True)
class Result:
    """`outcome`: direct, relayed or fails. `why`: what a failed join said.

    `tried`: how far it says to have come, by carrier.
    """

    outcome: str
    via: str
    code: int
    why: str
    hint: str
    seconds: float
    tried: Mapping[str, str] = field(default_factory=dict)


ALL = tuple(
    Cell(network, carrier, servers)
    for network in NETWORKS
    for carrier in CARRIERS
    for servers in SERVERS
    if carrier != "lan" or network in ("same host", "same LAN")
)
SOME = tuple(
    Cell(*cell)
    for cell in [
        ("same host", "lan", "none"),
        ("same LAN", "lan", "none"),
        ("same LAN", "paste", "none"),
        ("one NAT", "mailbox", "none"),
        ("two cones", "paste", "stun"),
        ("two cones", "dht", "stun"),
        ("two cones", "mailbox", "turn"),
        ("two cones", "paste", "none"),
        ("cone + symmetric", "mailbox", "stun"),
        ("cone + symmetric", "paste", "turn"),
        ("two symmetric", "dht", "turn"),
        ("two symmetric", "mailbox", "stun"),
        ("IPv6 only", "mailbox", "none"),
        ("IPv6 only", "dht", "stun"),
        ("UDP blocked", "mailbox", "turn"),
        ("UDP blocked", "paste", "stun"),
    ]
)


def expected(cell: Cell) -> str:
    """What plain ICE can do."""
    if cell.network in ("same host", "same LAN", "one NAT", "IPv6 only"):
        return "direct"
    if cell.network == "UDP blocked" and cell.carrier == "dht":
        return "fails"  # the DHT is UDP
    if cell.servers == "none":
        return "fails"
    if cell.network == "two cones":
        return "direct"
    return "relayed" if cell.servers == "turn" else "fails"


class Grid:
    """The servers and all networks of the table, at once."""

    def __init__(self, net: Internet, folder: Path, udp_s: int) -> None:
        self._folder = folder
        self._homes = threading.Lock()
        self._net = net
        self._log = (folder / "servers.log").open("w")
        relay, signal, dht = net.server("turn"), net.server("signal"), net.server("dht", 8)
        self.stun = f"stun:{relay.address}:3478"
        self.turn = [
            f"turn:{_USER}@{relay.address}:3478",
            f"turn:{_USER}@{relay.address}:3478?transport=tcp",
        ]
        self._server(relay, coturn(relay.address, folder))
        address6 = net.address6(signal)
        for address in (signal.address, address6):
            self._server(signal, [*SIGNAL, "--host", address, "--port", "8080"], "listening")
        self.mailbox = f"http://{signal.address}:8080", f"http://[{address6}]:8080"
        self._dht = dht
        self.hosts = dict(self._build(udp_s))

    def _build(self, udp_s: int) -> Iterator[tuple[str, tuple[Host, Host]]]:
        net = self._net
        home = net.router("home", "cone", udp_s)
        one, other = net.behind(home, "one"), net.behind(home, "other")
        away = net.behind(net.router("away", "cone", udp_s), "far")
        strict = net.behind(net.router("strict1", "symmetric", udp_s), "deep1")
        strict2 = net.behind(net.router("strict2", "symmetric", udp_s), "deep2")
        walls = [net.router(f"wall{number}", "firewall", udp_s) for number in (1, 2)]
        six = [net.behind(wall, f"six{n}", v6=True) for n, wall in enumerate(walls)]
        blocked = net.behind(net.router("mute", "no-udp", udp_s), "office")
        yield "same host", (one, one)
        yield "same LAN", (one, other)
        yield "one NAT", (net.server("public"), away)
        yield "two cones", (one, away)
        yield "cone + symmetric", (one, strict)
        yield "two symmetric", (strict, strict2)
        yield "IPv6 only", (six[0], six[1])
        yield "UDP blocked", (one, blocked)

    def _server(self, host: Host, argv: Sequence[str], until: str = "") -> str:
        """Start a server, and wait for the line that begins so."""
        process = host.run(argv, {"PYTHONUNBUFFERED": "1"}, stderr=self._log)
        assert process.stdout is not None
        while until:
            line = process.stdout.readline()
            assert line, f"{argv[0]} ended"
            if line.startswith(until):
                return str(line)
        return ""

    def dht(self, *, v6: bool = False) -> list[str]:
        """A DHT of eight nodes that nobody has used: whoever leaves one is a dead node in the
        tables of the others, and in so small a DHT all lookups would wait for it."""
        nodes = [sys.executable, "-m", "tests.lab.dht_nodes"]
        places = self._net.addresses(self._dht, 6 if v6 else 4)
        return list(json.loads(self._server(self._dht, [*nodes, *places], "[")))

    def home(self, name: str, host: Host, cell: Cell, bootstrap: Sequence[str], *more: str) -> Home:
        six = cell.network == "IPv6 only"
        settings = [
            f"lan.enabled={str(cell.carrier == 'lan').lower()}",
            f"dht.enabled={str(cell.carrier == 'dht').lower()}",
            f"net.stun={[] if cell.servers == 'none' else [self.stun]!r}",
            f"net.turn={self.turn if cell.servers == 'turn' else []!r}",
            *more,
        ]
        if cell.carrier == "dht":
            settings.append(f"dht.bootstrap={list(bootstrap)!r}")
        if cell.carrier == "mailbox" and name == "Ann":
            settings.append(f"mailbox.url={self.mailbox[six]}")
        with self._homes:
            path = Path(tempfile.mkdtemp(prefix="home-", dir=self._folder)) / name.lower()
        return Home(name, path, settings, tuple(host.command(())))

    def run(self, cell: Cell) -> Result:
        """Ann invites, Bob joins; over paste a reply goes back."""
        hosts = self.hosts[cell.network]
        bootstrap = self.dht(v6=cell.network == "IPv6 only") if cell.carrier == "dht" else []
        ann = self.home("Ann", hosts[0], cell, bootstrap)
        bob = self.home("Bob", hosts[1], cell, bootstrap)
        slow = cell.carrier == "dht"
        wait_s = _WAIT_S[slow] if expected(cell) != "fails" else _FAIL_S[slow]
        try:
            inviting = ann.start("invite", "--no-chat")
            blob = next(row["blob"] for row in events(inviting) if row["event"] == "invite")
            began = time.monotonic()
            joining = bob.start("join", blob, "--no-chat", "--timeout", str(wait_s))
            return _followed(inviting, joining, began, paste=cell.carrier == "paste")
        finally:
            for process in (*ann.processes, *bob.processes):
                process.kill()
                process.communicate()


def _followed(
    inviting: "subprocess.Popen[str]",
    joining: "subprocess.Popen[str]",
    began: float,
    *,
    paste: bool,
) -> Result:
    """What became of a join."""
    last: dict[str, dict[str, Any]] = {}
    tried: dict[str, str] = {}
    for row in events(joining):
        last[row["event"]] = row
        if row["event"] == "attempt":
            tried[row["via"]] = row["stage"]
        if row["event"] == "reply" and paste:
            assert inviting.stdin is not None
            inviting.stdin.write(row["blob"] + "\n")
            inviting.stdin.flush()
        if row["event"] == "joined":
            took_s = time.monotonic() - began
    if "joined" not in last:
        error = last.get("error", {})
        return Result(
            "fails", "", joining.wait(10), error.get("message", ""), error.get("hint", ""),
            time.monotonic() - began, tried,
        )  # fmt: skip
    peers = [row for row in events(inviting) if row["event"] == "peer" and row.get("path")]
    return Result(peers[-1]["path"], peers[-1]["via"], joining.wait(10), "", "", took_s)


def coturn(address: str, folder: Path) -> list[str]:
    """coturn as STUN and TURN server, with one user."""
    return [
        "turnserver", "-n", "--log-file", "stdout", "--simple-log", "--no-cli",
        "--no-tls", "--no-dtls", "--listening-ip", address, "--relay-ip", address,
        "--lt-cred-mech", "--user", _USER, "--realm", "lab",
        "--db", str(folder / "turn.db"), "--pidfile", str(folder / "turn.pid"),
    ]  # fmt: skip


@contextmanager
def opened(udp_s: int = 30) -> Iterator[Grid]:
    """`udp_s`: after how long the NATs forget a binding."""
    with tempfile.TemporaryDirectory() as folder, Internet() as net:
        yield Grid(net, Path(folder), udp_s)


def run(grid: Grid, cells: Iterable[Cell], at_once: int = 6) -> Iterator[tuple[Cell, Result]]:
    """Results, in the order of `cells`; many of them mostly wait."""
    pool = ThreadPoolExecutor(at_once)
    try:
        running = [(cell, pool.submit(grid.run, cell)) for cell in cells]
        for cell, future in running:
            yield cell, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def table(results: dict[Cell, Result]) -> str:
    """As Markdown; an outcome other than expected is in capitals."""

    def shown(cell: Cell) -> str:
        result = results.get(cell)
        if result is None:
            return ""
        if result.outcome != expected(cell):
            return f"{result.outcome.upper()} ({expected(cell)})"
        return "fails" if result.outcome == "fails" else f"{result.outcome} {result.seconds:.1f} s"

    lines = ["| network | carrier | no servers | STUN | STUN and TURN |", "|---|---|---|---|---|"]
    for network in NETWORKS:
        for carrier in CARRIERS:
            row = [shown(Cell(network, carrier, servers)) for servers in SERVERS]
            if any(row):
                lines.append(f"| {network} | {carrier} | {' | '.join(row)} |")
    return "\n".join(lines)
