"""The index of words follows the journal by itself, and is complete whenever it is asked."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from p2pchat import events
from p2pchat.core.entry import MESSAGE, DeleteBody, MessageBody
from p2pchat.core.identity import Identity
from p2pchat.node import words as module
from p2pchat.node.rooms import Rooms
from p2pchat.store import search
from p2pchat.store.database import Database
from signaling.tasks import owned_tasks
from tests.node.desk import open_desk
from tests.node.people import WAIT_S

_KEY = bytes(32)


class _Writer:
    """Says things in a room of two."""

    def __init__(self, database: Database) -> None:
        self.database = database
        ann, self._bob = (Identity.create(name, os.urandom) for name in ("Ann", "Bob"))
        self.rooms = Rooms(database, os.urandom(8), os.urandom, time.time, lambda _: None)
        self.rooms.identity = lambda: ann

    async def open(self) -> "_Writer":
        person = self._bob.person
        self.room = await self.database.write(lambda tx: self.rooms.create_direct(tx, person))
        await self.rooms.load()
        return self

    async def say(self, count: int) -> None:
        for number in range(count):
            body = MessageBody(f"number {number}")
            await self.rooms.write(self.room, MESSAGE, body, [self._bob.certificate])

    async def found(self) -> int:
        """How many the index has, without asking for more."""
        entries = await self.database.read(
            lambda tx: search.find(tx, self.room, "number", (MESSAGE,), last=None)
        )
        return len(entries)

    async def searched(self) -> int:
        found = await self.rooms.history(
            self.room, last=None, since_s=None, kinds=(MESSAGE,), words="number"
        )
        return len(found)


@asynccontextmanager
async def _running(writer: _Writer) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(writer.rooms.words.run())
        yield
        task.cancel()


@pytest_asyncio.fixture
async def writer(tmp_path: Path) -> AsyncIterator[_Writer]:
    database = await Database.open(tmp_path / "journal.db", _KEY)
    try:
        yield await _Writer(database).open()
    finally:
        await database.aclose()


async def test_a_search_finds_what_was_written_just_before(
    writer: _Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TOGETHER", 2)
    await writer.say(5)
    assert await writer.found() == 0, "indexing is no part of a message's commit"
    assert await writer.searched() == 5 == await writer.found()


async def test_what_was_not_indexed_when_the_database_closed_is_found_afterwards(
    writer: _Writer, tmp_path: Path
) -> None:
    await writer.say(3)
    await writer.searched()
    await writer.say(2)
    again = await Database.open(tmp_path / "journal.db", _KEY)
    try:
        rooms = Rooms(again, os.urandom(8), os.urandom, time.time, lambda _: None)
        await rooms.load()
        await rooms.words.complete()
        entries = await again.read(
            lambda tx: search.find(tx, writer.room, "number", (MESSAGE,), last=None)
        )
        assert len(entries) == 5
    finally:
        await again.aclose()


async def test_two_searches_at_once_index_each_message_once(writer: _Writer) -> None:
    await writer.say(4)
    assert await asyncio.gather(writer.searched(), writer.searched()) == [4, 4]


async def test_once_nothing_is_written_for_a_moment_the_index_catches_up(
    writer: _Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_QUIET_S", 0.01)
    async with _running(writer):
        for expected in (3, 6):
            await writer.say(3)
            async with asyncio.timeout(WAIT_S):
                while await writer.found() < expected:
                    await asyncio.sleep(0.01)


async def test_a_full_disk_ends_neither_the_task_nor_later_indexing(
    writer: _Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_QUIET_S", 0.01)
    await writer.say(200)
    await writer.database.write(lambda tx: tx.execute("PRAGMA max_page_count = 1").fetchall())
    tried = asyncio.Event()
    monkeypatch.setattr(module._log, "warning", lambda *_, **__: tried.set())
    async with _running(writer):
        async with asyncio.timeout(WAIT_S):
            await tried.wait()
        assert await writer.found() < 200
        await writer.database.write(
            lambda tx: tx.execute("PRAGMA max_page_count = 1000000").fetchall()
        )
        await writer.say(1)
        async with asyncio.timeout(WAIT_S):
            while await writer.found() < 201:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("heard", [True, False])
async def test_how_long_a_message_lives_is_read_behind_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: bool
) -> None:
    # Where it is shown it is known to be fleeting, and waits for no quiet.
    monkeypatch.setattr(module, "_QUIET_S", 60.0 if heard else 0.01)
    ann, bob = (Identity.create(name, os.urandom) for name in ("Ann", "Bob"))
    async with (
        open_desk(tmp_path / "ann", ann, bob) as near,
        open_desk(tmp_path / "bob", bob, ann) as far,
        owned_tasks() as tasks,
    ):
        far.rooms.heard = lambda: heard
        tasks.create_task(far.rooms.words.run())
        tasks.create_task(far.rooms.talk.watch())
        await near.say("for ever")
        entry = await near.say("for a second", 1)
        for entries in near.committed:
            await far.take(entries)
        assert (await far.bodies())[entry.id] is not None
        far.now = near.now + 2
        assert await far.texts() == ["for ever"], "it is not shown even before it is swept"
        async with asyncio.timeout(WAIT_S):
            while (await far.bodies())[entry.id] is not None:
                await asyncio.sleep(0.01)


async def test_what_no_version_can_read_takes_no_place_in_a_listing(tmp_path: Path) -> None:
    ann, bob = (Identity.create(name, os.urandom) for name in ("Ann", "Bob"))
    async with open_desk(tmp_path / "ann", ann, bob) as desk:
        await desk.say("hello")
        await desk.write(MESSAGE, DeleteBody(b"no text"))
        await desk.rooms.words.complete()
        found = await desk.rooms.history(desk.room, last=1, since_s=None, kinds=(MESSAGE,))
        assert [one.text for one in found if isinstance(one, events.Message)] == ["hello"]
