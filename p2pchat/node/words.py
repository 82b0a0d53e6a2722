"""Keeps the index of words up behind the journal, and complete whenever it is asked.

Indexing a message costs a decryption and pages of the index, so it waits until nothing has been
written for a moment; a search does what is left first. It writes the index alone.
"""

import asyncio
import logging
from functools import partial

from p2pchat.core import sealing
from p2pchat.core.entry import MESSAGE, Entry, MessageBody, decode_body
from p2pchat.errors import Error
from p2pchat.store import rooms, search
from p2pchat.store.database import Connection, Database

__all__ = ["Words"]

_log = logging.getLogger(__name__)
_TOGETHER = 250
"""Messages in one transaction: a new one waits for 10 ms at the most."""
_QUIET_S = 1.0
_LATEST_S = 60.0
"""Where it is never quiet, the index follows all the same."""


class Words:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._wake.set()  # what was left when the node ended last
        self._written = self._since = 0.0

    def note(self) -> None:
        """Entries, or a key, are on disk."""
        self._written = asyncio.get_running_loop().time()
        if not self._wake.is_set():
            self._since = self._written
            self._wake.set()

    async def run(self) -> None:
        """Index what comes, until cancelled."""
        loop = asyncio.get_running_loop()
        self._written = self._since = loop.time()
        while True:
            await self._wake.wait()
            while (wait_s := self._due() - loop.time()) > 0:  # noqa: ASYNC110  (time has to pass)
                await asyncio.sleep(wait_s)
            self._wake.clear()
            try:
                await self.complete()
            except Error as error:
                # A full disk, say: what is missing stays so until the next message, or a search.
                _log.warning("messages not indexed", extra={"why": str(error)})

    def _due(self) -> float:
        return min(self._written + _QUIET_S, self._since + _LATEST_S)

    async def complete(self) -> None:
        """Index all that the index lacks."""
        async with self._turn:
            while await self._some():
                pass

    async def _some(self) -> bool:
        texts, sealed = await self._database.read(_read)
        if texts or sealed:
            await self._database.write(partial(search.keep, texts=texts, sealed=sealed))
        return bool(texts or sealed)


def _read(tx: Connection) -> tuple[list[tuple[int, bytes, str]], list[tuple[int, Entry]]]:
    """What is missing, as far as keys are there; and the rest."""
    texts, sealed = [], []
    found = search.missing(tx, _TOGETHER)
    keys = {room: rooms.epochs(tx, room) for room in {entry.header.room for _, entry in found}}
    for number, entry in found:
        header = entry.header
        key = keys[header.room].get(header.epoch)
        if key is None:
            sealed.append((number, entry))
            continue
        opened = sealing.open_body(key, entry.body, header) if entry.body is not None else None
        body = decode_body(MESSAGE, opened) if opened is not None else None
        # One that is deleted or malformed has no words, and is done with all the same.
        texts.append((number, header.room, body.text if isinstance(body, MessageBody) else ""))
    return texts, sealed
