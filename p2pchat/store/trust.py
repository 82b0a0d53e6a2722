"""What this person has said of others, on disk: alias, verified or not, blocked.

Apart from contacts: somebody met in a room can be verified or blocked as well.
"""

from dataclasses import dataclass
from typing import Literal

from p2pchat.store.database import Connection

__all__ = ["Mark", "all_marks", "put"]

How = Literal["number", "proof"]


@dataclass(frozen=True, slots=True)
class Mark:
    """`how` is None while not verified; `place`: what the proof names; `since`: Unix seconds."""

    alias: str = ""
    how: How | None = None
    place: str = ""
    since: float = 0.0
    blocked: bool = False

    @property
    def verified(self) -> bool:
        return self.how is not None


def put(tx: Connection, person: bytes, mark: Mark) -> None:
    if mark == Mark():
        tx.execute("DELETE FROM trust WHERE person = ?", (person,))
        return
    tx.execute(
        "INSERT OR REPLACE INTO trust (person, alias, how, place, since, blocked)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (person, mark.alias, mark.how, mark.place, mark.since, mark.blocked),
    )


def all_marks(tx: Connection) -> dict[bytes, Mark]:
    rows = tx.execute("SELECT person, alias, how, place, since, blocked FROM trust")
    return {row[0]: Mark(row[1], row[2], row[3], row[4], bool(row[5])) for row in rows}
