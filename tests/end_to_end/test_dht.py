"""Strangers meet over a DHT alone, our own on loopback: no LAN, no mailbox, no paste back."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.dht import own_dht
from tests.harness.homes import Home, events

_RECONNECT_S = 25
"""15 for the DHT, after the 10 that the other takes to see that a killed node has gone."""
_PEOPLE = ("Ann", "Bob", "Cat")


@pytest.fixture
def people(tmp_path: Path) -> Iterator[tuple[Home, ...]]:
    with own_dht() as bootstrap:
        settings = (
            'net.interfaces=["lo"]',
            "net.stun=[]",
            "lan.enabled=false",
            f"dht.bootstrap={bootstrap!r}",
        )
        homes = tuple(Home(name, tmp_path / name.lower(), settings) for name in _PEOPLE)
        try:
            yield homes
        finally:
            for home in homes:
                home.end()


def _connected(home: Home, within_s: float) -> dict[str, object]:
    """The one contact, once it is linked."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        row = home.run("peers").found("peer")[0]
        if row["state"] == "connected":
            return row
        time.sleep(0.2)
    raise AssertionError(f"not connected after {within_s} s")


def test_one_paste_connects_and_the_second_comer_is_told(people: tuple[Home, ...]) -> None:
    ann, bob, cat = people
    ann.up()
    blob = ann.run("invite", "--no-wait").found("invite")[0]["blob"]
    bob.up()
    began = time.monotonic()
    bob.run("join", blob, "--no-chat", timeout=30)
    print(f"joined over the DHT in {time.monotonic() - began:.2f} s")
    assert _connected(ann, 5)["via"] == "dht"
    assert bob.run("send", "Ann", "hello", "--wait").found("delivered")
    refused = cat.run("join", blob, "--no-chat", "--timeout", "30", code=4)
    assert refused.found("error")[0]["code"] == "invite-used"
    assert ann.texts("Bob") == ["hello"]


def test_an_inviter_who_restarts_before_the_friend_comes_is_found(people: tuple[Home, ...]) -> None:
    ann, bob, _ = people
    ann.up()
    blob = ann.run("invite", "--no-wait").found("invite")[0]["blob"]
    ann.run("down")
    # The friend comes first, and waits.
    bob.up()
    joining = bob.start("join", blob, "--no-chat", "--timeout", "40")
    assert any(row["event"] in ("reply", "note") for row in events(joining))
    ann.up()
    assert joining.wait(30) == 0
    assert _connected(ann, 5)["via"] == "dht"


@pytest.mark.parametrize("who", ["who invited", "who joined"])
def test_contacts_find_each_other_again_even_after_kill_9(
    people: tuple[Home, ...], who: str
) -> None:
    ann, bob, _ = people
    ann.up()
    bob.up()
    bob.run("join", ann.run("invite", "--no-wait").found("invite")[0]["blob"], "--no-chat")
    gone, stays = (ann, bob) if who == "who invited" else (bob, ann)
    _connected(stays, 5)
    gone.kill()
    gone.up()
    began = time.monotonic()
    assert _connected(gone, _RECONNECT_S)["via"] == "dht"
    print(f"linked again over the DHT in {time.monotonic() - began:.2f} s")
