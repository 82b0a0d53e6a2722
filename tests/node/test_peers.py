import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import aioice.ice
import pytest

from p2pchat import events
from p2pchat.net.link import Link
from p2pchat.node.node import Node
from p2pchat.node.peers import contact_psk, contact_slot
from tests.node.people import WAIT_S, friends, heard, meet, person

_SLACK_S = 8.0
"""For a machine under load."""


async def test_a_link_is_never_doubled(tmp_path: Path) -> None:
    async with friends(tmp_path) as (ann, bob):
        before = next(ann.online_parts.peers.sessions())
        await meet(bob, ann)
        for node in (ann, bob):
            assert len(list(node.online_parts.peers.sessions())) == 1
        # The older one ends; nobody is told of a disconnection, since the person is still there.
        async with asyncio.timeout(WAIT_S):
            while len(ann.online_parts.peers._sessions[before.peer]) > 1:
                await asyncio.sleep(0)
        assert next(ann.online_parts.peers.sessions()) is not before
        assert ann.online() == {bob.peer_id}
        room = await ann.room("Bob")
        message = await room.send("over the new link")
        assert [event async for event in room.delivered(message.id, timeout=WAIT_S)]


async def test_contacts_on_one_network_find_each_other_again_within_seconds(
    tmp_path: Path,
) -> None:
    async with person(tmp_path, "Ann", lan=True) as ann, person(tmp_path, "Bob", lan=True) as bob:
        await bob.join((await ann.invite()).blob, timeout=WAIT_S)
    for first, second in (("Ann", "Bob"), ("Bob", "Ann")):
        # Whoever seeks: the one who was there, or the one who comes.
        async with person(tmp_path, first, lan=True) as there:
            with there.events() as feed:
                begun = time.monotonic()
                async with person(tmp_path, second, lan=True):
                    await heard(feed, events.Peer, state="connected")
                    assert time.monotonic() - begun < 2 + _SLACK_S


async def test_the_end_of_a_link_is_told_at_once(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann") as ann:
        async with person(tmp_path, "Bob") as bob:
            await meet(ann, bob)
            feed = ann.events()
        gone = await heard(feed, events.Peer, state="disconnected")
        assert gone.name == "Bob"
        assert gone.reason == "bye"
        assert ann.online() == set()


async def test_contacts_meet_again_over_the_lan(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", lan=True) as ann:
        async with person(tmp_path, "Bob", lan=True) as bob:
            await bob.join((await ann.invite()).blob, timeout=WAIT_S)
        with ann.events() as feed:
            async with person(tmp_path, "Bob", lan=True):
                back = await heard(feed, events.Peer, state="connected")
                assert (back.name, back.via) == ("Bob", "lan")


async def test_a_dead_path_is_redialled_before_the_link_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        person(tmp_path, "Ann", lan=True) as ann,
        person(tmp_path, "Bob", lan=True) as bob,
    ):
        await _joined(ann, bob)
        old = next(ann.online_parts.peers.sessions()), next(bob.online_parts.peers.sessions())
        room = await ann.room("Bob")
        with ann.events() as feed:
            _bury(monkeypatch, *(session._link for session in old))
            started = time.perf_counter()
            message = await room.send("written while nothing gets through")
            delivered = room.delivered(message.id, timeout=WAIT_S)
            assert [one async for one in delivered]
            print(f"\nthrough after {time.perf_counter() - started:.1f} s on a new path")
            async with asyncio.timeout(WAIT_S):
                for node, session in ((ann, old[0]), (bob, old[1])):
                    standing = node.online_parts.peers._sessions
                    while session in standing[session.peer]:
                        await asyncio.sleep(0.01)
                    assert len(standing[session.peer]) == 1
            told = []
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    told = [event async for event in feed]
            assert not [one for one in told if getattr(one, "state", "") == "disconnected"]


async def test_after_sleep_a_link_is_made_anew_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        person(tmp_path, "Ann", lan=True) as ann,
        person(tmp_path, "Bob", lan=True) as bob,
    ):
        await _joined(ann, bob)
        seeker = min((ann, bob), key=lambda node: node.identity.person)
        other = bob if seeker is ann else ann
        peers = seeker.online_parts.peers
        old = peers.session(other.identity.person)
        far = other.online_parts.peers.session(seeker.identity.person)
        assert old is not None
        assert far is not None
        _bury(monkeypatch, old._link, far._link)
        started = time.perf_counter()
        old.doubt()
        async with asyncio.timeout(WAIT_S):
            while (
                peers.session(other.identity.person) in (old, None)
                or len(peers._sessions[other.identity.person]) != 1
            ):
                await asyncio.sleep(0.01)
        print(f"\nmade anew in {time.perf_counter() - started:.1f} s")
        assert old._link.reason == "superseded"


async def _joined(host: Node, guest: Node) -> None:
    with host.events() as feed:
        await guest.join((await host.invite()).blob, timeout=WAIT_S)
        await heard(feed, events.Joined)


def _bury(monkeypatch: pytest.MonkeyPatch, *links: Link) -> None:
    """Let nothing more through on the sockets of these links, as a NAT that forgot them does."""
    buried = {
        protocol
        for link in links
        for protocol in link._transport._pc.sctp.transport.transport._connection._protocols
    }
    send_data = aioice.ice.StunProtocol.send_data
    send_stun = aioice.ice.StunProtocol.send_stun

    async def data(self: Any, data: bytes, addr: Any) -> None:
        if self not in buried:
            await send_data(self, data, addr)

    def stun(self: Any, message: Any, addr: Any) -> None:
        if self not in buried:
            send_stun(self, message, addr)

    monkeypatch.setattr(aioice.ice.StunProtocol, "send_data", data)
    monkeypatch.setattr(aioice.ice.StunProtocol, "send_stun", stun)


def test_the_keys_of_contacts_differ_by_use() -> None:
    assert contact_slot(bytes(32)) != contact_psk(bytes(32))
