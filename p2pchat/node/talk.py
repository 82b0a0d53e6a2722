"""What people do with messages beside bringing new ones: a beginning, and messages that disappear
when their hour comes.

What new entries do is `node.fold`'s, and how a message reads `node.reading`'s.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Container, Iterable, Sequence
from dataclasses import replace
from functools import partial

from p2pchat.core.chain import Chains
from p2pchat.core.entry import Entry
from p2pchat.core.identity import id_text
from p2pchat.errors import Error
from p2pchat.events import Changed, Event
from p2pchat.node.fold import TALK, Fold
from p2pchat.node.reading import Admins, Reading, readings
from p2pchat.store import amendments, expiring, journal, lacking, meta
from p2pchat.store.database import Connection, Database

__all__ = ["Talk", "nobody"]

_log = logging.getLogger(__name__)
_PAGE = 2_000
"""Entries in one transaction where all are read anew."""


def nobody(room: bytes) -> Collection[bytes]:
    """The admins of a room of two."""
    del room
    return ()


class Talk:
    """What talk needs beside new entries: a beginning, and an eye on the clock."""

    def __init__(
        self,
        database: Database,
        chains: Callable[[bytes], Chains | None],
        wall: Callable[[], float],
        publish: Callable[[Event], None],
    ) -> None:
        self._database = database
        self._chains = chains
        self._wall = wall
        self._publish = publish
        self._sooner = asyncio.Event()
        self.admins: Admins = nobody
        self.lacks: set[bytes] = set()
        """Rooms with messages that may lack a body; all others lack none."""

    def now_ms(self) -> int:
        """Unix milliseconds by our clock."""
        return int(self._wall() * 1000)

    def fold(self, tx: Connection, chains: Chains) -> Fold:
        """For new entries of a room; to be settled within the same transaction."""
        return Fold(tx, chains, self.admins, self.now_ms(), self.lacks)

    def readings(
        self,
        tx: Connection,
        chains: Chains,
        entries: Iterable[Entry],
        fresh: Container[bytes] = (),
    ) -> dict[bytes, Reading]:
        """How these entries of a room read now; of `fresh` ones nothing was said yet."""
        return readings(tx, chains, entries, self.admins, fresh)

    def edits(self, tx: Connection, room: bytes, entries: Sequence[Entry]) -> dict[bytes, Entry]:
        """Of which edit those of these messages have their text that have it of one."""
        chains = self._chains(room)
        found = self.readings(tx, chains, entries) if chains is not None else {}
        return {id_: one.edit for id_, one in found.items() if one.edit is not None}

    def versions(self, tx: Connection, chains: Chains, entry: Entry) -> list[tuple[Reading, int]]:
        """How a message read with each of its texts, and the time of that, the first one first."""
        reading = self.readings(tx, chains, [entry])[entry.id]
        edits = amendments.entries(tx, list(reading.amended.edits))
        versions = [entry, *(edits[id_] for id_ in reading.amended.edits)]
        return [
            (replace(reading, edit=one if one is not entry else None), one.header.time)
            for one in versions
        ]

    async def start(self) -> None:
        """Before anything is read: take what was kept unread, and let go what is due."""
        self.lacks |= await self._database.read(lacking.rooms)
        await self._refold()
        await self.sweep()

    async def _refold(self) -> None:
        """Take all that is here anew, many in a transaction."""
        if await self._database.read(partial(meta.get, name="talk")) != b"0":
            return

        def step(tx: Connection, number: int) -> int | None:
            rows = journal.after(tx, number, TALK, _PAGE)
            for room in {entry.header.room for _, entry in rows}:
                chains = self._chains(room)
                if chains is not None:
                    fold = self.fold(tx, chains)
                    fold.take(entry for _, entry in rows if entry.header.room == room)
                    fold.settle()
            return rows[-1][0] if rows else None

        number: int | None = 0
        while number is not None:
            number = await self._database.write(partial(step, number=number))
        await self._database.write(partial(meta.put, name="talk", value=b"1"))

    # -- what disappears -----------------------------------------------------------------------

    async def sweep(self) -> None:
        """Let go of all messages whose hour has come."""

        def step(tx: Connection, now_ms: int) -> list[tuple[bytes, bytes]]:
            found = expiring.due(tx, now_ms, _PAGE)
            for room in {room for room, _ in found}:
                ids = [id_ for where, id_ in found if where == room]
                chains = self._chains(room)
                if chains is not None:
                    Fold(tx, chains, self.admins, now_ms, self.lacks).expire(ids)
                for id_ in ids:
                    expiring.forget(tx, id_)
            return found

        while await self._database.read(partial(expiring.due, now_ms=self.now_ms(), count=1)):
            for room, id_ in await self._database.write(partial(step, now_ms=self.now_ms())):
                self._publish(Changed(room=id_text(room), id=id_text(id_), change="expired"))

    def sooner(self) -> None:
        """Something may disappear before what was to be the next."""
        self._sooner.set()

    async def watch(self) -> None:
        """Let messages go when their hour comes, for ever."""
        while True:
            self._sooner.clear()
            try:
                await self.sweep()
                at = await self._database.read(expiring.next_due)
            except Error as error:  # a full disk passes
                _log.warning("messages that should disappear are kept: %s", error.message)
                at = None
            # By steps, since the machine's clock may be set, or have slept.
            wait_s = 60.0 if at is None else min(60.0, max(0.05, (at - self.now_ms()) / 1000))
            try:
                async with asyncio.timeout(wait_s):
                    await self._sooner.wait()
            except TimeoutError:
                continue
