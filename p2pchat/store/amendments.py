"""What entries say of others, on disk, and the bodies that go when it is a delete.

Of what one person says of one message the latest counts, so that reading it has an end. The rest is
kept, its `kind` negative, since what was later may be taken out of the room.
Decides nothing: who may say what is `core.talk`'s.
"""

from collections.abc import Collection, Iterable, Sequence

from p2pchat.core.bounds import AMENDMENTS_BY_ONE, PINS_READ
from p2pchat.core.entry import DELETE, EDIT, MESSAGE, PIN, REACTION, Entry
from p2pchat.core.talk import Amendment
from p2pchat.store import journal
from p2pchat.store.database import Connection

__all__ = [
    "add",
    "deletes",
    "drop",
    "dropped",
    "edited_by",
    "entries",
    "forget",
    "hide",
    "missed",
    "named",
    "naming",
    "pins",
    "surplus",
    "take_back",
]

_TOGETHER = 500
"""Ids in one statement."""


def add(tx: Connection, room: bytes, amendment: Amendment, time: int) -> list[bytes]:
    """Keep one, `time` being its entry's; answers those that count no more, being too many."""
    one = amendment
    tx.execute(
        "INSERT OR IGNORE INTO amendments (id, target, kind, room, person, time, text, state)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (one.id, one.target, one.kind, room, one.person, time, one.text, one.on),
    )
    # By what the entries themselves say, so that every node keeps the same ones.
    many = tx.execute(
        "SELECT id FROM amendments WHERE target = ? AND kind = ? AND person = ?"
        " ORDER BY time DESC, id DESC LIMIT -1 OFFSET ?",
        (one.target, one.kind, one.person, AMENDMENTS_BY_ONE),
    ).fetchall()
    tx.executemany("UPDATE amendments SET kind = -kind WHERE id = ?", many)
    return [row[0] for row in many]


def naming(tx: Connection, room: bytes, targets: Sequence[bytes]) -> dict[bytes, list[Amendment]]:
    """Target -> what names it in this room, in the room's order; without pins."""
    found: dict[bytes, list[Amendment]] = {}
    for part in _parts(targets):
        rows = tx.execute(
            "SELECT a.id, a.target, a.kind, a.person, a.text, a.state FROM amendments AS a"  # noqa: S608
            " JOIN entries ON entries.id = a.id"
            f" WHERE a.target IN ({_marks(part)}) AND a.kind IN (?, ?, ?) AND a.room = ?"
            " ORDER BY eff, chain_id, seq",
            (*part, EDIT, DELETE, REACTION, room),
        )
        for id_, target, kind, person, text, state in rows:
            found.setdefault(target, []).append(
                Amendment(id_, target, kind, person, text, bool(state))
            )
    return found


def surplus(tx: Connection, target: bytes, person: bytes) -> list[bytes]:
    """Edits of one message by its author that do not count, being too many."""
    rows = tx.execute(
        "SELECT id FROM amendments WHERE target = ? AND kind = ? AND person = ?",
        (target, -EDIT, person),
    )
    return [row[0] for row in rows]


def named(tx: Connection, room: bytes, ids: Sequence[bytes]) -> set[bytes]:
    """Those of `ids` that anything here names, pins too."""
    return {
        row[0]
        for part in _parts(ids)
        for row in tx.execute(
            f"SELECT DISTINCT target FROM amendments WHERE target IN ({_marks(part)})"  # noqa: S608
            " AND room = ?",
            (*part, room),
        )
    }


def deletes(tx: Connection, room: bytes) -> dict[bytes, set[bytes]]:
    """Message that is here -> people who delete it."""
    found: dict[bytes, set[bytes]] = {}
    for target, person in tx.execute(
        "SELECT a.target, a.person FROM amendments AS a JOIN entries ON entries.id = a.target"
        " WHERE a.room = ? AND a.kind = ?",
        (room, DELETE),
    ):
        found.setdefault(target, set()).add(person)
    return found


