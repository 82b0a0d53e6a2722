"""The newest entries that were written here, in memory.

Whoever has sent something asks of it again at once, and so does the peer's acknowledgement: each
would be a turn of the store's thread, which costs about as much as the network. Without bodies:
what is deleted shall be nowhere. It knows no disk.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

import msgspec

from p2pchat.core.entry import Entry

__all__ = ["Recent"]

_KEPT = 256
"""More than is on the way to a peer as a rule."""


class Recent:
    def __init__(self) -> None:
        self._places: OrderedDict[tuple[bytes, int], Entry] = OrderedDict()
        self._ids: dict[bytes, Entry] = {}
        self._order: dict[bytes, int] = {}

    def add(self, entries: Iterable[Entry], order: Mapping[bytes, int]) -> None:
        """These are on disk now, in these places of the order."""
        for whole in entries:
            entry = msgspec.structs.replace(whole, body=None)
            self._places[entry.chain, entry.header.seq] = self._ids[entry.id] = entry
            self._order[entry.id] = order[entry.id]
        while len(self._places) > _KEPT:
            _, oldest = self._places.popitem(last=False)
            del self._ids[oldest.id], self._order[oldest.id]

    def entry(self, id_: bytes) -> Entry | None:
        return self._ids.get(id_)

    def order(self, id_: bytes) -> int | None:
        """Where in the order it was put when it was written."""
        return self._order.get(id_)

    def between(self, chain: bytes, after: int, upto: int) -> list[Entry] | None:
        """The entries in (after, upto] of a chain; None if not all are here."""
        if upto - after > _KEPT:
            return None
        found = [self._places.get((chain, seq)) for seq in range(after + 1, upto + 1)]
        known = [entry for entry in found if entry is not None]
        return known if len(known) == len(found) else None
