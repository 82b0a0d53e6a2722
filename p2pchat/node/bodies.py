"""Bodies that entries came without: asked of each peer that may have them, and given to those that
ask (docs/protocol.md, 7: lacking, bodies).

A member that has deleted a body serves its entry without it. Whoever knows of no delete asks
others, so that nobody can make a message vanish by passing it on empty.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from p2pchat.core.bounds import LACKING_BYTES
from p2pchat.core.wire import Bodies, Body, Lacking
from p2pchat.node.rooms import Rooms
from p2pchat.store import amendments, lacking
from p2pchat.store.database import Connection, Database

__all__ = ["Asked", "Filling"]

_FRAME_BYTES = 131_072


class Asked(Protocol):
    """A link, as it is needed here. `asked`: bodies that it was asked for."""

    asked: set[bytes]

    def tag(self, room: bytes) -> bytes | None: ...
    def room(self, tag: bytes) -> bytes | None: ...
    async def send_bulk(self, frame: Lacking | Bodies) -> None: ...


class Filling:
    """Asks, answers, and puts in place what comes."""

    def __init__(self, database: Database, rooms: Rooms) -> None:
        self._database = database
        self._rooms = rooms

    async def ask(self, link: Asked, room: bytes) -> None:
        """Ask for what is missing in this room, each body once a link.

        To be called when the two are level, or something came to be missing by acts.
        """
        if room not in self._rooms.talk.lacks:
            return
        wanted = await self._database.read(lambda tx: lacking.wanted(tx, room, link.asked))
        tag = link.tag(room)
        if wanted and tag is not None:
            await self._database.write(lambda tx: lacking.tried(tx, wanted))
            link.asked.update(wanted)
            await link.send_bulk(Lacking(tag, tuple(wanted)))

    async def received(self, link: Asked, frame: Lacking | Bodies) -> None:
        """A frame of the peer's."""
        room = link.room(frame.tag)
        chains = self._rooms.get(room) if room is not None else None
        if chains is None:
            return
        match frame:
            case Lacking():
                await self._answer(link, chains.room, frame)
            case Bodies(_, rows):
                asked = {row.id: row.body for row in rows if row.id in link.asked}
                if asked:
                    await self._rooms.fill(chains.room, asked)

    async def _answer(self, link: Asked, room: bytes, frame: Lacking) -> None:
        def read(tx: Connection) -> list[Body]:
            found, size = [], 0
            for entry in amendments.entries(tx, frame.ids).values():
                if entry.header.room == room and entry.body is not None:
                    size += len(entry.body)
                    if size > LACKING_BYTES:
                        break
                    found.append(Body(entry.id, entry.body))
            return found

        for rows in _frames(await self._database.read(read)):
            await link.send_bulk(Bodies(frame.tag, rows))


def _frames(rows: Sequence[Body]) -> Iterator[tuple[Body, ...]]:
    """As many together as fit one frame."""
    part: list[Body] = []
    size = 0
    for row in rows:
        if part and size + len(row.body) > _FRAME_BYTES:
            yield tuple(part)
            part, size = [], 0
        part.append(row)
        size += len(row.body)
    if part:
        yield tuple(part)
