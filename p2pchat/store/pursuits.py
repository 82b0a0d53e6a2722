"""Joins on disk whose inviter has not answered yet."""

from dataclasses import dataclass, field

from p2pchat.store.database import Connection

__all__ = ["Row", "drop", "keep", "kept"]


@dataclass(frozen=True, slots=True)
class Row:
    """`id`: of the invite; `blob`: its text; `password`: the key of its password, if it has one."""

    number: int
    id: bytes
    blob: str = field(repr=False)
    password: bytes | None = field(repr=False)
    expires: float
    made: float


def keep(
    tx: Connection, id_: bytes, blob: str, password: bytes | None, expires: float, now: float
) -> int:
    """The number under which it is kept; that of an earlier join by the same invite stays."""
    tx.execute(
        "INSERT INTO pursuits (id, blob, password, expires, made) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET password = excluded.password",
        (id_, blob, password, expires, now),
    )
    row = tx.execute("SELECT number FROM pursuits WHERE id = ?", (id_,)).fetchone()
    return int(row[0])


def kept(tx: Connection) -> list[Row]:
    rows = tx.execute(
        "SELECT number, id, blob, password, expires, made FROM pursuits ORDER BY number"
    )
    return [Row(*row) for row in rows]


def drop(tx: Connection, id_: bytes) -> bool:
    """Whether there was one."""
    return bool(tx.execute("DELETE FROM pursuits WHERE id = ?", (id_,)).rowcount)
