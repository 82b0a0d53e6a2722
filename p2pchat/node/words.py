"""Reads messages behind the journal: their words for the index, and how long they live.

Both are sealed with the text, and to read one costs a decryption and pages of the index, so it
waits until nothing has been written for a moment; a search does what is left first. What was
amended is in the index already (`node.fold`), and stays as it is there.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from p2pchat.core import sealing
from p2pchat.core.bounds import TEXT_BYTES_MAX
from p2pchat.core.entry import EditBody, Entry, MessageBody, decode_body
from p2pchat.errors import Error
from p2pchat.node.talk import Talk
from p2pchat.store import amendments, expiring, rooms, search
from p2pchat.store.database import Connection, Database

__all__ = ["Words"]

_log = logging.getLogger(__name__)
_TOGETHER = 250
"""Messages in one transaction: a new one waits for 10 ms at the most."""
_QUIET_S = 1.0
_LATEST_S = 60.0
"""Where it is never quiet, the index follows all the same."""


@dataclass(slots=True)
class _Found:
    texts: list[tuple[int, bytes, str]] = field(default_factory=list)
    sealed: list[tuple[int, Entry]] = field(default_factory=list)
    lives: list[tuple[Entry, int]] = field(default_factory=list)
    dumb: list[Entry] = field(default_factory=list)
    """those that no version can read"""


class Words:
    def __init__(self, database: Database, talk: Talk) -> None:
        self._database = database
        self._talk = talk
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._wake.set()  # what was left when the node ended last
        self._hurry = asyncio.Event()
        self._written = self._since = 0.0

    def note(self) -> None:
        """Entries, or a key, are on disk."""
        self._written = asyncio.get_running_loop().time()
        if not self._wake.is_set():
            self._since = self._written
            self._wake.set()

    def hurry(self) -> None:
        """Among them is a message that will disappear."""
        self._hurry.set()
        self._wake.set()

    async def run(self) -> None:
        """Read what comes, until cancelled."""
        loop = asyncio.get_running_loop()
        self._written = self._since = loop.time()
        while True:
            await self._wake.wait()
            while (wait_s := self._due() - loop.time()) > 0 and not self._hurry.is_set():
                try:
                    async with asyncio.timeout(wait_s):
                        await self._hurry.wait()
                except TimeoutError:
                    continue
            self._wake.clear()
            self._hurry.clear()
            try:
                await self.complete()
            except Error as error:
                # A full disk, say: what is missing stays so until the next message, or a search.
                _log.warning("messages not indexed", extra={"why": str(error)})

    def _due(self) -> float:
        return min(self._written + _QUIET_S, self._since + _LATEST_S)

    async def complete(self) -> None:
        """Read all that was not read yet."""
        async with self._turn:
            while await self._some():
                pass

    async def _some(self) -> bool:
        found = await self._database.read(self._read)
        if not found.texts and not found.sealed:
            return False
        await self._database.write(partial(self._keep, found=found))
        if found.lives:
            self._talk.sooner()
        return True

    def _read(self, tx: Connection) -> _Found:
        """What is missing, as far as keys are there; and the rest."""
        found = _Found()
        missing = search.missing(tx, _TOGETHER)
        for room in {entry.header.room for _, entry in missing}:
            rows = [row for row in missing if row[1].header.room == room]
            keys = rooms.epochs(tx, room)
            edits = self._talk.edits(tx, room, [entry for _, entry in rows])
            for number, entry in rows:
                if entry.header.epoch not in keys:
                    found.sealed.append((number, entry))
                    continue
                body = _opened(keys, entry)
                text = _text(_opened(keys, edits[entry.id]) if entry.id in edits else body)
                # One that is deleted or malformed has no words, and is done with all the same.
                found.texts.append((number, room, text or ""))
                if isinstance(body, MessageBody) and body.lifetime_s is not None:
                    found.lives.append((entry, body.lifetime_s))
                if entry.body is not None and _text(body) is None:
                    found.dumb.append(entry)
        return found

    def _keep(self, tx: Connection, found: _Found) -> None:
        search.keep(tx, found.texts, found.sealed)
        # What was deleted, or taken out of the room, meanwhile has no hour any more.
        here = amendments.entries(tx, [entry.id for entry, _ in found.lives])
        for entry, lifetime_s in found.lives:
            if entry.id in here and here[entry.id].body is not None:
                expiring.add(tx, entry.id, lifetime_s, self._talk.now_ms())
        for entry in found.dumb:
            amendments.hide(tx, entry.id, hidden=True)


def _opened(keys: Mapping[bytes, bytes], entry: Entry) -> object:
    """The body of an entry, None if it cannot be read."""
    header, key = entry.header, keys.get(entry.header.epoch)
    if key is None or entry.body is None:
        return None
    opened = sealing.open_body(key, entry.body, header)
    return decode_body(header.kind, opened) if opened is not None else None


def _text(body: object) -> str | None:
    match body:
        case MessageBody(text) | EditBody(_, text) if len(text.encode()) <= TEXT_BYTES_MAX:
            return text
    return None
