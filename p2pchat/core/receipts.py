"""Who has what of a room on disk, and who has read what: a fold of what they have told.

Each chain of a room has a mark for each person. Marks only grow, so it does not matter in which
order, how often or by which link they come: the newest wins.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

__all__ = ["Mark", "Receipts"]


class Mark(NamedTuple):
    """`person` has `chain` on disk up to `had`, and has read it up to `read`; -1: nothing."""

    room: bytes
    person: bytes
    chain: bytes
    had: int
    read: int


class Receipts:
    """The caller sees to it that chains are of the room: that bounds what others can fill."""

    def __init__(self) -> None:
        self._rooms: dict[bytes, dict[bytes, dict[bytes, Mark]]] = {}
        """room -> person -> chain -> mark"""
        self._moved: dict[tuple[bytes, bytes, bytes], Mark] = {}

    def restore(self, marks: Iterable[Mark]) -> None:
        """What an earlier run has kept."""
        for mark in marks:
            self._marks(mark.room, mark.person)[mark.chain] = mark

    def forget(self, room: bytes) -> None:
        self._rooms.pop(room, None)
        self._moved = {key: mark for key, mark in self._moved.items() if mark.room != room}

    def had(self, room: bytes, person: bytes, chain: bytes, seq: int) -> int | None:
        """Somebody has this on disk; what they were known to have, None if that is no news."""
        before = self.mark(room, person, chain)
        if seq <= before.had:
            return None
        self._put(before._replace(had=seq))
        return before.had

    def read(self, room: bytes, person: bytes, chain: bytes, seq: int) -> int | None:
        """Somebody has read this, and so has it; what they were known to have read."""
        before = self.mark(room, person, chain)
        if seq <= before.read:
            return None
        self._put(before._replace(read=seq, had=max(seq, before.had)))
        return before.read

    def mark(self, room: bytes, person: bytes, chain: bytes) -> Mark:
        found = self._rooms.get(room, {}).get(person, {}).get(chain)
        return found or Mark(room, person, chain, -1, -1)

    def of(self, room: bytes, person: bytes) -> Mapping[bytes, Mark]:
        """Chain -> mark."""
        return self._rooms.get(room, {}).get(person, {})

    def at(self, room: bytes, chain: bytes, seq: int) -> Iterator[tuple[bytes, bool]]:
        """Who has that entry on disk, and whether they have read it."""
        for person, marks in self._rooms.get(room, {}).items():
            mark = marks.get(chain)
            if mark is not None and mark.had >= seq:
                yield person, mark.read >= seq

    def moved(self) -> list[Mark]:
        """Marks that have grown since this was asked last."""
        moved, self._moved = list(self._moved.values()), {}
        return moved

    def _marks(self, room: bytes, person: bytes) -> dict[bytes, Mark]:
        return self._rooms.setdefault(room, {}).setdefault(person, {})

    def _put(self, mark: Mark) -> None:
        self._marks(mark.room, mark.person)[mark.chain] = mark
        self._moved[mark.room, mark.person, mark.chain] = mark
