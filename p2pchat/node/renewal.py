"""When to write in new logs, because others have more of ours than we do.

A home that was put back from an old copy has to hear of it before it writes, so a member is taken
at its word: but once in a run of the node, since a log made in it is on no copy, and no second time
whoever has not shown an entry. An entry of ours that we lack needs nobody's word.
"""

import logging
from collections.abc import Iterable
from functools import partial

import msgspec

from p2pchat.core.facts import Append
from p2pchat.node.rooms import Rooms
from p2pchat.store import meta
from p2pchat.store.database import Database

__all__ = ["Renewal"]

_log = logging.getLogger(__name__)
_NAME = "claimed"


class Renewal:
    def __init__(self, database: Database, rooms: Rooms) -> None:
        self._database = database
        self._rooms = rooms
        self._done = False
        """whether what we write in now was begun in this run"""
        self._claims: dict[bytes, bytes] | None = None
        """chain of ours -> who was believed to have more of it, and has shown nothing yet"""

    async def claimed(self, room: bytes, chain: bytes, seq: int, person: bytes) -> None:
        """`person` says to have `chain` of this room up to `seq`."""
        chains = self._rooms.get(room)
        if (
            self._done
            or chains is None
            or chain != self._rooms.own_chain(room)
            or seq <= chains.seq(chain)
            or person not in chains.members
        ):
            return
        claims = await self._load()
        if person in claims.values() or self._done:
            return
        _log.warning("a member says to have newer entries of ours; we go on as a new incarnation")
        await self._renew()
        claims[chain] = person
        await self._keep(claims)

    async def came(self, records: Iterable[object]) -> None:
        """Links brought these runs, which are not committed yet."""
        device = self._rooms.identity().device
        for record in records:
            if not isinstance(record, Append) or not record.entries:
                continue
            first = record.entries[0]
            if first.header.device != device:
                continue
            if first.chain == self._rooms.own_chain(record.room):
                # It runs twice, or was put back while it ran.
                _log.warning("a member has newer entries of ours; we go on as a new incarnation")
                await self._renew()
            claims = await self._load()
            if claims.pop(first.chain, None) is not None:
                await self._keep(claims)

    async def _renew(self) -> None:
        self._done = True
        await self._rooms.renew()

    async def _load(self) -> dict[bytes, bytes]:
        if self._claims is None:
            stored = await self._database.read(partial(meta.get, name=_NAME))
            found = msgspec.msgpack.decode(stored, type=dict[bytes, bytes]) if stored else {}
            # Somebody else may have read it meanwhile.
            self._claims = found if self._claims is None else self._claims
        return self._claims

    async def _keep(self, claims: dict[bytes, bytes]) -> None:
        value = msgspec.msgpack.encode(claims)
        await self._database.write(partial(meta.put, name=_NAME, value=value))
