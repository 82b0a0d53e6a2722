"""Where requests to be let in, and the answers to them, stand on disk.

Any member may write any number, so of each device the newest are looked at, whatever others wrote.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from p2pchat.core.entry import Entry
from p2pchat.store import journal
from p2pchat.store.database import Connection

__all__ = ["Place", "Standing", "entries", "newest", "newest_of_each"]

Place = tuple[int, bytes, int]
"""(eff, chain id, seq): where an entry stands in the room's order."""


@dataclass(frozen=True, slots=True)
class Standing:
    place: Place
    device: bytes
    id: bytes


def newest_of_each(tx: Connection, room: bytes, kind: int, count: int) -> list[Standing]:
    """The newest `count` entries of a kind by each device."""
    rows = tx.execute(
        "SELECT eff, chain_id, seq, device, id FROM ("
        " SELECT eff, chain_id, seq, device, id, row_number() OVER"
        " (PARTITION BY device ORDER BY eff DESC, chain_id DESC, seq DESC) AS rank"
        " FROM entries JOIN chains ON entries.chain = chains.number"
        " WHERE entries.room = ? AND kind = ?) WHERE rank <= ?",
        (room, kind, count),
    )
    return [Standing((eff, chain, seq), device, id_) for eff, chain, seq, device, id_ in rows]


def newest(tx: Connection, ids: Iterable[bytes]) -> Place | None:
    """Where the last of these entries stands, of those that stand anywhere."""
    query = "SELECT eff, chain_id, seq FROM entries WHERE id = ?"
    rows = (tx.execute(query, (id_,)).fetchone() for id_ in ids)
    return max((tuple(row) for row in rows if row is not None), default=None)


def entries(tx: Connection, ids: Iterable[bytes]) -> list[Entry]:
    return [journal.entry(tx, id_) for id_ in ids]
