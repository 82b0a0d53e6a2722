"""Rooms, their members and their epoch keys on disk."""

from collections.abc import Iterable
from dataclasses import dataclass

from p2pchat.store.database import Connection

__all__ = ["RoomRow", "add", "add_epoch", "all_rooms", "epochs", "kind", "members"]


@dataclass(frozen=True, slots=True)
class RoomRow:
    room: bytes
    kind: str
    name: str
    created: float


def add(
    tx: Connection, room: bytes, kind: str, name: str, created: float, persons: Iterable[bytes]
) -> None:
    """Add a room and its members; what is there stays."""
    tx.execute("INSERT OR IGNORE INTO rooms VALUES (?, ?, ?, ?)", (room, kind, name, created))
    tx.executemany(
        "INSERT OR IGNORE INTO members VALUES (?, ?)", [(room, person) for person in persons]
    )


def all_rooms(tx: Connection) -> list[RoomRow]:
    rows = tx.execute("SELECT room, kind, name, created FROM rooms ORDER BY created, room")
    return [RoomRow(*row) for row in rows]


def kind(tx: Connection, room: bytes) -> str:
    """`direct` or `group`."""
    row = tx.execute("SELECT kind FROM rooms WHERE room = ?", (room,)).fetchone()
    return str(row[0])


def members(tx: Connection, room: bytes) -> list[bytes]:
    return [row[0] for row in tx.execute("SELECT person FROM members WHERE room = ?", (room,))]


def add_epoch(tx: Connection, room: bytes, epoch: bytes, key: bytes) -> None:
    tx.execute("INSERT OR IGNORE INTO epochs VALUES (?, ?, ?)", (room, epoch, key))


def epochs(tx: Connection, room: bytes) -> dict[bytes, bytes]:
    """Epoch id -> key."""
    return dict(tx.execute("SELECT epoch, key FROM epochs WHERE room = ?", (room,)).fetchall())
