import asyncio
from pathlib import Path

from p2pchat import events
from p2pchat.node.peers import contact_psk, contact_slot
from tests.node.people import WAIT_S, friends, meet, person


async def _state(feed: object, state: str) -> events.Peer:
    async with asyncio.timeout(WAIT_S):
        async for event in feed:  # type: ignore[attr-defined]
            if isinstance(event, events.Peer) and event.state == state:
                return event
    raise AssertionError


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


async def test_the_end_of_a_link_is_told_at_once(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann") as ann:
        async with person(tmp_path, "Bob") as bob:
            await meet(ann, bob)
            feed = ann.events()
        gone = await _state(feed, "disconnected")
        assert gone.name == "Bob"
        assert gone.reason == "bye"
        assert ann.online() == set()


async def test_contacts_meet_again_over_the_lan(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", lan=True) as ann:
        async with person(tmp_path, "Bob", lan=True) as bob:
            await bob.join((await ann.invite()).blob, timeout=WAIT_S)
        with ann.events() as feed:
            async with person(tmp_path, "Bob", lan=True):
                back = await _state(feed, "connected")
                assert (back.name, back.via) == ("Bob", "lan")


async def test_frames_that_break_the_rules_end_the_link(tmp_path: Path) -> None:
    async with friends(tmp_path) as (ann, bob):
        with bob.events() as feed:
            session = next(ann.online_parts.peers.sessions())
            await session._link.send(b"\xc1 no frame at all")
            assert (await _state(feed, "disconnected")).reason == "bad-frame"


def test_the_keys_of_contacts_differ_by_use() -> None:
    assert contact_slot(bytes(32)) != contact_psk(bytes(32))
