"""What is written at one time goes to disk together, all of it or none, and is told of in order."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from p2pchat import errors
from p2pchat.core.entry import Entry
from p2pchat.core.facts import Append
from p2pchat.core.identity import Identity
from p2pchat.node.commits import Run
from p2pchat.store import database as module
from p2pchat.store import journal
from p2pchat.store.database import Connection, Database
from tests.node.desk import Desk, open_desk

_TEXTS = [f"number {number}" for number in range(20)]
_PAGES = "PRAGMA max_page_count"


def _occupy(database: Database) -> tuple["asyncio.Future[None]", Callable[[], None]]:
    """Keep the store's writer busy, until what is answered second is called."""
    free = Event()

    def wait(tx: Connection) -> None:
        del tx
        assert free.wait(10)

    return database.submit(wait), free.set


async def _say_all(desk: Desk) -> list[Entry]:
    """Write all texts while the store is busy."""
    await desk.say("first")
    desk.committed.clear()
    busy, free = _occupy(desk.database)
    async with asyncio.TaskGroup() as tasks:
        said = [tasks.create_task(desk.say(text)) for text in _TEXTS]
        await asyncio.sleep(0)
        free()
    await busy
    return [task.result() for task in said]


async def test_what_is_written_while_the_store_is_busy_goes_as_one_run(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with open_desk(tmp_path / "ann", ann, bob) as desk:
        entries = await _say_all(desk)
        assert desk.committed == [tuple(entries)], "one run, in the order in which it was written"
        assert await desk.texts() == ["first", *_TEXTS]
        (head,) = await desk.database.read(lambda tx: journal.heads(tx, desk.room))
        assert head.id == entries[-1].id
        assert desk.shown == await desk.read(), "what was told at once is what is read later"


async def test_where_it_cannot_be_written_nobody_is_told_that_it_was(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with open_desk(tmp_path / "ann", ann, bob) as desk:
        await desk.say("first")
        chains = desk.rooms.get(desk.room)
        assert chains is not None
        before, shown = dict(chains.heads), len(desk.shown)
        busy, free = _occupy(desk.database)
        full = desk.database.submit(lambda tx: tx.execute(f"{_PAGES} = 1").fetchall())
        failed: list[str] = []

        async def say(text: str) -> None:
            with pytest.raises(errors.Error) as caught:
                await desk.say(text)
            failed.append(caught.value.code)

        async with asyncio.TaskGroup() as tasks:
            for text in _TEXTS:
                tasks.create_task(say("x" * 10_000 + text))
            await asyncio.sleep(0)
            free()
        await asyncio.gather(busy, full)
        assert failed == ["disk-full"] * len(_TEXTS)
        assert chains.heads == before, "memory is as the disk is"
        assert len(desk.shown) == shown
        await desk.database.write(lambda tx: tx.execute(f"{_PAGES} = 1000000").fetchall())
        await desk.say("second")
        assert await desk.texts() == ["first", "second"]


async def test_who_goes_away_meanwhile_has_written_all_the_same(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with open_desk(tmp_path / "ann", ann, bob) as desk:
        await desk.say("first")
        busy, free = _occupy(desk.database)
        async with asyncio.TaskGroup() as tasks:
            gone = tasks.create_task(desk.say("second"))
            await asyncio.sleep(0)
            gone.cancel()
        assert gone.cancelled()
        free()
        await busy
        await desk.say("third")
        assert await desk.texts() == ["first", "second", "third"]
        told = [entry.header.seq for entries in desk.committed for entry in entries]
        assert told == sorted(told), "links hear of the second too, and before the third"
        assert len(told) == len(set(told)) == told[-1] + 1


async def test_a_closed_store_is_an_error(tmp_path: Path, ann: Identity, bob: Identity) -> None:
    async with open_desk(tmp_path / "ann", ann, bob) as desk:
        await desk.say("first")
        await desk.database.aclose()
        for _ in range(2):
            with pytest.raises(errors.Error, match="closed"):
                await asyncio.wait_for(desk.say("second"), 5)


async def test_a_transaction_that_could_not_begin_holds_up_none_behind_it(
    tmp_path: Path, ann: Identity, bob: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BUSY_S", 0.1)
    path, key = tmp_path / "ann", bytes(range(32))
    async with open_desk(path, ann, bob, key=key) as desk:
        await desk.say("first")
        other = module.connect(path, key)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.Busy):
            await desk.say("second")
        chains = desk.rooms.get(desk.room)
        assert chains is not None
        # What memory was to forget could not be read anew either; of that nobody is told.
        with pytest.raises(errors.Busy):
            await desk.rooms.commit([Append(desk.room, (), chains.reloads)], None)
        other.execute("ROLLBACK")
        other.close()
        async with asyncio.timeout(5):
            with pytest.raises(errors.Error, match="moved meanwhile"):
                await desk.rooms.commit([Append(desk.room, (), chains.reloads)], None)
            await desk.say("third")
        assert await desk.texts() == ["first", "third"]


async def test_who_begins_to_listen_while_a_message_is_written_misses_it_not(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with open_desk(tmp_path / "ann", ann, bob) as desk:
        await desk.say("first")
        asked, go_on = Event(), Event()
        listening = False

        def heard() -> bool:
            """In the store's thread: nobody listens yet, and what comes then is too late."""
            answer = listening
            asked.set()
            assert go_on.wait(10)
            return answer

        desk.rooms.heard = heard
        desk.shown.clear()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(desk.say("second"))
            await asyncio.to_thread(asked.wait, 10)
            listening = True
            reading = tasks.create_task(desk.texts())
            await asyncio.sleep(0.05)
            go_on.set()
        assert (reading.result(), desk.told) == (["first", "second"], [])


async def test_runs_that_do_not_follow_each_other_stay_apart(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with open_desk(tmp_path / "ann", ann, bob) as desk:
        one, two, three = [await desk.say(text) for text in _TEXTS[:3]]
        chains = desk.rooms.get(desk.room)
        assert chains is not None
        run = Run(chains, [one], fresh=True)
        assert run.takes(Run(chains, [two], fresh=True))
        assert run.joined(Run(chains, [two], fresh=True)).entries == [one, two]
        assert not run.takes(Run(chains, [three], fresh=True)), "the second is missing"
        assert not run.takes(Run(chains, [two], fresh=False))
        assert not run.takes(Run(chains, [two], source=desk, fresh=True))
