"""Who has what of our rooms, and who has read what: heard, told, kept and counted.

Others tell over links what they have on disk (`have`) and what they have read (`seen`). Of whom no
link tells, entries do: whoever names a message of ours as a cause had it on disk, by their own
signature. Marks go to disk a moment later, since each link brings them again; our own at once.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from p2pchat import events
from p2pchat.core.bounds import SEEN_ROWS_MAX
from p2pchat.core.chain import Chains
from p2pchat.core.entry import MESSAGE, Entry
from p2pchat.core.facts import PeerHas
from p2pchat.core.identity import Identity, id_text
from p2pchat.core.receipts import Receipts
from p2pchat.core.wire import Seen, SeenRow
from p2pchat.errors import Error
from p2pchat.node.people import People
from p2pchat.node.rooms import Rooms
from p2pchat.store import journal
from p2pchat.store import receipts as table
from p2pchat.store.database import Connection, Database
from p2pchat.store.receipts import OURSELVES

if TYPE_CHECKING:
    from p2pchat.node.session import Session

__all__ = ["Marks"]

_log = logging.getLogger(__name__)
_TOGETHER_S = 0.2
"""What comes within it is told and kept together."""
_NAMED_EACH, _NAMED_MAX = 64, 1_024
"""Causes that are looked up of one run's newest entries, and in all: hints, which may be missed."""


