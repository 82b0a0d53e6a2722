"""Small named values of the profile: the identity, the incarnation."""

from p2pchat.store.database import Connection

__all__ = ["get", "put"]


def get(tx: Connection, name: str) -> bytes | None:
    row = tx.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return bytes(row[0]) if row else None


def put(tx: Connection, name: str, value: bytes) -> None:
    tx.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))
