"""Bodies that entries came without: asked of each peer that may have them, and given to those that
ask (docs/protocol.md, 7: lacking, bodies).

A member that has deleted a body serves its entry without it. Whoever knows of no delete asks
others, so that nobody can make a message vanish by passing it on empty.
"""

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Protocol

from p2pchat.core.bounds import LACKING_BYTES
from p2pchat.core.entry import DENIAL, REQUEST
from p2pchat.core.wire import Bodies, Body, Lacking
from p2pchat.node.rooms import Rooms
from p2pchat.store import amendments, lacking
from p2pchat.store.database import Connection, Database

__all__ = ["Asked", "Filling"]

_FRAME_BYTES = 131_072


class Asked(Protocol):
    """A link, as it is needed here. `asked`: bodies that `peer` was asked for over it."""

    asked: set[bytes]

    @property
    def peer(self) -> bytes: ...

    def tag(self, room: bytes) -> bytes | None: ...
    def room(self, tag: bytes) -> bytes | None: ...
    async def send_bulk(self, frame: Lacking | Bodies) -> None: ...


class Filling:
    """Asks, answers, and puts in place what comes."""

    def __init__(self, database: Database, rooms: Rooms) -> None:
        self._database = database
        self._rooms = rooms
        self._turn = asyncio.Lock()
        """so that two who ask at once over one link do not count twice"""

    async def ask(self, link: Asked, room: bytes) -> None:
        """Ask for what is missing in this room, each body once a link, and of everybody.

        To be called when the two are level, or something came to be missing by acts.
        """
        if room not in self._rooms.talk.lacks:
            return
        async with self._turn:
            tag = link.tag(room)
            if tag is None:
                return
            find = partial(lacking.wanted, room=room, person=link.peer, asked=link.asked)
            wanted = await self._database.read(find)
            if not wanted:
                return
            link.asked.update(wanted)
            tried = partial(lacking.tried, ids=wanted, person=link.peer)
            await self._database.write(tried)
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
                    await self._tell(chains.room, list(asked), link)

    async def _tell(self, room: bytes, ids: Sequence[bytes], link: Asked) -> None:
        """Who asks to be let in, or was answered, is known only now."""
        found = await self._database.read(partial(amendments.entries, ids=ids))
        for entry in found.values():
            if entry.body is not None and entry.header.kind in (REQUEST, DENIAL):
                for listener in self._rooms.listeners:
                    listener(room, (entry,), link)

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
