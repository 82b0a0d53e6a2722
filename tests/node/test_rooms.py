"""Rooms in step with the store: what is written, what comes in, what fails."""

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from p2pchat import errors, events
from p2pchat.core.bounds import FORKS_EACH_MAX, TEXT_BYTES_MAX
from p2pchat.core.entry import DEVICE, EPOCH, MESSAGE
from p2pchat.core.facts import Append, Forked
from p2pchat.core.identity import Identity
from p2pchat.store import journal
from p2pchat.store.database import Database
from tests.harness.crew import Crew
from tests.harness.pair import forks
from tests.node.desk import open_desk, open_desks
from tests.node.people import WAIT_S, friends, heard


async def _fill(database: Database) -> None:
    """Let the database grow no further, as on a full disk."""
    await database.write(lambda tx: tx.execute("PRAGMA max_page_count = 1").fetchall())


async def _free(database: Database) -> None:
    await database.write(lambda tx: tx.execute("PRAGMA max_page_count = 1000000").fetchall())


async def test_before_a_first_message_stand_who_writes_and_under_which_key(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with open_desk(tmp_path / "ann", ann, bob) as desk:
        await desk.say("one")
        await desk.say("two")
        kinds = [[entry.header.kind for entry in entries] for entries in desk.committed]
        assert kinds == [[DEVICE, EPOCH, MESSAGE], [MESSAGE]]
        assert desk.told == ["one", "two"] == await desk.texts()


async def test_what_the_other_writes_is_shown_once_it_is_on_disk(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with open_desks(tmp_path, ann, bob) as (near, far):
        await near.say("hello")
        await far.take(near.committed[0])
        assert far.told == ["hello"] == await far.texts()
        await far.say("hello yourself")
        assert [entry.header.kind for entry in far.committed[-1]] == [DEVICE, MESSAGE], (
            "Ann's epoch serves both"
        )
        await near.take(far.committed[-1])
        assert near.told == await far.texts() == ["hello", "hello yourself"]
        assert await near.texts("your*") == await far.texts("your*") == ["hello yourself"]


async def test_an_entry_whose_key_comes_after_a_restart_is_read_all_the_same(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with (
        open_desk(tmp_path / "ann", ann, bob) as lost,
        open_desk(tmp_path / "bob", bob, ann) as far,
        open_desk(tmp_path / "again", ann, bob) as restored,
    ):
        await lost.say("before")
        await far.take(lost.committed[0])
        await far.say("after one")
        await far.say("after two")
        for entries in far.committed[-2:]:
            await restored.take(entries)
        await restored.rooms.load()
        await restored.take(lost.committed[0])
        assert sorted(restored.told) == ["after one", "after two", "before"]
        assert await restored.texts("after") == ["after one", "after two"]


async def test_an_entry_whose_key_comes_later_is_shown_when_it_does(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with (
        open_desk(tmp_path / "ann", ann, bob) as lost,
        open_desk(tmp_path / "bob", bob, ann) as far,
        open_desk(tmp_path / "again", ann, bob) as restored,
    ):
        await lost.say("before")
        await far.take(lost.committed[0])
        await far.say("after")
        await restored.take(far.committed[-1])
        assert restored.told == []
        await restored.take(lost.committed[0])
        assert sorted(restored.told) == ["after", "before"]
        assert await restored.texts() == ["before", "after"]
        assert await restored.texts("after") == ["after"]


async def test_what_a_link_brought_is_known_to_be_its(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with open_desks(tmp_path, ann, bob) as (near, far):
        for text in ("one", "two", "three"):
            await near.say(text)
        assert near.sources == [None, None, None]
        await far.take(near.committed[0])
        # Of two that were accepted, the second is put on disk by the link that brought it.
        appends = [far.accept(entries) for entries in near.committed[1:]]
        await far.rooms.commit(appends[1:], "link")
        assert far.sources == [far, None, "link"]


async def test_a_link_that_has_gone_leaves_its_commit_to_be_waited_for(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with open_desks(tmp_path, ann, bob) as (near, far):
        await near.say("hello")
        busy = threading.Event()
        held = far.database.submit(lambda _: busy.wait(10))
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(far.take(near.committed[0]))
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.sleep(0)
            # As before a `have` of another link: it says what is on disk.
            other = tasks.create_task(far.rooms.commit([Append(far.room, ())], None))
            for _ in range(5):
                await asyncio.sleep(0)
            assert first.cancelled()
            assert not other.done()
            assert not far.rooms.saving.free
            busy.set()
        await held
        assert far.told == ["hello"] == await far.texts()
        assert far.rooms.saving.free


@pytest.mark.parametrize("written", ["here", "elsewhere"])
async def test_nothing_is_said_of_entries_on_their_way_to_a_disk_that_then_fails(
    tmp_path: Path, ann: Identity, bob: Identity, written: str
) -> None:
    async with open_desks(tmp_path, ann, bob) as (near, far):
        await near.say("hello")
        await far.take(near.committed[0])
        await near.say("x" * TEXT_BYTES_MAX)
        chains = far.rooms.get(far.room)
        assert chains is not None
        await _fill(far.database)
        digest = chains.digest()
        busy = threading.Event()
        held = far.database.submit(lambda _: busy.wait(10))
        long = "x" * TEXT_BYTES_MAX
        coming = far.say(long) if written == "here" else far.take(near.committed[1])
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(_failing(coming))
            await asyncio.sleep(0)
            assert chains.digest() != digest
            # As before a summary on another link, which names the digest that is now.
            other = tasks.create_task(
                _failing(far.rooms.commit([Append(far.room, (), chains.reloads)], None))
            )
            await asyncio.sleep(0)
            busy.set()
        await held
        assert first.result() == "disk-full"
        assert other.result() == "internal"
        assert chains.digest() == digest


async def _failing(work: Coroutine[Any, Any, object]) -> str:
    with pytest.raises(errors.Error) as caught:
        await work
    return caught.value.code


async def test_a_failed_commit_shows_nothing_and_leaves_the_room_as_it_is_on_disk(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with open_desk(tmp_path / "ann", ann, bob) as desk:
        await desk.say("one")
        chains = desk.rooms.get(desk.room)
        assert chains is not None
        digest = chains.digest()
        await _fill(desk.database)
        with pytest.raises(errors.Error) as caught:
            await desk.say("x" * TEXT_BYTES_MAX)
        assert caught.value.code == "disk-full"
        assert desk.rooms.get(desk.room) is chains, "links hold this one"
        assert chains.digest() == digest
        assert (len(desk.committed), desk.told) == (1, ["one"])
        await _free(desk.database)
        await desk.say("two")
        assert await desk.texts() == ["one", "two"]


async def test_an_id_is_found_by_its_beginning_alone(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with open_desk(tmp_path / "ann", ann, bob) as desk:
        await desk.say("one")
        for prefix in ("", "1"):
            with pytest.raises(errors.BadInput) as caught:
                await desk.rooms.find(desk.room, prefix)
            assert caught.value.code == "entry-unknown"


async def test_a_link_that_stood_through_a_failed_commit_goes_on(tmp_path: Path) -> None:
    async with friends(tmp_path) as (ann, bob):
        near, far = await ann.room("@Bob"), await bob.room("@Ann")
        one = await near.send("one")
        assert [event async for event in near.delivered(one.id, timeout=WAIT_S)]
        await _fill(ann._parts.database)
        with pytest.raises(errors.Error, match="full"):
            await near.send("x" * TEXT_BYTES_MAX)
        await _free(ann._parts.database)
        with bob.events() as feed:
            await near.send("two")
            await heard(feed, events.Message, text="two")
        with ann.events() as feed:
            await far.send("three")
            await heard(feed, events.Message, text="three")
        last = [event async for event in ann.sync(wait=True, timeout=WAIT_S)][-1]
        assert last.state == "in-sync"
        assert [event.text async for event in near.history()] == ["one", "two", "three"]


async def test_who_is_barred_for_forks_is_so_after_a_restart(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "mal") as crew:
        await crew.found("ann")
        await crew.bring("ann", "mal")
        await crew["mal"].say("hello")
        direct = await crew["mal"].node.room(crew["ann"].id)
        await direct.send("hello")
        rooms, mal = crew["ann"].parts.rooms, crew["mal"].node.identity
        group = crew["ann"].group((await crew["ann"].room()).key)
        await crew.until(
            lambda: crew.level() and all(mal.device in one.certificates for one in rooms.all())
        )
        under = group.membership.members[mal.person].admission
        digests = {}
        for chains, after in ((group, (under,)), (rooms.get(direct.key), ())):
            assert chains is not None
            for proof in forks(chains, mal, 2 * FORKS_EACH_MAX, 5, after):
                chain = chains.prove(proof)
                if chain is not None:
                    await rooms.keep_fork(Forked(chains.room, chain, proof))
            assert chains.barred == {mal.person}
            digests[chains.room] = chains.digest()
        await crew.cut_all()
        await rooms.load()
        assert {chains.room: chains.digest() for chains in rooms.all()} == digests
        kept = await crew["ann"].parts.database.read(lambda tx: journal.forks(tx, group.room))
        assert len(kept) == FORKS_EACH_MAX + 1
