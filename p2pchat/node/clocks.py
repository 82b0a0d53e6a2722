"""Whose clock is wrong, ours among them, as far as entries show it.

Nobody is asked the time: what somebody wrote last says by its place in the order, or by being ahead
of us, how far their clock was off (`core.timeline.clock_off_ms`). Where most others' clocks agree
with ours, nobody's is called wrong for what a few wrote of the future.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import msgspec

from p2pchat.core.chain import Chains
from p2pchat.core.identity import id_text
from p2pchat.core.timeline import ahead_ms, clock_off_ms
from p2pchat.errors import Error
from p2pchat.events import Finding, Member
from p2pchat.node.people import People
from p2pchat.node.rooms import Rooms
from p2pchat.store.clocks import Reading, last_of_each
from p2pchat.store.database import Database
from p2pchat.text import printable, span

__all__ = ["Clocks"]

_YEAR_2025_MS = 1_735_689_600_000
_SET = "set this machine's clock, best by the network (NTP), if it is not right by now"
_NAMED_MAX = 5
"""People that a finding names; of more it gives the number."""


class Clocks:
    def __init__(
        self, database: Database, rooms: Rooms, people: People, me: Callable[[], bytes]
    ) -> None:
        self._database = database
        self._rooms = rooms
        self._people = people
        self._me = me

    async def off(self, rooms: Iterable[Chains]) -> dict[bytes, int]:
        """Who wrote last by a wrong clock, and by how many seconds it was ahead (less than 0:
        behind)."""
        known = {chains.room: chains for chains in rooms}
        authors = {
            device: certificate.person
            for chains in known.values()
            for device, certificate in chains.certificates.items()
        }
        readings = await self._database.read(partial(last_of_each, rooms=known.keys()))
        newest, now_ms, found = _newest(readings, authors), self._rooms.now_ms(), {}
        others = [last for person, last in newest.items() if person != self._me()]
        ahead = [last for last in others if ahead_ms(last.time, now_ms) is not None]
        # If most others agree with our wall, a place ahead of it shows what one of the rest wrote.
        right = 2 * len(ahead) < len(others)
        for person, last in newest.items():
            off_ms = clock_off_ms(last.time, last.place, now_ms)
            if right and ahead_ms(last.place, now_ms) is not None:
                off_ms = ahead_ms(last.time, now_ms)
            if off_ms is not None:
                found[person] = off_ms // 1000
        return found

    async def members(self, room: bytes, rows: Sequence[Member]) -> list[Member]:
        """The rows of a room's members, with whose clock is wrong."""
        chains = self._rooms.get(room)
        found = await self.off([chains] if chains is not None else [])
        off = {id_text(person): seconds for person, seconds in found.items()}
        return [msgspec.structs.replace(row, clock_off=off.get(row.peer)) for row in rows]

    async def finding(self) -> Finding:
        """What `doctor` says of them."""
        if self._rooms.now_ms() < _YEAR_2025_MS:
            return _wrong("this machine's clock is years behind", _SET)
        try:
            off = await self.off(self._rooms.all())
        except Error:
            off = {}  # a damaged journal is another check's to tell
        own = off.pop(self._me(), None)
        if own is not None and not off:
            return _wrong(f"what you wrote last is {_says(own)} what others wrote", _SET)
        if not off:
            text = "this machine's clock agrees with the messages"
            return Finding(check="clock", ok=True, text=text)
        named = [
            f"{printable(self._people.name_of(person))}'s clock is {_says(seconds)} this machine's"
            for person, seconds in sorted(off.items(), key=lambda one: -abs(one[1]))
        ]
        more = [f"{len(named) - _NAMED_MAX} more are wrong"] if len(named) > _NAMED_MAX else []
        return _wrong(
            ", ".join(named[:_NAMED_MAX] + more),
            "ask them to set it, or set this machine's where that is the wrong one; messages "
            "stand in the right order nevertheless",
        )


def _wrong(text: str, hint: str) -> Finding:
    return Finding(check="clock", ok=False, text=text, hint=hint)


def _newest(readings: Iterable[Reading], authors: Mapping[bytes, bytes]) -> dict[bytes, Reading]:
    """Of each person what came last, whatever it claims."""
    found: dict[bytes, Reading] = {}
    for one in readings:
        person = authors.get(one.device)
        if person is not None and (person not in found or found[person].number < one.number):
            found[person] = one
    return found


def _says(seconds: int) -> str:
    return f"{span(seconds)} {'ahead of' if seconds > 0 else 'behind'}"
