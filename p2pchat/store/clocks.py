"""By which clocks people wrote what came last of them.

Read from the heads of chains: one row each, whatever the length of the history.
"""

from collections.abc import Collection
from dataclasses import dataclass

from p2pchat.store.database import Connection

__all__ = ["Reading", "last_of_each"]


@dataclass(frozen=True, slots=True)
class Reading:
    """`time` as a device claimed it, `place` in the order; `number` rises with arrival."""

    device: bytes
    number: int
    time: int
    place: int


def last_of_each(tx: Connection, rooms: Collection[bytes]) -> list[Reading]:
    """The last entry of each chain of these rooms."""
    marks = ", ".join("?" * len(rooms))
    rows = tx.execute(
        "SELECT chains.device, entries.number, entries.time, entries.eff FROM chains"  # noqa: S608
        f" JOIN entries ON entries.id = chains.head_id WHERE chains.room IN ({marks})",
        tuple(rooms),
    )
    return [Reading(*row) for row in rows]
