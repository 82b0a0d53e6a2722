"""Entries whose place in the order may have to move yet: one that comes late may move all that
hangs on it, and no transaction is to last as long as that takes."""

from collections.abc import Iterable

from p2pchat.store.database import Connection

__all__ = ["add", "any_", "take"]


def add(tx: Connection, room: bytes, places: Iterable[tuple[int, bytes]]) -> None:
    """These, each with where it stands now."""
    rows = [(room, eff, id_) for eff, id_ in places]
    if rows:
        tx.executemany("INSERT OR IGNORE INTO unsettled VALUES (?, ?, ?)", rows)


def any_(tx: Connection) -> bool:
    """Whether there are any."""
    return tx.execute("SELECT 1 FROM unsettled LIMIT 1").fetchone() is not None


def take(tx: Connection, count: int) -> tuple[bytes, list[bytes]] | None:
    """The first `count` in some room's order, which are its no longer; None: there are none."""
    first = tx.execute("SELECT room FROM unsettled LIMIT 1").fetchone()
    if first is None:
        return None
    (room,) = first
    rows = tx.execute(
        "SELECT room, eff, id FROM unsettled WHERE room = ? ORDER BY eff, id LIMIT ?", (room, count)
    ).fetchall()
    tx.executemany("DELETE FROM unsettled WHERE room = ? AND eff = ? AND id = ?", rows)
    return room, [row[2] for row in rows]
