"""Shares on disk: opaque records of `files`, by share id."""

from p2pchat.store.database import Connection

__all__ = ["all_shares", "put", "remove"]


def put(tx: Connection, id_: bytes, record: bytes, created: float) -> None:
    tx.execute("INSERT OR REPLACE INTO shares VALUES (?, ?, ?)", (id_, record, created))


def remove(tx: Connection, id_: bytes) -> bool:
    return bool(tx.execute("DELETE FROM shares WHERE id = ?", (id_,)).rowcount)


def all_shares(tx: Connection) -> list[bytes]:
    return [row[0] for row in tx.execute("SELECT record FROM shares ORDER BY created")]
