"""Entries whose bodies are missing, and may be had from others."""

from collections.abc import Collection, Sequence

from p2pchat.core.bounds import LACKING_MAX, LACKING_TRIES
from p2pchat.core.entry import Entry, body_hash
from p2pchat.store import amendments
from p2pchat.store.database import Connection

__all__ = ["add", "fill", "forget", "rooms", "tried", "wanted"]


def add(tx: Connection, room: bytes, id_: bytes) -> None:
    """This one came without; what is known of it stays."""
    tx.execute("INSERT OR IGNORE INTO lacking (id, room) VALUES (?, ?)", (id_, room))


def forget(tx: Connection, id_: bytes) -> None:
    """It has come, or is deleted."""
    tx.execute("DELETE FROM lacking WHERE id = ?", (id_,))


def rooms(tx: Connection) -> set[bytes]:
    """Those that have any."""
    return {row[0] for row in tx.execute("SELECT DISTINCT room FROM lacking")}


def wanted(tx: Connection, room: bytes, asked: Collection[bytes]) -> list[bytes]:
    """What somebody who was asked for `asked` may be asked for now; the least tried first."""
    rows = tx.execute(
        "SELECT id FROM lacking WHERE room = ? AND tries < ? ORDER BY tries LIMIT ?",
        (room, LACKING_TRIES, LACKING_MAX + len(asked)),
    )
    return [row[0] for row in rows if row[0] not in asked][:LACKING_MAX]


def tried(tx: Connection, ids: Sequence[bytes]) -> None:
    """One peer more was asked for these."""
    tx.executemany("UPDATE lacking SET tries = tries + 1 WHERE id = ?", [(id_,) for id_ in ids])


def fill(tx: Connection, room: bytes, id_: bytes, body: bytes) -> Entry | None:
    """Put the body of an entry that lacks it in its place; None if it is not that body."""
    known = tx.execute("SELECT 1 FROM lacking WHERE id = ? AND room = ?", (id_, room)).fetchone()
    found = amendments.entries(tx, [id_]).get(id_) if known else None
    if found is None or found.body is not None or body_hash(body) != found.header.body_hash:
        return None
    tx.execute("UPDATE entries SET body = ? WHERE id = ?", (body, id_))
    forget(tx, id_)
    return Entry(found.id, found.chain, found.header, found.raw, body, found.signature)
