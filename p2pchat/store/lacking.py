"""Entries whose bodies are missing, and may be had from others."""

from collections.abc import Collection, Sequence

from p2pchat.core.bounds import LACKING_MAX, LACKING_TRIES
from p2pchat.core.entry import Entry, body_hash
from p2pchat.store import amendments
from p2pchat.store.database import Connection

__all__ = ["add", "fill", "forget", "rooms", "tried", "wanted"]

_MARK = 8
"""Bytes of a person's key that stand for it: too many to make another key for."""
_LOOKED_AT = 4_096
"""Beyond what is asked for at once; what was asked for least stands first."""


def add(tx: Connection, room: bytes, id_: bytes) -> None:
    """This one came without; what is known of it stays."""
    tx.execute("INSERT OR IGNORE INTO lacking (id, room) VALUES (?, ?)", (id_, room))


def forget(tx: Connection, id_: bytes) -> None:
    """It has come, or is deleted."""
    for table in ("lacking", "lacking_asked"):
        tx.execute(f"DELETE FROM {table} WHERE id = ?", (id_,))  # noqa: S608  (constants)


def rooms(tx: Connection) -> set[bytes]:
    """Those that have any."""
    return {row[0] for row in tx.execute("SELECT DISTINCT room FROM lacking")}


def wanted(tx: Connection, room: bytes, person: bytes, asked: Collection[bytes]) -> list[bytes]:
    """What `person`, asked for `asked` over this link, may be asked for; the least tried first.

    Each is given up for itself: that somebody has not got it says nothing of others.
    """
    rows = tx.execute(
        "SELECT id, coalesce(people, x'') FROM lacking LEFT JOIN lacking_asked USING (id)"
        " WHERE room = ? ORDER BY tries LIMIT ?",
        (room, LACKING_MAX + len(asked) + _LOOKED_AT),
    )
    mark = _mark(person)
    found: list[bytes] = []
    for id_, people in rows:
        times = sum(people[at : at + _MARK] == mark for at in range(0, len(people), _MARK))
        if times < LACKING_TRIES and id_ not in asked:
            found.append(id_)
            if len(found) == LACKING_MAX:
                break
    return found


def tried(tx: Connection, ids: Sequence[bytes], person: bytes) -> None:
    """`person` was asked for these once more."""
    tx.executemany("UPDATE lacking SET tries = tries + 1 WHERE id = ?", [(id_,) for id_ in ids])
    tx.executemany(
        "INSERT INTO lacking_asked SELECT id, ? FROM lacking WHERE id = ?"
        " ON CONFLICT (id) DO UPDATE SET people = CAST(people || excluded.people AS BLOB)",
        [(_mark(person), id_) for id_ in ids],
    )


def _mark(person: bytes) -> bytes:
    return person[:_MARK]


def fill(tx: Connection, room: bytes, id_: bytes, body: bytes) -> Entry | None:
    """Put the body of an entry that lacks it in its place; None if it is not that body."""
    known = tx.execute("SELECT 1 FROM lacking WHERE id = ? AND room = ?", (id_, room)).fetchone()
    found = amendments.entries(tx, [id_]).get(id_) if known else None
    if found is None or found.body is not None or body_hash(body) != found.header.body_hash:
        return None
    tx.execute("UPDATE entries SET body = ? WHERE id = ?", (body, id_))
    forget(tx, id_)
    return Entry(found.id, found.chain, found.header, found.raw, body, found.signature)
