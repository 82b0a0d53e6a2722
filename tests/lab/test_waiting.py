"""What takes its time: replies pasted late, inviters who were away, members without a path."""

import sys
import time
from collections.abc import Iterator

import pytest

from tests.harness.homes import Home, events
from tests.harness.internet import needs_internet
from tests.harness.lab import Host
from tests.lab.matrix import Cell, Grid, opened

_FORGETS_S, _KEEPS_S, _RETRY_S = 2, 0.5, 0.5 / 30
"""In place of 30, 15 and 0.5 s: 8 s of waiting here are 2 minutes in the world. Less would leave a
busy machine no time to keep a binding in."""
_WAITED_S = 8
_JOIN_S = 45
_PATIENCE_S = 60.0


@pytest.fixture
def grid() -> Iterator[Grid]:
    with opened() as made:
        yield made


@pytest.fixture
def forgetful() -> Iterator[Grid]:
    with opened(udp_s=_FORGETS_S) as made:
        yield made


def _keeping(home: Home, every_s: float) -> Home:
    home.program = (
        sys.executable,
        "-c",
        "import aioice.stun; from p2pchat.net import transport; from p2pchat.cli.main import run; "
        f"aioice.stun.RETRY_RTO = {_RETRY_S}; transport._KEEP_ALIVE_S = {every_s}; run()",
    )
    return home


def _pair(grid: Grid, cell: Cell, every_s: float) -> tuple[Home, Home]:
    ann, bob = (
        _keeping(grid.home(name, host, cell, []), every_s)
        for name, host in zip(("Ann", "Bob"), grid.hosts[cell.network], strict=True)
    )
    return ann, bob


def _pasted_late(ann: Home, bob: Home, join_s: float = _JOIN_S) -> int:
    """The exit code of a join, long after the invite and long before the reply is pasted."""
    inviting = ann.start("invite", "--no-chat")
    blob = next(row["blob"] for row in events(inviting) if row["event"] == "invite")
    time.sleep(_WAITED_S)
    joining = bob.start("join", blob, "--no-chat", "--timeout", str(join_s))
    reply = next(row["blob"] for row in events(joining) if row["event"] == "reply")
    time.sleep(_WAITED_S * 3 / 4)
    assert inviting.stdin is not None
    inviting.stdin.write(reply + "\n")
    inviting.stdin.flush()
    return joining.wait(2 * _JOIN_S)


def _end(*homes: Home) -> None:
    for home in homes:
        for process in home.processes:
            process.kill()
            process.communicate()
        home.processes.clear()


@needs_internet("turnserver")
@pytest.mark.timeout(300)
def test_a_paste_answered_long_after_nats_would_have_forgotten_connects(forgetful: Grid) -> None:
    ann, bob = _pair(forgetful, Cell("two cones", "paste", "stun"), _KEEPS_S)
    try:
        assert _pasted_late(ann, bob) == 0
    finally:
        _end(ann, bob)


@needs_internet("turnserver")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("every_s", "join_s", "code"), [(_KEEPS_S, _JOIN_S, 0), (1_000.0, _JOIN_S / 4, 5)]
)
def test_relays_are_kept_for_a_late_paste_and_would_be_lost_otherwise(
    forgetful: Grid, every_s: float, join_s: float, code: int
) -> None:
    ann, bob = _pair(forgetful, Cell("two symmetric", "paste", "turn"), every_s)
    try:
        assert _pasted_late(ann, bob, join_s) == code
    finally:
        _end(ann, bob)


@needs_internet("turnserver")
@pytest.mark.timeout(300)
def test_one_paste_connects_over_the_dht_though_the_inviter_restarted(grid: Grid) -> None:
    cell = Cell("one NAT", "dht", "stun")
    bootstrap = grid.dht()
    ann, bob = (
        grid.home(name, host, cell, bootstrap)
        for name, host in zip(("Ann", "Bob"), grid.hosts[cell.network], strict=True)
    )
    try:
        ann.up()
        blob = ann.run("invite", "--no-wait").found("invite")[0]["blob"]
        ann.run("down")
        ann.up()
        joined = bob.run("join", blob, "--no-chat", "--timeout", "150", timeout=170)
        # Nobody pasted the reply back, so it was not that.
        assert joined.found("joined")
        assert "dht" in {row.get("via") for row in joined.found("peer")}
    finally:
        for home in (ann, bob):
            home.end()


@needs_internet("turnserver")
@pytest.mark.timeout(300)
def test_without_a_path_or_relay_entries_travel_through_a_common_member(grid: Grid) -> None:
    """Ann and Bob are behind symmetric NATs; Cat has a public address, and met both."""
    cell = Cell("two symmetric", "mailbox", "stun")
    places: list[tuple[str, Host]] = [
        ("Ann", grid.hosts["two symmetric"][0]),
        ("Bob", grid.hosts["two symmetric"][1]),
        ("Cat", grid.hosts["one NAT"][0]),
    ]
    mailbox = f"mailbox.url={grid.mailbox[0]}"
    ann, bob, cat = (grid.home(name, host, cell, [], mailbox) for name, host in places)
    try:
        for home in (ann, bob, cat):
            home.up()
        ann.run("room", "create", "crew")
        for host, guest in ((ann, cat), (cat, bob)):
            blob = host.run("invite", "crew", "--no-wait").found("invite")[0]["blob"]
            guest.run("join", blob, "--no-chat", "--timeout", "40")
        ann.run("send", "crew", "can you see this?")
        limit = time.monotonic() + _PATIENCE_S
        while "can you see this?" not in bob.texts("crew"):
            assert time.monotonic() < limit, "it did not arrive"
            time.sleep(0.5)
        linked = {
            row["name"] for row in bob.run("peers").found("peer") if row["state"] == "connected"
        }
        assert linked == {"Cat"}
    finally:
        for home in (ann, bob, cat):
            home.end()
