"""Rows out of a database that SQLite cannot read any more: its trees walked page by page.

After SQLite's file format (sqlite.org/fileformat2.html). A tree whose inner pages are gone is found
by its leaves, as far as rows tell by themselves what they are. Nothing is judged here but whether a
page's code holds.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from p2pchat.store.pages import USABLE_BYTES, Page, Pages

__all__ = ["Row", "Salvage", "Value"]

Value: TypeAlias = int | float | str | bytes | None

_INNER_INDEX, _INNER_TABLE, _LEAF_INDEX, _LEAF_TABLE = 2, 5, 10, 13
_KINDS = (_INNER_INDEX, _INNER_TABLE, _LEAF_INDEX, _LEAF_TABLE)
_PAYLOAD_MAX = 1 << 24
"""Far beyond any row of ours: a length beyond it is damage."""
_LEAST = (USABLE_BYTES - 12) * 32 // 255 - 23
_TABLE_MOST = USABLE_BYTES - 35
_INDEX_MOST = (USABLE_BYTES - 12) * 64 // 255 - 23
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


@dataclass(frozen=True, slots=True)
class Row:
    """`whole`: every page that it lies on is as it was written."""

    rowid: int | None
    values: tuple[Value, ...]
    whole: bool


class Salvage:
    """What a file still has. `roots`: table -> its first page, as far as the schema can be read."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self.roots: dict[str, int] = {}
        self._doubtful: dict[str, int] = {}
        for row in self._tree(1):
            match row.values:
                case ("table", str(name), _, int(root), *_) if 0 < root <= pages.count:
                    (self.roots if row.whole else self._doubtful)[name] = root

    def table(self, name: str) -> Iterator[Row]:
        """Its rows in the order of their keys; none where its first page is not known."""
        root = self.roots.get(name)
        if root is not None:
            yield from self._tree(root)

    def anywhere(self, is_wanted: Callable[[Row], bool]) -> Iterator[Row]:
        """All rows on leaves, whichever tree they belong to."""
        for number in range(1, self._pages.count + 1):
            page = self._pages[number]
            if page is not None and _kind(page, number) in (_LEAF_TABLE, _LEAF_INDEX):
                for row in self._rows(page, number):
                    if is_wanted(row):
                        yield row

    def assume(self, roots: Mapping[str, int]) -> None:
        """Where the schema is damaged: how a new file's would be, if what is left of it agrees."""
        if roots.keys() <= self.roots.keys():
            return
        agrees = all(roots.get(name) == root for name, root in self.roots.items())
        self.roots = {**self._doubtful, **(roots if agrees else {}), **self.roots}

    def _tree(self, root: int) -> Iterator[Row]:
        waiting, seen = [root], set[int]()
        while waiting:
            number = waiting.pop()
            page = self._pages[number] if number not in seen else None
            seen.add(number)
            if page is None:
                continue
            kind = _kind(page, number)
            if kind in (_LEAF_TABLE, _LEAF_INDEX, _INNER_INDEX):
                yield from self._rows(page, number)
            if kind in (_INNER_TABLE, _INNER_INDEX):
                waiting += [
                    child for child in _children(page, number) if 0 < child <= self._pages.count
                ][::-1]

    def _rows(self, page: Page, number: int) -> Iterator[Row]:
        kind = _kind(page, number)
        for at in _cells(page, number):
            try:
                row = self._row(page, kind, at)
            except (ValueError, IndexError, OverflowError):  # damage: others of the page may hold
                continue
            if row is not None:
                yield row

    def _row(self, page: Page, kind: int, at: int) -> Row | None:
        data = page.data
        if kind == _INNER_INDEX:
            at += 4
        size, at = _varint(data, at)
        rowid = None
        if kind == _LEAF_TABLE:
            rowid, at = _varint(data, at)
        most = _TABLE_MOST if kind == _LEAF_TABLE else _INDEX_MOST
        if not 0 < size <= _PAYLOAD_MAX:
            return None
        here = size
        if size > most:
            here = _LEAST + (size - _LEAST) % (USABLE_BYTES - 4)
            here = here if here <= most else _LEAST
        payload, whole = data[at : at + here], page.whole
        if size > here:
            rest, sound = self._overflow(
                int.from_bytes(data[at + here : at + here + 4], "big"), size - here
            )
            payload, whole = payload + rest, whole and sound
        if len(payload) != size:
            return None
        return Row(rowid, _record(payload), whole)

    def _overflow(self, number: int, size: int) -> tuple[bytes, bool]:
        """Pages that follow each other; what cannot be read is zeros, for its length to hold."""
        found, whole, seen = bytearray(), True, set[int]()
        while len(found) < size:
            page = self._pages[number] if number and number not in seen else None
            seen.add(number)
            if page is None:
                return bytes(found) + bytes(size - len(found)), False
            whole = whole and page.whole
            number = int.from_bytes(page.data[:4], "big")
            found += page.data[4:]
        return bytes(found[:size]), whole


def _start(number: int) -> int:
    """Where a page's tree begins: the first has the file's header before it."""
    return 100 if number == 1 else 0


def _kind(page: Page, number: int) -> int:
    kind = page.data[_start(number)]
    return kind if kind in _KINDS else 0


def _cells(page: Page, number: int) -> list[int]:
    data, start = page.data, _start(number)
    count = int.from_bytes(data[start + 3 : start + 5], "big")
    first = start + (12 if data[start] in (_INNER_INDEX, _INNER_TABLE) else 8)
    places = (
        int.from_bytes(data[at : at + 2], "big")
        for at in range(first, min(first + 2 * count, USABLE_BYTES), 2)
    )
    return [place for place in places if first < place < USABLE_BYTES - 3]


def _children(page: Page, number: int) -> list[int]:
    data, last = page.data, _start(number) + 8
    found = [int.from_bytes(data[at : at + 4], "big") for at in _cells(page, number)]
    return [*found, int.from_bytes(data[last : last + 4], "big")]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for used in range(8):
        byte = data[at + used]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + used + 1
    value = value << 8 | data[at + 8]
    return value - (1 << 64) if value >> 63 else value, at + 9


def _record(payload: bytes) -> tuple[Value, ...]:
    """Raises ValueError, IndexError."""
    end, at = _varint(payload, 0)
    place, values = end, list[Value]()
    if not at <= end <= len(payload):
        raise ValueError("a record's header is longer than the record")
    while at < end:
        kind, at = _varint(payload, at)
        value, place = _value(payload, kind, place)
        values.append(value)
    return tuple(values)


def _value(payload: bytes, kind: int, at: int) -> tuple[Value, int]:
    if kind == 0:
        return None, at
    if kind in (8, 9):
        return kind - 8, at
    if kind == 7:
        try:
            return float(struct.unpack_from(">d", payload, at)[0]), at + 8
        except struct.error as error:
            raise ValueError("a value is longer than its record") from error
    size = _INTEGERS[kind] if kind in _INTEGERS else (kind - 12) // 2
    part = payload[at : at + size]
    if kind in (10, 11) or len(part) != size:
        raise ValueError("a value is longer than its record")
    if kind in _INTEGERS:
        return int.from_bytes(part, "big", signed=True), at + size
    return (part.decode() if kind % 2 else part), at + size
