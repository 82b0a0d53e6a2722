"""Entries that came before the key of their epoch: they are read when it comes."""

from collections.abc import Sequence

from p2pchat.core.entry import Entry
from p2pchat.store import journal
from p2pchat.store.database import Connection

__all__ = ["add", "take"]


def add(tx: Connection, entries: Sequence[Entry]) -> None:
    """They wait for the epoch that they name."""
    tx.executemany(
        "INSERT INTO late (epoch, id) VALUES (?, ?)",
        [(entry.header.epoch, entry.id) for entry in entries],
    )


def take(tx: Connection, room: bytes, epoch: bytes, count: int) -> list[Entry]:
    """The next `count` entries of a room that wait for this epoch, and wait no longer."""
    rows = tx.execute(
        f"SELECT late.number, {journal.COLUMNS} FROM late JOIN entries ON entries.id = late.id"  # noqa: S608
        " WHERE late.epoch = ? AND entries.room = ? ORDER BY late.number LIMIT ?",
        (epoch, room, count),
    ).fetchall()
    tx.executemany("DELETE FROM late WHERE number = ?", [(row[0],) for row in rows])
    return list(journal.entries_of(row[1:] for row in rows))
