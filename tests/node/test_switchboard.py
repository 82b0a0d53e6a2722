"""What links bring reaches the parts that it concerns."""

import asyncio
import copy
import os
import shutil
from pathlib import Path

from p2pchat import events
from p2pchat.core.chain import Accepted
from p2pchat.core.entry import MESSAGE, MessageBody
from p2pchat.core.wire import Run, encode
from p2pchat.node.node import Node
from p2pchat.store import journal
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


async def test_a_fork_seen_before_its_first_half_is_on_disk_is_kept(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "mal") as crew:
        await crew.found("ann")
        await crew.bring("ann", "mal")
        await crew["mal"].say("first")
        await crew.settle()
        ann, mal = crew["ann"], crew["mal"]
        room = (await ann.room()).key
        await crew.until(crew.level)
        rooms, chains = mal.parts.rooms, mal.group(room)
        own = rooms.own_chain(room)
        head = copy.copy(chains.heads[own])
        written = []
        for text in ("yes", "no"):
            chains.restore(own, head)
            entry = chains.write(
                rooms.identity(),
                rooms._incarnation,
                time=head.time + 1,
                kind=MESSAGE,
                body=MessageBody(text),
                random=os.urandom,
                epoch=chains.writing_epoch() or b"",
            )
            assert entry.signature is not None
            written.append((entry.raw, entry.body, entry.signature))
        # As if another link had brought it in the same turn of the loop.
        raw, body, signature = written[0]
        assert isinstance(ann.group(room).accept([raw], [body], signature), Accepted)
        raw, body, signature = written[1]
        session = mal.peers.session(ann.person)
        assert session is not None
        tag = session.tag(room)
        assert tag is not None
        await mal.pipes["ann"].send(encode(Run(tag, (raw,), (body,), signature, pushed=False)))
        await crew.until(lambda: ann.group(room).forks.get(own) is not None)

        async def kept() -> bool:
            return own in await ann.parts.database.read(lambda tx: journal.forks(tx, room))

        async with asyncio.timeout(10):
            while not await kept():
                await asyncio.sleep(0.01)
