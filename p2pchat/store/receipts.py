"""Who has, and has read, what of a room: marks on disk (`core/receipts.py`), and their counts."""

from collections.abc import Iterable, Sequence

from p2pchat.core.entry import MESSAGE
from p2pchat.core.receipts import Mark
from p2pchat.store.database import Connection

__all__ = ["OURSELVES", "all_marks", "newest_read", "places", "put", "unread", "upto"]

OURSELVES = b""
"""Stands for our own person in marks."""
_UNREAD_MAX = 1_000
"""Unread messages that are counted: beyond it nobody cares by how many, and a count costs."""


def all_marks(tx: Connection) -> list[Mark]:
    rows = tx.execute("SELECT room, person, chain, had, read FROM receipts")
    return [Mark(*row) for row in rows]


def put(tx: Connection, marks: Iterable[Mark]) -> None:
    """Keep marks; of a room that is gone nothing is kept."""
    tx.executemany(
        "INSERT INTO receipts SELECT ?1, ?2, ?3, ?4, ?5"
        " WHERE EXISTS (SELECT 1 FROM rooms WHERE room = ?1)"
        " ON CONFLICT DO UPDATE SET had = max(had, ?4), read = max(read, ?5)",
        marks,
    )


def upto(tx: Connection, room: bytes, message: bytes | None) -> dict[bytes, int]:
    """Chain -> seq of all that is here of a room; with `message`: of what came no later than it."""
    if message is None:
        rows = tx.execute("SELECT chain, head_seq FROM chains WHERE room = ?", (room,))
        return dict(rows.fetchall())
    # Of what we have read nothing need be looked at again.
    rows = tx.execute(
        "SELECT chains.chain, max(entries.seq) FROM chains"
        " LEFT JOIN receipts ON receipts.room = chains.room AND receipts.person = ?3"
        " AND receipts.chain = chains.chain"
        " JOIN entries ON entries.chain = chains.number"
        " AND entries.seq > coalesce(receipts.read, -1)"
        " WHERE chains.room = ?1 AND entries.number <= (SELECT number FROM entries WHERE id = ?2)"
        " GROUP BY chains.number",
        (room, message, OURSELVES),
    )
    return dict(rows.fetchall())


def unread(tx: Connection, room: bytes, hidden: Sequence[bytes]) -> int:
    """Messages beyond our own mark, a thousand at most; none deleted, none of devices `hidden`."""
    marks = ", ".join("?" * len(hidden))
    row = tx.execute(
        "SELECT count(*) FROM (SELECT 1 FROM chains"  # noqa: S608  (marks alone)
        " LEFT JOIN receipts ON receipts.room = chains.room AND receipts.person = ?"
        " AND receipts.chain = chains.chain"
        " JOIN entries ON entries.chain = chains.number"
        " AND entries.seq > coalesce(receipts.read, -1)"
        f" WHERE chains.room = ? AND entries.kind = ? AND body IS NOT NULL"
        f" AND chains.device NOT IN ({marks})"
        " LIMIT ?)",
        (OURSELVES, room, MESSAGE, *hidden, _UNREAD_MAX),
    ).fetchone()
    return int(row[0])


def newest_read(tx: Connection, room: bytes, person: bytes) -> bytes | None:
    """The last message, in display order, of those that somebody has read."""
    row = tx.execute(
        "SELECT entries.id FROM entries JOIN receipts ON receipts.room = entries.room"
        " AND receipts.chain = entries.chain_id"
        " WHERE receipts.person = ? AND entries.room = ? AND kind = ? AND seq <= receipts.read"
        " ORDER BY eff DESC, entries.chain_id DESC, seq DESC LIMIT 1",
        (person, room, MESSAGE),
    ).fetchone()
    return row[0] if row else None


def places(tx: Connection, ids: Iterable[bytes]) -> dict[bytes, tuple[bytes, bytes, int]]:
    """Id -> room, chain and seq of entries that are here."""
    found = {}
    for id_ in ids:
        row = tx.execute("SELECT room, chain_id, seq FROM entries WHERE id = ?", (id_,)).fetchone()
        if row is not None:
            found[id_] = (row[0], row[1], row[2])
    return found