def pins(tx: Connection, room: bytes) -> list[tuple[bytes, bool]]:
    """Target and on of the room's newest pin entries, the last in order first."""
    rows = tx.execute(
        "SELECT a.target, a.state FROM entries JOIN amendments AS a ON a.id = entries.id"
        " WHERE entries.room = ? AND entries.kind = ? AND a.kind = ?"
        " ORDER BY eff DESC, chain_id DESC, seq DESC LIMIT ?",
        (room, PIN, PIN, PINS_READ),
    )
    return [(target, bool(state)) for target, state in rows]


def edited_by(tx: Connection, ids: Sequence[bytes]) -> set[bytes]:
    """The targets of those of `ids` that are edits."""
    return {
        row[0]
        for part in _parts(ids)
        for row in tx.execute(
            f"SELECT target FROM amendments WHERE id IN ({_marks(part)}) AND kind = ?",  # noqa: S608
            (*part, EDIT),
        )
    }


def entries(tx: Connection, ids: Sequence[bytes]) -> dict[bytes, Entry]:
    """Those of `ids` that are here."""
    found: dict[bytes, Entry] = {}
    for part in _parts(ids):
        rows = tx.execute(
            f"SELECT {journal.COLUMNS} FROM entries WHERE id IN ({_marks(part)})",  # noqa: S608
            part,
        )
        found.update((entry.id, entry) for entry in journal.entries_of(rows))
    return found


def drop(tx: Connection, ids: Iterable[bytes]) -> None:
    """Forget the bodies of these entries, for good."""
    wanted = [(id_,) for id_ in ids]
    tx.executemany("UPDATE entries SET body = NULL WHERE id = ? AND body IS NOT NULL", wanted)
    tx.executemany("INSERT OR IGNORE INTO dropped VALUES (?)", wanted)


def dropped(tx: Connection, ids: Collection[bytes]) -> set[bytes]:
    """Those of `ids` whose bodies were."""
    return {
        row[0]
        for part in _parts(list(ids))
        for row in tx.execute(f"SELECT id FROM dropped WHERE id IN ({_marks(part)})", part)  # noqa: S608
    }


def hide(tx: Connection, id_: bytes, *, hidden: bool) -> None:
    """Leave a message out of listings, or take it in again."""
    kind = 0 if hidden else MESSAGE
    tx.execute("UPDATE entries SET kind = ? WHERE id = ? AND kind != ?", (kind, id_, kind))


def take_back(tx: Connection, id_: bytes) -> bytes | None:
    """An entry of these is not in the journal any more; answers its target."""
    row = tx.execute(
        "DELETE FROM amendments WHERE id = ? RETURNING target, kind, person", (id_,)
    ).fetchone()
    if row is None:
        return None
    target, kind, person = row
    if kind > 0:
        # The latest of those that were too many counts again.
        tx.execute(
            "UPDATE amendments SET kind = ? WHERE id = (SELECT id FROM amendments"
            " WHERE target = ? AND kind = ? AND person = ? ORDER BY time DESC, id DESC LIMIT 1)",
            (kind, target, -kind, person),
        )
    return bytes(target)


def missed(tx: Connection, ids: Iterable[bytes]) -> None:
    """These bodies were dropped, and should not have been."""
    tx.executemany("DELETE FROM dropped WHERE id = ?", [(id_,) for id_ in ids])


def forget(tx: Connection, room: bytes) -> None:
    """A room goes, with all its entries: to be called while they are there."""
    for table in ("expiring", "late", "dropped", "lacking_asked"):
        tx.execute(
            f"DELETE FROM {table} WHERE id IN (SELECT id FROM entries WHERE room = ?)",  # noqa: S608
            (room,),
        )
    for table in ("amendments", "lacking"):
        tx.execute(f"DELETE FROM {table} WHERE room = ?", (room,))  # noqa: S608


def _parts(ids: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
    for start in range(0, len(ids), _TOGETHER):
        yield ids[start : start + _TOGETHER]


def _marks(part: Sequence[bytes]) -> str:
    return ", ".join("?" * len(part))
