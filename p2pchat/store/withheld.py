"""What a removal took out of a room, on disk: kept, since removals are undone now and then."""

from collections.abc import Iterable, Sequence

import msgspec

from p2pchat.core.chain import Head
from p2pchat.core.entry import Entry
from p2pchat.core.identity import Certificate
from p2pchat.core.membership import Limit
from p2pchat.core.timeline import Timeline
from p2pchat.store import journal, unsettled
from p2pchat.store.database import Connection

__all__ = [
    "acts",
    "chains",
    "drop",
    "excess",
    "holds",
    "keep",
    "standing",
    "tidy",
    "waiting",
    "withhold",
]

_encode = msgspec.msgpack.Encoder().encode
_COLUMNS = "id, chain, header, body, signature"


def withhold(tx: Connection, chain: bytes, limit: Limit, certificate: Certificate) -> Head | None:
    """Take out what stands in `chain` beyond `limit`; answers the head that is left, if any."""
    beyond = limit.seq if limit.seq is not None else -1
    row = tx.execute("SELECT number FROM chains WHERE chain = ?", (chain,)).fetchone()
    if row is None:
        return None
    number = row[0]
    gone = excess(tx, chain, limit)
    if gone:
        _take_out(tx, number, beyond, gone, certificate)
    last = tx.execute(
        "SELECT id, time, signature FROM entries WHERE chain = ? AND seq = ?", (number, beyond)
    ).fetchone()
    if last is None:
        tx.execute("DELETE FROM chains WHERE number = ?", (number,))
        return None
    if last[2] is None and last[0] == limit.id:
        tx.execute("UPDATE entries SET signature = ? WHERE id = ?", (limit.signature, limit.id))
    tx.execute(
        "UPDATE chains SET head_seq = ?, head_id = ?, head_time = ? WHERE number = ?",
        (beyond, last[0], last[1], number),
    )
    return Head(beyond, last[0], certificate.device, last[1])


def excess(tx: Connection, chain: bytes, limit: Limit) -> list[Entry]:
    """What stands in `chain` beyond `limit`."""
    rows = tx.execute(
        f"SELECT {journal.COLUMNS} FROM entries"  # noqa: S608
        " WHERE chain = (SELECT number FROM chains WHERE chain = ?) AND seq > ? ORDER BY seq",
        (chain, limit.seq if limit.seq is not None else -1),
    )
    return list(journal.entries_of(rows))


def _take_out(
    tx: Connection, number: int, beyond: int, gone: Sequence[Entry], certificate: Certificate
) -> None:
    for entry in gone:
        keep(tx, entry, certificate)
    ids = {entry.id for entry in gone}
    nodes = [journal.timeline_node(entry) for entry in gone]
    causes = {cause for node in nodes for cause in node.causes} - ids
    room = gone[0].header.room
    found = journal.Web(tx, room).followers(sorted(ids))
    followers = {follower for some in found.values() for _, follower in some} - ids
    tx.executemany("DELETE FROM causes WHERE follower = ?", [(id_,) for id_ in ids])
    tx.execute("DELETE FROM entries WHERE chain = ? AND seq > ?", (number, beyond))
    tx.memory.clear()
    timeline = Timeline(journal.Web(tx, room), journal.ANEW_MAX)
    journal.place(tx, timeline.removed(sorted(causes), sorted(followers)))
    unsettled.add(tx, room, timeline.left)


def keep(tx: Connection, entry: Entry, certificate: Certificate) -> None:
    header = entry.header
    tx.execute(
        "INSERT OR IGNORE INTO withheld VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry.id,
            header.room,
            entry.chain,
            header.seq,
            header.kind,
            _encode(certificate),
            entry.raw,
            entry.body,
            entry.signature,
        ),
    )


def acts(tx: Connection, room: bytes) -> list[tuple[Certificate, Entry]]:
    """Those that make membership, with their authors' certificates; what has come in its chain
    after all stands apart no more."""
    rows = tx.execute(
        f"SELECT certificate, {_COLUMNS} FROM withheld"  # noqa: S608
        " WHERE room = ? AND kind BETWEEN 16 AND 31 AND kind != 22"
        " AND NOT EXISTS (SELECT 1 FROM entries WHERE entries.id = withheld.id)"
        " ORDER BY chain, seq",
        (room,),
    ).fetchall()
    decode = msgspec.msgpack.Decoder(Certificate).decode
    return [
        (decode(row[0]), entry)
        for row, entry in zip(rows, journal.entries_of(row[1:] for row in rows), strict=True)
    ]


def standing(tx: Connection, ids: Iterable[bytes]) -> list[Entry]:
    """Those of `ids` that are not withheld but stand in their chains, in that order."""
    query = f"SELECT {journal.COLUMNS} FROM entries WHERE id = ?"  # noqa: S608
    return [entry for id_ in ids for entry in journal.entries_of(tx.execute(query, (id_,)))]


def tidy(tx: Connection, room: bytes) -> None:
    """Drop what has come in its chain after all."""
    tx.execute(
        "DELETE FROM withheld WHERE room = ? AND id IN (SELECT id FROM entries WHERE room = ?)",
        (room, room),
    )


def chains(tx: Connection, room: bytes) -> list[tuple[bytes, int]]:
    """Chains of which something is withheld, and from which place on."""
    query = "SELECT chain, min(seq) FROM withheld WHERE room = ? GROUP BY chain"
    return [(chain, first) for chain, first in tx.execute(query, (room,))]


def holds(tx: Connection, chain: bytes) -> bool:
    """Whether anything of this chain is withheld."""
    row = tx.execute("SELECT 1 FROM withheld WHERE chain = ? LIMIT 1", (chain,)).fetchone()
    return row is not None


def waiting(tx: Connection, chain: bytes, first: int, last: int | None) -> list[Entry]:
    """Entries first..last of a chain, as far as they follow each other."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM withheld WHERE chain = ? AND seq >= ? AND seq <= ?"  # noqa: S608
        " ORDER BY seq",
        (chain, first, last if last is not None else (1 << 63) - 1),
    )
    found: list[Entry] = []
    for entry in journal.entries_of(rows):
        if entry.header.seq != first + len(found):
            break
        found.append(entry)
    return found


def drop(tx: Connection, ids: Iterable[bytes]) -> None:
    tx.executemany("DELETE FROM withheld WHERE id = ?", [(id_,) for id_ in ids])