class Marks:
    """`enabled`: whether others are told what we have read, and we are shown what they have."""

    def __init__(
        self,
        database: Database,
        rooms: Rooms,
        people: People,
        me: Callable[[], Identity],
        publish: Callable[[events.Event], None],
        *,
        enabled: bool,
    ) -> None:
        self._database = database
        self._rooms = rooms
        self._people = people
        self._me = me
        self._publish = publish
        self._enabled = enabled
        self._receipts = Receipts()
        self._told: dict[Session, dict[bytes, dict[bytes, int]]] = {}
        """session -> room -> chain -> up to where we have told to have read"""
        self._due: set[tuple[Session, bytes]] = set()
        self._named: deque[tuple[bytes, bytes]] = deque(maxlen=_NAMED_MAX)
        """who named which entry as a cause"""
        self._wake = asyncio.Event()
        self.sessions: Callable[[], Iterable[Session]] = lambda: ()
        rooms.marks_of = self._marks_of
        rooms.listeners.append(self._heard)

    async def load(self) -> None:
        self._receipts.restore(await self._database.read(table.all_marks))

    async def run(self) -> None:
        """Tell and keep what has moved, until cancelled."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(_TOGETHER_S)
            self._wake.clear()
            try:
                await self._learn()
                due, self._due = self._due, set()
                for session, room in due:
                    self._tell(session, room)
                await self.save()
            except Error as error:
                # A full disk, say: the next link brings them again.
                _log.warning("read marks not kept", extra={"why": str(error)})

    async def save(self) -> None:
        """Put on disk what has moved."""
        if moved := self._receipts.moved():
            await self._database.write(lambda tx: table.put(tx, moved))

    def forget(self, room: bytes) -> None:
        """The room is not here any more."""
        self._receipts.forget(room)
        for told in self._told.values():
            told.pop(room, None)

    # -- ourselves -----------------------------------------------------------------------------

    async def mark(self, room: bytes, message: bytes | None = None) -> events.Read:
        """We have read all that is here of a room, or all that came no later than `message`."""
        places = await self._database.read(lambda tx: table.upto(tx, room, message))
        moved = [
            chain
            for chain, seq in places.items()
            if self._receipts.read(room, OURSELVES, chain, seq) is not None
        ]
        await self.save()
        newest = await self._database.read(lambda tx: table.newest_read(tx, room, OURSELVES))
        event = self._event(room, self._me().person, newest)
        if not all(self._is_ours(room, chain) for chain in moved):
            self._publish(event)
            for session in self.sessions():
                self._tell_soon(session, room)
        return event

    async def unread(self, rooms: Iterable[Chains]) -> dict[bytes, int]:
        """How many messages of others we have not read, by room."""
        hidden = {chains.room: self._hidden(chains) for chains in rooms}
        return await self._database.read(
            lambda tx: {room: table.unread(tx, room, each) for room, each in hidden.items()}
        )

    def _hidden(self, chains: Chains) -> list[bytes]:
        me = self._me().person
        return [
            device
            for device, certificate in chains.certificates.items()
            if certificate.person == me or self._people.blocked(certificate.person)
        ]

    # -- links ---------------------------------------------------------------------------------

    async def has(self, session: "Session", fact: PeerHas) -> None:
        """A peer has told what it has on disk."""
        if self._receipts.mark(fact.room, OURSELVES, fact.chain).read >= 0:
            # It knows the chain now, so what we have read of it can be told.
            self._tell_soon(session, fact.room)
        await self._had(fact.room, session.peer, fact.chain, fact.seq)

    def left(self, session: "Session") -> None:
        self._told.pop(session, None)
        self._due = {due for due in self._due if due[0] is not session}

    def seen(self, session: "Session", frame: Seen) -> None:
        """A peer has told what it has read."""
        room = session.room(frame.tag)
        chains = self._rooms.get(room) if room is not None else None
        if chains is None or room is None or not self._enabled:
            return
        if session.peer not in chains.members or self._people.blocked(session.peer):
            return
        moved = [
            row
            for row in frame.rows
            # Of chains that are not of this room nothing is kept.
            if row.chain in chains.heads
            and self._receipts.read(room, session.peer, row.chain, row.seq) is not None
        ]
        if moved:
            self._publish(self._event(room, session.peer, None))
            self._wake.set()

    def _is_ours(self, room: bytes, chain: bytes) -> bool:
        """Whether we have written it: that we have read that too is no news to anybody."""
        return self._rooms.author(room, chain) == self._me().person

    def _tell_soon(self, session: "Session", room: bytes) -> None:
        if self._enabled:
            self._due.add((session, room))
            self._wake.set()

    def _tell(self, session: "Session", room: bytes) -> None:
        tag, chains = session.tag(room), self._rooms.get(room)
        if tag is None or chains is None or self._people.blocked(session.peer):
            return
        if session not in set(self.sessions()):
            return
        told = self._told.setdefault(session, {}).setdefault(room, {})
        rows = [
            SeenRow(chain, mark.read)
            for chain, mark in self._receipts.of(room, OURSELVES).items()
            # What the peer does not know of it could not keep; it is told once it does.
            if mark.read > told.get(chain, -1)
            and session.reconcile.peer_seq(room, chain) >= 0
            and not self._is_ours(room, chain)
        ]
        for start in range(0, len(rows), SEEN_ROWS_MAX):
            session.cue(Seen(tag, tuple(rows[start : start + SEEN_ROWS_MAX])))
        told.update({row.chain: row.seq for row in rows})

    # -- what others have ----------------------------------------------------------------------

    async def _had(self, room: bytes, person: bytes, chain: bytes, seq: int) -> None:
        """Somebody has a chain on disk; where it is ours, say which messages reached them."""
        me = self._me().person
        if self._rooms.get(room) is None:
            return  # forgotten meanwhile
        if person == me or self._rooms.author(room, chain) != me:
            return
        before = self._receipts.had(room, person, chain, seq)
        if before is None:
            return
        self._wake.set()
        if not self._rooms.heard():
            return
        recent = self._rooms.recent.between(chain, before, seq)
        if recent is not None:
            found = [entry.id for entry in recent if entry.header.kind == MESSAGE]
        else:
            found = await self._database.read(
                lambda tx: journal.messages_between(tx, chain, before, seq, MESSAGE)
            )
        for id_ in found:
            self._publish(
                events.Delivered(room=id_text(room), id=id_text(id_), peer=id_text(person))
            )

    def _heard(self, room: bytes, entries: Sequence[Entry], source: object) -> None:
        """New entries are on disk (`rooms.Listener`): their causes are on their authors' disks."""
        del source
        author = self._rooms.author(room, entries[0].chain)
        # Who is linked tells by itself.
        if author in (None, self._me().person) or self._people.session(author or b"") is not None:
            return
        causes = [cause for entry in entries[-_NAMED_EACH:] for cause in entry.header.after]
        if causes and author is not None:
            self._named += [(author, cause) for cause in causes[-_NAMED_EACH:]]
            self._wake.set()

    async def _learn(self) -> None:
        named = list(self._named)
        self._named.clear()
        if named:
            wanted = {cause for _, cause in named}
            found = await self._database.read(lambda tx: table.places(tx, wanted))
            for person, cause in named:
                if cause in found:
                    room, chain, seq = found[cause]
                    await self._had(room, person, chain, seq)

    # -- what is shown -------------------------------------------------------------------------

    def holders(self, room: bytes, entry: Entry) -> set[bytes]:
        """People who have told to have an entry of ours on disk."""
        return {person for person, _ in self._receipts.at(room, entry.chain, entry.header.seq)}

    def _marks_of(self, entry: Entry) -> tuple[list[str], list[str]]:
        at = self._receipts.at(entry.header.room, entry.chain, entry.header.seq)
        found = sorted((id_text(person), read) for person, read in at if person != OURSELVES)
        return [peer for peer, _ in found], [peer for peer, read in found if read and self._enabled]

    async def members(self, room: bytes, rows: Sequence[events.Member]) -> list[events.Member]:
        """The rows of a room's members, with what they have read."""
        await self.save()
        me = self._me().person
        chains = self._rooms.get(room)
        people = chains.members if chains is not None and self._enabled else frozenset((me,))

        def read(tx: Connection) -> dict[str, bytes | None]:
            return {
                id_text(person): table.newest_read(tx, room, OURSELVES if person == me else person)
                for person in people
                if self._receipts.of(room, OURSELVES if person == me else person)
            }

        newest = await self._database.read(read)
        return [
            msgspec.structs.replace(row, read_up_to=id_text(id_))
            if (id_ := newest.get(row.peer)) is not None
            else row
            for row in rows
        ]

    def _event(self, room: bytes, person: bytes, id_: bytes | None) -> events.Read:
        return events.Read(
            room=id_text(room),
            peer=id_text(person),
            name=self._people.name_of(person),
            id=id_text(id_) if id_ is not None else None,
            me=person == self._me().person,
        )
