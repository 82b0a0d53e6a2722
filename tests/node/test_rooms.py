"""Rooms in step with the store: what is written, what comes in, what fails."""

import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from p2pchat import errors, events
from p2pchat.core.bounds import TEXT_BYTES_MAX
from p2pchat.core.chain import Accepted
from p2pchat.core.entry import DEVICE, EPOCH, MESSAGE, Entry, MessageBody
from p2pchat.core.facts import Append
from p2pchat.core.identity import Identity
from p2pchat.node.rooms import Rooms
from p2pchat.store.database import Database
from tests.node.people import WAIT_S, friends, heard


class _Desk:
    """Rooms of one person with one other, with what was shown and what was committed."""

    def __init__(self, database: Database, identity: Identity, other: Identity) -> None:
        self.shown: list[events.Event] = []
        self.committed: list[tuple[Entry, ...]] = []
        self.database = database
        self.other = other
        self.rooms = Rooms(database, os.urandom(8), os.urandom, time.time, self.shown.append)
        self.rooms.identity = lambda: identity
        self.rooms.listeners.append(lambda _, entries, __: self.committed.append(tuple(entries)))

    async def open(self) -> "_Desk":
        person = self.other.person
        self.room = await self.database.write(lambda tx: self.rooms.create_direct(tx, person))
        await self.rooms.load()
        return self

    async def say(self, text: str) -> Entry:
        body = MessageBody(text, None)
        return await self.rooms.write(self.room, MESSAGE, body, [self.other.certificate])

    async def take(self, entries: Sequence[Entry]) -> None:
        """As a link does: check, then commit."""
        chains = self.rooms.get(self.room)
        assert chains is not None
        signature = entries[-1].signature
        assert signature is not None
        accepted = chains.accept(
            [entry.raw for entry in entries], [entry.body for entry in entries], signature
        )
        assert isinstance(accepted, Accepted)
        await self.rooms.commit([Append(self.room, accepted.entries)], self)

    @property
    def texts(self) -> list[str]:
        return [event.text for event in self.shown if isinstance(event, events.Message)]

    async def history(self, words: str | None = None) -> list[str]:
        found = await self.rooms.history(
            self.room, last=None, since_s=None, kinds=(MESSAGE,), words=words
        )
        return [event.text for event in found if isinstance(event, events.Message)]


@asynccontextmanager
async def _desk(path: Path, identity: Identity, other: Identity) -> AsyncIterator[_Desk]:
    database = await Database.open(path, os.urandom(32))
    try:
        yield await _Desk(database, identity, other).open()
    finally:
        await database.aclose()


async def _fill(database: Database) -> None:
    """Let the database grow no further, as on a full disk."""
    await database.write(lambda tx: tx.execute("PRAGMA max_page_count = 1").fetchall())


async def _free(database: Database) -> None:
    await database.write(lambda tx: tx.execute("PRAGMA max_page_count = 1000000").fetchall())


async def test_before_a_first_message_stand_who_writes_and_under_which_key(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with _desk(tmp_path / "ann", ann, bob) as desk:
        await desk.say("one")
        await desk.say("two")
        kinds = [[entry.header.kind for entry in entries] for entries in desk.committed]
        assert kinds == [[DEVICE, EPOCH, MESSAGE], [MESSAGE]]
        assert desk.texts == ["one", "two"] == await desk.history()


async def test_what_the_other_writes_is_shown_once_it_is_on_disk(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with _desk(tmp_path / "ann", ann, bob) as near, _desk(tmp_path / "bob", bob, ann) as far:
        await near.say("hello")
        await far.take(near.committed[0])
        assert far.texts == ["hello"] == await far.history()
        await far.say("hello yourself")
        assert [entry.header.kind for entry in far.committed[-1]] == [DEVICE, MESSAGE], (
            "Ann's epoch serves both"
        )
        await near.take(far.committed[-1])
        assert near.texts == await far.history() == ["hello", "hello yourself"]
        assert await near.history("your*") == await far.history("your*") == ["hello yourself"]


async def test_an_entry_whose_key_comes_after_a_restart_is_read_all_the_same(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with (
        _desk(tmp_path / "ann", ann, bob) as lost,
        _desk(tmp_path / "bob", bob, ann) as far,
        _desk(tmp_path / "again", ann, bob) as restored,
    ):
        await lost.say("before")
        await far.take(lost.committed[0])
        await far.say("after one")
        await far.say("after two")
        for entries in far.committed[-2:]:
            await restored.take(entries)
        await restored.rooms.load()
        await restored.take(lost.committed[0])
        assert sorted(restored.texts) == ["after one", "after two", "before"]
        assert await restored.history("after") == ["after one", "after two"]


async def test_an_entry_whose_key_comes_later_is_shown_when_it_does(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with (
        _desk(tmp_path / "ann", ann, bob) as lost,
        _desk(tmp_path / "bob", bob, ann) as far,
        _desk(tmp_path / "again", ann, bob) as restored,
    ):
        await lost.say("before")
        await far.take(lost.committed[0])
        await far.say("after")
        await restored.take(far.committed[-1])
        assert restored.texts == []
        await restored.take(lost.committed[0])
        assert sorted(restored.texts) == ["after", "before"]
        assert await restored.history() == ["before", "after"]
        assert await restored.history("after") == ["after"]


async def test_a_failed_commit_shows_nothing_and_leaves_the_room_as_it_is_on_disk(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with _desk(tmp_path / "ann", ann, bob) as desk:
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
        assert (len(desk.committed), desk.texts) == (1, ["one"])
        await _free(desk.database)
        await desk.say("two")
        assert await desk.history() == ["one", "two"]


async def test_an_id_is_found_by_its_beginning_alone(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with _desk(tmp_path / "ann", ann, bob) as desk:
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
