"""What links bring reaches the parts that it concerns."""

import shutil
from pathlib import Path

from p2pchat import events
from p2pchat.node.node import Node
from tests.harness.crew import Crew
from tests.node.people import heard, meet, person


async def _confirmed(node: Node, room: str, text: str) -> None:
    place = await node.room(room)
    message = await place.send(text)
    async for _ in place.delivered(message.id):
        pass


async def test_a_home_that_was_copied_and_runs_twice_is_proven_and_stops_only_its_chain(
    tmp_path: Path,
) -> None:
    async with person(tmp_path, "Bob") as bob:
        async with person(tmp_path, "Ann") as ann:
            await meet(ann, bob)
            await _confirmed(ann, "Bob", "one history")
        shutil.copytree(tmp_path / "Ann", tmp_path / "Twin")
        # Both write where they cannot know of each other.
        async with person(tmp_path, "Twin", online=False) as twin:
            await (await twin.room("Bob")).send("another history")
        async with person(tmp_path, "Ann") as ann:
            await meet(ann, bob)
            await _confirmed(ann, "Bob", "the same history")
        with bob.events() as feed:
            async with person(tmp_path, "Twin") as twin:
                with twin.events() as told:
                    await meet(twin, bob)
                    fork = await heard(feed, events.Forked, peer=twin.peer_id)
                    await heard(told, events.Forked, peer=twin.peer_id)
                assert fork.name == "Ann"
                [row] = [row for row in await bob.peers() if row.peer == twin.peer_id]
                assert row.forked
                (finding,) = [row async for row in twin.doctor() if row.check == "history"]
                assert not finding.ok
                assert "Bob" in finding.text
                # It learns of it too, and goes on in a chain of its own.
                await _confirmed(twin, "Bob", "on from here")
                texts = [message.text async for message in (await bob.room("Ann")).history()]
                assert texts == ["one history", "the same history", "on from here"]
                await _confirmed(bob, "Ann", "nobody else is touched")
    async with person(tmp_path, "Bob", online=False) as bob:
        members = await (await bob.room("Ann")).members()
        assert [member.forked for member in members if not member.me] == [True]
        [chains] = bob._parts.rooms.all()
        assert [proof is not None for proof in chains.forks.values()] == [True]


async def test_a_link_that_stands_and_ends_is_told_once_each(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        with crew["ann"].node.events() as feed:
            await crew.link("ann", "bob")
            first = await heard(feed, events.Peer)
            assert (first.peer, first.state, first.via) == (crew["bob"].id, "connected", "lan")
            assert (await heard(feed, events.Sync)).peer == crew["bob"].id
            await crew.cut("ann", "bob")
            last = await heard(feed, events.Peer)
            assert (last.state, last.reason) == ("disconnected", "bye")


async def test_whoever_is_blocked_is_refused(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        ann, bob = crew["ann"], crew["bob"]
        await crew.link("ann", "bob")
        await crew.until(lambda: ann.node.people.contact(bob.person) is not None)
        assert not ann.switchboard.refuses(bob.person)
        await ann.node.people.block(bob.person, blocked=True)
        assert ann.switchboard.refuses(bob.person)
