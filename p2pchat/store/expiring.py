"""When messages disappear. It is settled once, when they are first read here: what others write
later may move a message in the order, and must not move its hour."""

from collections.abc import Sequence

from p2pchat.core.talk import expiry
from p2pchat.store.database import Connection

__all__ = ["add", "due", "forget", "next_due", "of", "tidy"]

_TOGETHER = 500
"""Ids in one statement."""


def add(tx: Connection, id_: bytes, lifetime_s: int, now_ms: int) -> int:
    """A message that is in the journal will disappear; answers when, in Unix milliseconds."""
    known = of(tx, [id_]).get(id_)
    if known is not None:
        return known
    time, eff = tx.execute("SELECT time, eff FROM entries WHERE id = ?", (id_,)).fetchone()
    at = expiry(time, eff, now_ms, lifetime_s)
    tx.execute("INSERT INTO expiring VALUES (?, ?, ?)", (id_, lifetime_s, at))
    return at


def forget(tx: Connection, id_: bytes) -> None:
    """It has disappeared, or was deleted."""
    tx.execute("DELETE FROM expiring WHERE id = ?", (id_,))


def due(tx: Connection, now_ms: int, count: int) -> list[tuple[bytes, bytes]]:
    """Room and id of messages whose hour has come."""
    rows = tx.execute(
        "SELECT room, id FROM expiring JOIN entries USING (id) WHERE at <= ? ORDER BY at LIMIT ?",
        (now_ms, count),
    )
    return [(row[0], row[1]) for row in rows]


def next_due(tx: Connection) -> int | None:
    """Unix milliseconds of the first to come; None if nothing disappears."""
    found: int | None = tx.execute("SELECT min(at) FROM expiring").fetchone()[0]
    return found


def tidy(tx: Connection) -> None:
    """Forget messages that are not in the journal any more."""
    tx.execute("DELETE FROM expiring WHERE id NOT IN (SELECT id FROM entries)")


def of(tx: Connection, ids: Sequence[bytes]) -> dict[bytes, int]:
    """When those of `ids` disappear that do."""
    found: dict[bytes, int] = {}
    for start in range(0, len(ids), _TOGETHER):
        part = ids[start : start + _TOGETHER]
        marks = ", ".join("?" * len(part))
        found.update(tx.execute(f"SELECT id, at FROM expiring WHERE id IN ({marks})", part))  # noqa: S608
    return found
