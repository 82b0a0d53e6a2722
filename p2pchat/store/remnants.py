"""What a damaged database still holds, put into a sound one: rows of tables, and entries.

Rows on whole pages are taken as they are. Of others only what can be told to be right: entries by
their hashes, certificates by their signatures. An entry whose body is damaged keeps its place, so
that what follows it in its chain still holds, and its body is one that is lacking.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

import msgspec
import sqlcipher3.dbapi2 as sqlite

from p2pchat.core.clock import seconds
from p2pchat.core.entry import (
    Entry,
    body_fits,
    body_hash,
    chain_id,
    entry_id,
    parse_header,
    signature_holds,
)
from p2pchat.core.identity import Certificate, Identity
from p2pchat.store import lacking, meta
from p2pchat.store.database import Connection
from p2pchat.store.pages import Pages
from p2pchat.store.salvage import Row, Salvage, Value

__all__ = ["TABLES", "Gathered", "gather", "identity", "version"]

TABLES = (
    "rooms", "meta", "contacts", "trust", "invites", "pursuits", "shares", "members", "epochs",
    "forks", "withheld", "arrivals", "joins", "invite_rooms", "dropped", "lacking", "receipts",
    "expiring", "lacking_asked",
)  # fmt: skip
"""What is taken row by row; all else follows from entries, and is made anew. `rooms` comes first,
for others name them."""
_ENTRY_COLUMNS = 13
_ALTERED_MAX = 10_000
"""Rows with damaged headers that are kept in memory meanwhile."""
T = TypeVar("T")


def identity(path: Path, key: bytes) -> Identity | None:
    """Whose database it is, if that can be read. Raises OSError."""
    with closing(Pages(path, key)) as pages:
        found = Salvage(pages)
        rows = (*found.table("meta"), *found.anywhere(_names_identity))
        return next((whose for row in rows if (whose := _identity(row.values))), None)


def version(path: Path, key: bytes) -> int | None:
    """Of its schema, if that can be told. Raises OSError."""
    with closing(Pages(path, key)) as pages:
        first = pages[1]
        if first is None or not first.whole:
            return None
        return int.from_bytes(first.data[60:64], "big")


@dataclass(frozen=True, slots=True)
class Gathered:
    """`guessed`: rooms of which no more is known than that something belongs to them; `bare`: ids
    of entries whose bodies are lost."""

    guessed: set[bytes]
    bare: set[bytes]


def gather(tx: Connection, path: Path, key: bytes) -> Gathered:
    """Put all that can be had of the database at `path` into an empty one. Raises OSError."""
    layout = tx.execute("SELECT name, rootpage FROM sqlite_master WHERE type = 'table'").fetchall()
    with closing(Pages(path, key)) as pages:
        found = Salvage(pages)
        found.assume({name: root for name, root in layout if root})
        guessed, bare = set[bytes](), set[bytes]()
        _take(tx, "rooms", found, guessed)
        chains: dict[bytes, int] = {}
        whose: Identity | None = None
        altered: list[Row] = []
        for row in found.anywhere(lambda row: _is_entry(row) or _names_identity(row)):
            if _names_identity(row):
                whose = whose or _identity(row.values)
            elif (entry := _entry(row)) is not None:
                if _add(tx, entry, chains, guessed) and not (row.whole or _is_full(row, entry)):
                    bare.add(entry.id)
                    lacking.add(tx, entry.header.room, entry.id)
            elif not row.whole and len(altered) < _ALTERED_MAX:
                altered.append(row)
        for mended in _mended(tx, found, altered):
            _add(tx, mended, chains, guessed)
        for table in TABLES[1:]:
            _take(tx, table, found, guessed)
        if whose is not None and meta.get(tx, "identity") is None:
            meta.put(tx, "identity", msgspec.msgpack.encode(whose))
        _heads(tx, found, chains, guessed)
        return Gathered(guessed, bare)


# -- entries ------------------------------------------------------------------------------------


def _is_entry(row: Row) -> bool:
    return len(row.values) == _ENTRY_COLUMNS and isinstance(row.values[10], bytes)


def _entry(row: Row) -> Entry | None:
    """The entry, without its body where that is damaged."""
    id_, raw, body, signature = (row.values[at] for at in (1, 10, 11, 12))
    header = parse_header(raw) if isinstance(raw, bytes) else None
    if header is None or not isinstance(raw, bytes) or id_ != entry_id(raw):
        return None
    body = body if isinstance(body, bytes) else None
    chain = chain_id(header.room, header.device, header.incarnation)
    entry = Entry(
        entry_id(raw), chain, header, raw, body, signature if isinstance(signature, bytes) else None
    )
    if row.whole:
        return entry
    if not signature_holds(entry):
        entry = msgspec.structs.replace(entry, signature=None)
    fits = body_fits(header, body)
    return entry if fits else msgspec.structs.replace(entry, body=None)


def _is_full(row: Row, entry: Entry) -> bool:
    return entry.body is not None or row.values[11] is None


def _mended(tx: Connection, found: Salvage, altered: Sequence[Row]) -> Iterator[Entry]:
    """Entries whose headers are damaged, and follow from all that is around them: the id tells."""
    rows = sorted(
        (row.values for row in altered if all(isinstance(row.values[at], int) for at in (3, 4, 7))),
        key=lambda values: cast(int, values[3]),
    )
    causes: dict[Value, list[bytes]] = {}
    wanted = {values[1] for values in rows}
    for row in found.table("causes") if wanted else ():
        match row.values:
            case (bytes(cause), follower) if follower in wanted:
                causes.setdefault(follower, []).append(cause)
    epochs: dict[bytes, set[bytes]] = {}
    for values in rows:
        after = tuple(sorted(causes.get(values[1], ())))
        entry = _mend(tx, values, after, epochs) or _signed(values)
        if entry is not None:
            yield entry


def _signed(values: Sequence[Value]) -> Entry | None:
    """The entry, if it is the id in its row that is damaged."""
    raw, signature = values[10], values[12]
    if not isinstance(raw, bytes) or not isinstance(signature, bytes):
        return None
    # With an id that is right only the signature has to tell.
    found = _entry(Row(None, (None, entry_id(raw), *values[2:]), whole=False))
    return found if found is not None and found.signature is not None else None


def _mend(
    tx: Connection,
    values: Sequence[Value],
    after: tuple[bytes, ...],
    epochs: dict[bytes, set[bytes]],
) -> Entry | None:
    match tuple(values):
        case (_, bytes(id_), _, int(seq), int(kind), _, bytes(chain), int(time), *_, body, by) if (
            isinstance(body, bytes) and seq > 0
        ):
            pass
        case _:
            return None
    before = tx.execute(
        "SELECT header FROM entries WHERE chain_id = ? AND seq = ?", (chain, seq - 1)
    ).fetchone()
    header = parse_header(before[0]) if before is not None else None
    if header is None:
        return None
    if chain not in epochs:
        raws = tx.execute("SELECT header FROM entries WHERE chain_id = ?", (chain,))
        held = (parse_header(raw) for (raw,) in raws)
        epochs[chain] = {one.epoch for one in held if one is not None} | {b""}
    for epoch in epochs[chain]:
        made = msgspec.structs.replace(
            header,
            seq=seq,
            prev=entry_id(before[0]),
            after=after,
            time=time,
            kind=kind,
            epoch=epoch,
            length=len(body),
            body_hash=body_hash(body),
        )
        raw = msgspec.msgpack.encode(made)
        if entry_id(raw) == id_ and parse_header(raw) is not None:
            entry = Entry(id_, chain, made, raw, body, by if isinstance(by, bytes) else None)
            return (
                entry if signature_holds(entry) else msgspec.structs.replace(entry, signature=None)
            )
    return None


def _add(tx: Connection, entry: Entry, chains: dict[bytes, int], guessed: set[bytes]) -> bool:
    header = entry.header
    if entry.chain not in chains:
        _ensure_room(tx, header.room, seconds(header.time), guessed)
        chains[entry.chain] = _begin(tx, entry.chain, header.room, header.device)
    row = tx.execute(
        "INSERT OR IGNORE INTO entries"
        " (id, chain, seq, kind, room, chain_id, time, header, body, signature)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry.id,
            chains[entry.chain],
            header.seq,
            header.kind,
            header.room,
            entry.chain,
            header.time,
            entry.raw,
            entry.body,
            entry.signature,
        ),
    )
    return bool(row.rowcount)


def _begin(tx: Connection, chain: bytes, room: bytes, device: bytes) -> int:
    row = tx.execute(
        "INSERT INTO chains (chain, room, device, head_seq, head_id, head_time)"
        " VALUES (?, ?, ?, -1, x'', 0)",
        (chain, room, device),
    )
    return int(row.lastrowid)


def _heads(tx: Connection, found: Salvage, chains: dict[bytes, int], guessed: set[bytes]) -> None:
    """As far as the entries reach, and as the chains were known to: what is missing is lost."""
    for row in found.table("chains"):
        match row.values:
            case (_, bytes(chain), bytes(room), bytes(device), int(seq), *_) if row.whole:
                if chain not in chains:
                    _ensure_room(tx, room, 0.0, guessed)
                    chains[chain] = _begin(tx, chain, room, device)
                tx.execute("UPDATE chains SET head_seq = ? WHERE chain = ?", (seq, chain))
    tx.execute(
        "UPDATE chains SET head_seq = max(head_seq,"
        " coalesce((SELECT max(seq) FROM entries WHERE entries.chain = chains.number), -1))"
    )


def _ensure_room(tx: Connection, room: bytes, created: float, guessed: set[bytes]) -> None:
    row = tx.execute(
        "INSERT OR IGNORE INTO rooms VALUES (?, 'direct', '', ?)", (room, max(created, 0.0))
    )
    if row.rowcount:
        guessed.add(room)


# -- tables -------------------------------------------------------------------------------------


def _take(tx: Connection, table: str, found: Salvage, guessed: set[bytes]) -> None:
    columns = [row[1] for row in tx.execute(f"PRAGMA table_info({table})")]
    names_room = columns.index("room") if "room" in columns and table != "rooms" else None
    for row in found.table(table):
        values = _whole_values(row) if row.whole else _proven(tx, table, row.values, guessed)
        if values is None or len(values) > len(columns):
            continue
        if names_room is not None and len(values) > names_room:
            room = values[names_room]
            if isinstance(room, bytes) and len(room) == 32:
                _ensure_room(tx, room, 0.0, guessed)
        # Rows from before a column was added are shorter: the rest has its defaults.
        named, marks = ", ".join(columns[: len(values)]), ", ".join("?" * len(values))
        with suppress(sqlite.Error):
            tx.execute(
                f"INSERT OR IGNORE INTO {table} ({named}) VALUES ({marks})",  # noqa: S608
                values,
            )


def _whole_values(row: Row) -> tuple[Value, ...]:
    # The number of a row is not in the row itself.
    if row.rowid is not None and row.values and row.values[0] is None:
        return (row.rowid, *row.values[1:])
    return row.values


def _proven(
    tx: Connection, table: str, values: Sequence[Value], guessed: set[bytes]
) -> tuple[Value, ...] | None:
    """What may be taken of a row from a page that was altered somewhere."""
    match table, tuple(values):
        case "rooms", (bytes(room), *_) if len(room) == 32:
            # Who belongs to it has to explain it.
            _ensure_room(tx, room, 0.0, guessed)
        case "contacts", (bytes(person), bytes(raw), bytes(secret), *_) if len(secret) == 32:
            certificate = _decoded(raw, Certificate)
            if certificate is not None and certificate.holds() and certificate.person == person:
                return (*values,)
        case "trust", (bytes(person), str(alias), _, str(), since, int(blocked)) if (
            len(person) == 32
        ):
            # That somebody was verified is not to be believed of such a page.
            return person, alias, None, "", since, int(bool(blocked))
        case "receipts", (bytes(), bytes(), bytes(chain), int(had), int(read)):
            query = "SELECT coalesce(max(seq), -1) FROM entries WHERE chain_id = ?"
            newest = tx.execute(query, (chain,)).fetchone()[0]
            if -1 <= read <= newest and -1 <= had <= newest:
                return (*values,)
        case "epochs", (bytes(), bytes(), bytes(key)) if len(key) == 32:
            return (*values,)
        case "dropped", (bytes(id_),) if len(id_) == 32:
            return (*values,)
        case "lacking", (bytes(id_), bytes(room), *_) if len(id_) == len(room) == 32:
            return id_, room, 0
        case "withheld", (bytes(id_), bytes(), bytes(), int(), int(), bytes(who), bytes(raw), *_):
            certificate = _decoded(who, Certificate)
            if id_ == entry_id(raw) and certificate is not None and certificate.holds():
                return (*values,)
    return None


def _names_identity(row: Row) -> bool:
    return len(row.values) == 2 and row.values[0] == "identity"


def _identity(values: Sequence[Value]) -> Identity | None:
    """The identity, if that is what the row is, and its keys are what it says they are."""
    match tuple(values):
        case ("identity", bytes(raw)):
            whose = _decoded(raw, Identity)
            return whose if whose is not None and whose.holds() else None
    return None


def _decoded(raw: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.msgpack.decode(raw, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
