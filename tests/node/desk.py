"""Rooms of one person with one other over a database, no node and no link around them."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from p2pchat import events
from p2pchat.core.chain import Accepted
from p2pchat.core.entry import MESSAGE, Entry, MessageBody
from p2pchat.core.facts import Append
from p2pchat.core.identity import Identity
from p2pchat.node.rooms import Rooms
from p2pchat.store.database import Connection, Database

__all__ = ["NOW", "Desk", "open_desk", "open_desks"]

NOW = 1_800_000_000.0


class Desk:
    """Rooms of one person with one other, at an hour that the test sets."""

    def __init__(self, database: Database, identity: Identity, other: Identity) -> None:
        self.now = NOW
        self.shown: list[events.Event] = []
        self.committed: list[tuple[Entry, ...]] = []
        self.sources: list[object] = []
        """who brought each of these; None if that is not known, or it was written here"""
        self.database = database
        self.other = other
        self.rooms = Rooms(database, os.urandom(8), os.urandom, lambda: self.now, self.shown.append)
        self.rooms.identity = lambda: identity
        self.rooms.listeners.append(self._heard)

    async def open(self) -> "Desk":
        person = self.other.person
        self.room = await self.database.write(lambda tx: self.rooms.create_direct(tx, person))
        await self.rooms.load()
        return self

    async def write(self, kind: int, body: msgspec.Struct) -> Entry:
        self.now += 1
        return await self.rooms.write(self.room, kind, body, [self.other.certificate])

    async def say(self, text: str, lifetime_s: int | None = None) -> Entry:
        return await self.write(MESSAGE, MessageBody(text, None, lifetime_s))

    def _heard(self, _: bytes, entries: Sequence[Entry], source: object) -> None:
        self.committed.append(tuple(entries))
        self.sources.append(source)

    def accept(self, entries: Sequence[Entry]) -> Append:
        """What a link's machine would have put on disk."""
        chains = self.rooms.get(self.room)
        assert chains is not None
        signature = entries[-1].signature
        assert signature is not None
        raws, bodies = [entry.raw for entry in entries], [entry.body for entry in entries]
        accepted = chains.accept(raws, bodies, signature)
        assert isinstance(accepted, Accepted)
        return Append(self.room, accepted.entries, chains.reloads)

    async def take(self, entries: Sequence[Entry]) -> None:
        await self.rooms.commit([self.accept(entries)], self)

    async def read(self, words: str | None = None) -> list[events.Message]:
        found = await self.rooms.history(
            self.room, last=None, since_s=None, kinds=(MESSAGE,), words=words
        )
        return [event for event in found if isinstance(event, events.Message)]

    @property
    def told(self) -> list[str]:
        """The texts of messages that were shown."""
        return [event.text for event in self.shown if isinstance(event, events.Message)]

    async def texts(self, words: str | None = None) -> list[str]:
        return [message.text for message in await self.read(words)]

    async def bodies(self) -> dict[bytes, bytes | None]:
        return await self.database.read(
            lambda tx: dict(tx.execute("SELECT id, body FROM entries").fetchall())
        )

    async def indexed(self) -> list[str]:
        """The texts that the index has."""
        rows = await self.database.read(
            lambda tx: tx.execute("SELECT c0 FROM words_content ORDER BY id").fetchall()
        )
        return [row[0] for row in rows]

    async def tables(self) -> list[object]:
        """All that this node keeps of talk, once it has read all."""
        await self.rooms.words.complete()
        await self.rooms.talk.sweep()

        def read(tx: Connection) -> list[object]:
            return [
                tx.execute(f"SELECT {columns} FROM {table} ORDER BY 1").fetchall()
                for table, columns in (
                    ("amendments", "id, target, kind, person, text, state"),
                    ("expiring", "*"),
                    ("dropped", "*"),
                    ("late", "id"),
                    ("entries", "id, kind, body IS NULL"),
                )
            ]

        return await self.database.read(read)

    def own(self) -> list[tuple[Entry, ...]]:
        """What this desk wrote, a run for each step."""
        device = self.rooms.identity().device
        return [entries for entries in self.committed if entries[0].header.device == device]

    def changes(self) -> list[tuple[str, str | None, bool]]:
        return [
            (event.change, event.text, event.on)
            for event in self.shown
            if isinstance(event, events.Changed)
        ]


@asynccontextmanager
async def open_desk(
    path: Path, identity: Identity, other: Identity, *, key: bytes | None = None
) -> AsyncIterator[Desk]:
    database = await Database.open(path, key or os.urandom(32))
    try:
        yield await Desk(database, identity, other).open()
    finally:
        await database.aclose()


@asynccontextmanager
async def open_desks(
    folder: Path, one: Identity, other: Identity
) -> AsyncIterator[tuple[Desk, Desk]]:
    """The desks of two who know each other."""
    async with (
        open_desk(folder / "ann", one, other) as near,
        open_desk(folder / "bob", other, one) as far,
    ):
        yield near, far
