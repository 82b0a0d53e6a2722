"""Small named values of the profile: the identity, the incarnation."""

from p2pchat.store.database import Connection

__all__ = ["beginning", "get", "put"]


def get(tx: Connection, name: str) -> bytes | None:
    row = tx.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return bytes(row[0]) if row else None


def beginning(tx: Connection, prefix: str) -> dict[str, bytes]:
    """All whose names begin so; `prefix` has none of SQL's wildcards."""
    rows = tx.execute(
        "SELECT name, value FROM meta WHERE name LIKE ? ORDER BY name", (prefix + "%",)
    )
    return {str(name): bytes(value) for name, value in rows}


def put(tx: Connection, name: str, value: bytes) -> None:
    tx.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))
