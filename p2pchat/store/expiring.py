"""When messages disappear. An entry's place in the order may move, and its hour with it."""

from collections.abc import Sequence

from p2pchat.core.talk import expiry
from p2pchat.store.database import Connection

__all__ = ["add", "due", "forget", "move", "next_due", "of"]

_TOGETHER = 500
"""Ids in one statement."""


def add(tx: Connection, id_: bytes, lifetime_s: int) -> int:
    """A message that is in the journal will disappear; answers when, in Unix milliseconds."""
    eff = tx.execute("SELECT eff FROM entries WHERE id = ?", (id_,)).fetchone()[0]
    at = expiry(eff, lifetime_s)
    tx.execute("INSERT OR REPLACE INTO expiring VALUES (?, ?, ?)", (id_, lifetime_s, at))
    return at


def move(tx: Connection, ids: Sequence[bytes]) -> None:
    """The order has moved these entries."""
    for id_, lifetime_s in _rows(tx, "lifetime_s", ids):
        add(tx, id_, lifetime_s)


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


def of(tx: Connection, ids: Sequence[bytes]) -> dict[bytes, int]:
    """When those of `ids` disappear that do."""
    return dict(_rows(tx, "at", ids))


def _rows(tx: Connection, column: str, ids: Sequence[bytes]) -> list[tuple[bytes, int]]:
    found: list[tuple[bytes, int]] = []
    for start in range(0, len(ids), _TOGETHER):
        part = ids[start : start + _TOGETHER]
        marks = ", ".join("?" * len(part))
        found += tx.execute(f"SELECT id, {column} FROM expiring WHERE id IN ({marks})", part)  # noqa: S608
    return found
