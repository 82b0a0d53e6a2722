"""Who asks to be let into a room, and whether anybody has answered.

Any member may write requests, denials and admissions without end, and each request costs a
decryption and two signatures: of each author the newest are read, and nobody's crowd out those of
others. What is written about them is `node/joining.py`'s.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from p2pchat.core.bounds import REQUESTS_MAX, REQUESTS_READ
from p2pchat.core.entry import DENIAL, REQUEST, DenialBody, RequestBody
from p2pchat.core.group import Group
from p2pchat.core.identity import Certificate
from p2pchat.store import requests
from p2pchat.store.database import Connection, Database
from p2pchat.store.requests import Place, Standing

__all__ = ["Request", "Requests"]

_DENIALS = 4
"""Times as many: somebody may be denied by several members."""
_ADMISSIONS = 64
"""Of one person that are looked at, the last."""


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asks to be let in."""

    id: bytes
    certificate: Certificate
    secret: bytes
    denied: bool
    admitted: bool = False
    """whether an admission came after it"""

    @property
    def person(self) -> bytes:
        return self.certificate.person


class Requests:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._bodies: dict[bytes, msgspec.Struct] = {}
        """of entries that were read, as far as they are sound"""

    async def of(self, group: Group) -> list[Request]:
        """Of each who asked the oldest that nobody has answered, or else the newest."""
        asked = await self._read(group, REQUEST, REQUESTS_MAX, REQUESTS_READ)
        if not asked:
            return []
        denials = await self._read(group, DENIAL, _DENIALS * REQUESTS_MAX, _DENIALS * REQUESTS_READ)
        answered = {one.request for _, one in denials.values() if isinstance(one, DenialBody)}
        sound = [
            (id_, place, body)
            for id_, (place, body) in asked.items()
            if isinstance(body, RequestBody)
        ]
        admissions = {
            body.certificate.person: [
                id_ for id_, _ in group.membership.admissions(body.certificate.person)
            ][-_ADMISSIONS:]
            for _, _, body in sound
        }

        def let_in(tx: Connection) -> dict[bytes, Place | None]:
            return {person: requests.newest(tx, ids) for person, ids in admissions.items()}

        admitted = await self._database.read(let_in)
        found: dict[bytes, Request] = {}
        for id_, place, body in sound:
            person = body.certificate.person
            since = admitted[person]
            request = Request(
                id_,
                body.certificate,
                body.secret,
                denied=id_ in answered,
                # Whoever was let in and removed since has to ask anew.
                admitted=since is not None and place < since,
            )
            before = found.get(person)
            if before is None or before.denied or before.admitted:
                found[person] = request
        return list(found.values())

    async def _read(
        self, group: Group, kind: int, each: int, count: int
    ) -> dict[bytes, tuple[Place, msgspec.Struct]]:
        """Sound entries of a kind, by id, in the order of the room."""

        def find(tx: Connection) -> list[Standing]:
            return requests.newest_of_each(tx, group.room, kind, each)

        chosen = _fair(group, await self._database.read(find), each, count)
        unread = [one.id for one in chosen if one.id not in self._bodies]
        if unread:
            if len(self._bodies) > _DENIALS * REQUESTS_READ:
                self._bodies.clear()
            for entry in await self._database.read(lambda tx: requests.entries(tx, unread)):
                body = group.read(entry)
                if body is not None and (isinstance(body, DenialBody) or _is_sound(body)):
                    self._bodies[entry.id] = body
        return {
            one.id: (one.place, self._bodies[one.id]) for one in chosen if one.id in self._bodies
        }


def _is_sound(body: msgspec.Struct) -> bool:
    return isinstance(body, RequestBody) and len(body.secret) == 32 and body.certificate.holds()


def _fair(group: Group, found: Iterable[Standing], each: int, count: int) -> list[Standing]:
    """Of each person the newest, `count` in all: first everybody's newest, and so on."""
    by: dict[bytes, int] = {}
    ranked: list[tuple[int, int, Standing]] = []
    newest_first = sorted(found, key=lambda one: one.place, reverse=True)
    for at, one in enumerate(newest_first):
        certificate = group.certificates.get(one.device)
        if certificate is None:
            continue
        rank = by[certificate.person] = by.get(certificate.person, 0) + 1
        if rank <= each:
            ranked.append((rank, at, one))
    ranked.sort(key=lambda one: one[:2])
    return sorted((one for _, _, one in ranked[:count]), key=lambda one: one.place)
