"""Entries, chains and their order on disk."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from p2pchat.core.clock import stamp
from p2pchat.core.entry import Entry, is_act, parse_header
from p2pchat.core.timeline import Node, Timeline
from p2pchat.errors import BadInput, Error
from p2pchat.store import unsettled
from p2pchat.store.database import Connection

__all__ = [
    "ANEW_MAX",
    "COLUMNS",
    "HeadRow",
    "Web",
    "acts",
    "acts_beyond",
    "after",
    "append",
    "between",
    "but",
    "count",
    "entries_of",
    "entry",
    "forks",
    "heads",
    "insert",
    "keep_fork",
    "messages_between",
    "moved",
    "newest_time",
    "numbered",
    "numbers",
    "of_kind",
    "place",
    "places",
    "run",
    "settle",
    "tail",
    "timeline_node",
]

COLUMNS = "entries.id, entries.chain_id, entries.header, entries.body, entries.signature"
"""What `entries_of` makes entries of."""
ANEW_MAX = 500
"""Entries that were here before and get another place in one transaction: others wait for it."""
_TOGETHER = 500
"""Ids in one statement."""
_ROWS = 64
"""Entries in one statement."""
_INSERT = (
    "INSERT INTO entries"
    " (id, chain, seq, kind, room, chain_id, time, eff, high, header, body, signature) VALUES "
)
_ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_REMEMBERED = 4_096
"""Entries whose place the writer need not read again: what follows names recent ones."""


@dataclass(frozen=True, slots=True)
class HeadRow:
    chain: bytes
    seq: int
    id: bytes
    device: bytes
    time: int
    forked: int


def insert(
    tx: Connection, entries: Sequence[Entry], *, fresh: bool = False, most: int = ANEW_MAX
) -> list[bytes]:
    """Add entries of one chain that continue what is there, in their place of the order.

    `fresh`: written just now, so that no entry can have named them. Answers the ids of others whose
    place may have moved, about `most`; what more would have to is left to `settle`. Raises Error
    `internal` if they do not continue it: the caller's view of the chain is stale.
    """
    # Before they are there: to move them in the index afterwards would cost as much again.
    room, new = entries[0].header.room, {entry.id: timeline_node(entry) for entry in entries}
    timeline = Timeline(Web(tx, room, new, named=not fresh), most)
    placed = {node.id: node for node in timeline.insert(new.values())}
    append(tx, entries, placed)
    moved = [node for id_, node in placed.items() if id_ not in new]
    place(tx, moved)
    unsettled.add(tx, room, timeline.left)
    _remember(tx, new)
    return [node.id for node in moved]


def settle(tx: Connection, most: int = ANEW_MAX) -> tuple[bytes, list[bytes]] | None:
    """Go on with what moves in some room; answers which, and the ids of what has moved.

    None: the order is at rest everywhere.
    """
    found = unsettled.take(tx, most)
    if found is None:
        return None
    room, ids = found
    timeline = Timeline(Web(tx, room), most)
    nodes = timeline.settle(ids)
    place(tx, nodes)
    unsettled.add(tx, room, timeline.left)
    return room, [node.id for node in nodes]


def moved() -> Error:
    """What was made in memory does not continue what is on disk: a commit before it failed."""
    return Error("internal", "the journal moved meanwhile", "run the command again")


def append(
    tx: Connection, entries: Sequence[Entry], placed: Mapping[bytes, Node] | None = None
) -> None:
    """Add entries of one chain that continue what is there, their places as `placed` has them.

    Raises Error `internal` if they do not.
    """
    first, last = entries[0], entries[-1]
    head = (last.header.seq, last.id, last.header.time)
    continued = tx.execute(
        "UPDATE chains SET head_seq = ?, head_id = ?, head_time = ?"
        " WHERE chain = ? AND head_seq = ? AND head_id = ? RETURNING number",
        (*head, first.chain, first.header.seq - 1, first.header.prev),
    ).fetchone()
    if continued is not None:
        (number,) = continued
    elif first.header.seq > 0 or _number(tx, first.chain) is not None:
        raise moved()
    else:
        number = tx.execute(
            "INSERT INTO chains (chain, room, device, head_seq, head_id, head_time)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (first.chain, first.header.room, first.header.device, *head),
        ).lastrowid
    for start in range(0, len(entries), _ROWS):
        part = entries[start : start + _ROWS]
        values: list[object] = []
        for entry in part:
            header, node = entry.header, placed[entry.id] if placed else None
            values += (
                entry.id,
                number,
                header.seq,
                header.kind,
                header.room,
                entry.chain,
                header.time,
                node.eff if node else 0,
                node.high if node else None,
                entry.raw,
                entry.body,
                entry.signature,
            )
        # In one statement: each takes the interpreter's lock again, which the loop's thread holds.
        tx.execute(_INSERT + ", ".join([_ROW] * len(part)), values)
    named = [(cause, entry.id) for entry in entries for cause in entry.header.after]
    if named:
        tx.executemany("INSERT INTO causes (cause, follower) VALUES (?, ?)", named)


def _number(tx: Connection, chain: bytes) -> int | None:
    row = tx.execute("SELECT number FROM chains WHERE chain = ?", (chain,)).fetchone()
    return row[0] if row else None


def heads(tx: Connection, room: bytes) -> list[HeadRow]:
    """Where a room's chains stand, the one that moved last at the end."""
    rows = tx.execute(
        "SELECT chain, head_seq, head_id, device, head_time, forked FROM chains WHERE room = ?"
        " ORDER BY (SELECT number FROM entries WHERE entries.id = head_id)",
        (room,),
    )
    return [HeadRow(*row) for row in rows]


def keep_fork(tx: Connection, room: bytes, chain: bytes, proof: bytes) -> None:
    """Mark a chain as forked; the first proof is kept."""
    tx.execute("INSERT OR IGNORE INTO forks VALUES (?, ?, ?)", (chain, room, proof))
    tx.execute("UPDATE chains SET forked = 1 WHERE chain = ?", (chain,))


def forks(tx: Connection, room: bytes) -> dict[bytes, bytes]:
    """Chain -> proof."""
    return dict(tx.execute("SELECT chain, proof FROM forks WHERE room = ?", (room,)).fetchall())


def newest_time(tx: Connection) -> int:
    """The greatest clock value of any chain's head, 0 if there is none."""
    found: int = tx.execute("SELECT coalesce(max(head_time), 0) FROM chains").fetchone()[0]
    return found


def count(tx: Connection, room: bytes | None = None) -> int:
    where, values = ("WHERE room = ?", (room,)) if room else ("", ())
    found: int = tx.execute(
        f"SELECT coalesce(sum(head_seq + 1), 0) FROM chains {where}",  # noqa: S608  (constant)
        values,
    ).fetchone()[0]
    return found


def places(tx: Connection, ids: Sequence[bytes]) -> dict[bytes, int]:
    """Where in the order those of `ids` stand that are here (`eff`)."""
    memory: dict[bytes, Node] = tx.memory
    found = {id_: memory[id_].eff for id_ in ids if id_ in memory}
    missing = [id_ for id_ in ids if id_ not in found]
    for start in range(0, len(missing), _TOGETHER):
        part = missing[start : start + _TOGETHER]
        marks = ", ".join("?" * len(part))
        found.update(tx.execute(f"SELECT id, eff FROM entries WHERE id IN ({marks})", part))  # noqa: S608
    return found


def after(tx: Connection, number: int, kinds: Sequence[int], count: int) -> list[tuple[int, Entry]]:
    """The next `count` entries of these kinds beyond row `number`, in order of arrival."""
    marks = ", ".join("?" * len(kinds))
    rows = tx.execute(
        f"SELECT number, {COLUMNS} FROM entries WHERE number > ? AND kind IN ({marks})"  # noqa: S608
        " ORDER BY number LIMIT ?",
        (number, *kinds, count),
    ).fetchall()
    return [
        (row[0], entry)
        for row, entry in zip(rows, entries_of(row[1:] for row in rows), strict=True)
    ]


def numbers(tx: Connection, room: bytes) -> list[int]:
    """The rows of a room's entries, in display order; `numbered` reads them."""
    rows = tx.execute(
        "SELECT number FROM entries WHERE room = ? ORDER BY eff, chain_id, seq", (room,)
    )
    return [row[0] for row in rows]


def numbered(tx: Connection, wanted: Sequence[int]) -> list[Entry]:
    """The entries of these rows, in their order."""
    marks = ", ".join("?" * len(wanted))
    rows = tx.execute(
        f"SELECT number, {COLUMNS} FROM entries WHERE number IN ({marks})",  # noqa: S608
        wanted,
    ).fetchall()
    entries = entries_of(row[1:] for row in rows)
    found = {row[0]: entry for row, entry in zip(rows, entries, strict=True)}
    return [found[number] for number in wanted if number in found]


def run(
    tx: Connection, chain: bytes, first: int, last: int, size_bytes: int, count_max: int
) -> list[Entry]:
    """Entries first..last of a chain, up to about `size_bytes`, the last with its signature.

    Where the first signature lies beyond `size_bytes` the run reaches up to it: its entries came
    here in one frame, so they fit one. Bodies count though they are missing: others may have them,
    and would have more to serve under that signature than fits a frame. Empty if none of
    `count_max` entries has a signature.
    """
    rows = tx.execute(
        f"SELECT {COLUMNS} FROM entries JOIN chains ON entries.chain = chains.number"  # noqa: S608
        " WHERE chains.chain = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT ?",
        (chain, first, last, count_max),
    )
    found: list[Entry] = []
    size = signed = 0
    for entry in entries_of(rows):
        grown = size + len(entry.raw) + entry.header.length
        if signed and grown > size_bytes:
            break
        size = grown
        found.append(entry)
        if entry.signature is not None:
            signed = len(found)
            if is_act(entry.header.kind):
                # It may have to stand alone one day, by its own signature.
                break
    return found[:signed]


def entry(tx: Connection, id_: bytes) -> Entry:
    """The entry with this id. Raises BadInput `entry-unknown`."""
    rows = tx.execute(f"SELECT {COLUMNS} FROM entries WHERE id = ?", (id_,))  # noqa: S608
    found = next(entries_of(rows), None)
    if found is None:
        raise BadInput(
            "entry-unknown",
            "there is no entry of that id here",
            "p2pchat log ROOM shows the ids",
        )
    return found


def of_kind(tx: Connection, room: bytes, kind: int) -> list[Entry]:
    rows = tx.execute(
        f"SELECT {COLUMNS} FROM entries WHERE room = ? AND kind = ?"  # noqa: S608
        " ORDER BY eff, chain_id, seq",
        (room, kind),
    )
    return list(entries_of(rows))


def acts(tx: Connection, room: bytes, chain: bytes | None = None) -> list[Entry]:
    """Entries that make membership, of all chains or one."""
    where, values = ("AND chain_id = ?", (chain,)) if chain is not None else ("", ())
    rows = tx.execute(
        f"SELECT {COLUMNS} FROM entries"  # noqa: S608
        f" WHERE room = ? AND kind BETWEEN 16 AND 31 AND kind != 22 {where} ORDER BY chain_id, seq",
        (room, *values),
    )
    return list(entries_of(rows))


def acts_beyond(tx: Connection, chain: bytes, seq: int) -> list[int]:
    """Where in a chain after `seq` entries stand that make membership."""
    rows = tx.execute(
        "SELECT seq FROM entries WHERE room = (SELECT room FROM chains WHERE chain = ?)"
        " AND kind BETWEEN 16 AND 31 AND kind != 22 AND chain_id = ? AND seq > ? ORDER BY seq",
        (chain, chain, seq),
    )
    return [row[0] for row in rows]


def tail(
    tx: Connection,
    room: bytes,
    kinds: Sequence[int],
    *,
    last: int | None,
    since_s: float | None = None,
    hidden: Sequence[bytes] = (),
) -> list[Entry]:
    """The newest `last` entries of these kinds in display order, oldest first.

    None by the devices `hidden`. Since when goes by their times, and by where they stand: what
    answers something new is new, also where its author's clock was behind.
    """
    marks = ", ".join("?" * len(kinds))
    since = stamp(since_s) if since_s is not None else 0
    rows = tx.execute(
        f"SELECT {COLUMNS} FROM entries WHERE room = ? AND kind IN ({marks})"  # noqa: S608
        f" AND max(time, eff) >= ?{but(hidden)} ORDER BY eff DESC, chain_id DESC, seq DESC LIMIT ?",
        (room, *kinds, since, *hidden, -1 if last is None else last),
    )
    return list(entries_of(rows))[::-1]


def but(hidden: Sequence[bytes]) -> str:
    """A condition on `entries` that leaves out what these devices wrote; they are its values."""
    if not hidden:
        return ""
    marks = ", ".join("?" * len(hidden))
    return f" AND chain NOT IN (SELECT number FROM chains WHERE device IN ({marks}))"  # noqa: S608


def messages_between(tx: Connection, chain: bytes, after: int, upto: int, kind: int) -> list[bytes]:
    """Ids of the entries of a kind in (after, upto] of a chain; the newest 200 of them at most."""
    rows = tx.execute(
        "SELECT entries.id FROM entries JOIN chains ON entries.chain = chains.number"
        " WHERE chains.chain = ? AND seq > ? AND seq <= ? AND kind = ? ORDER BY seq DESC LIMIT 200",
        (chain, after, upto, kind),
    )
    return [row[0] for row in rows][::-1]


def between(
    tx: Connection, room: bytes, first: bytes, end: bytes, kind: int, count: int
) -> list[bytes]:
    """At most `count` ids of a room's entries of a kind, from `first` up to and without `end`."""
    # The pluses keep it to the index of ids: that of rooms would read all of a room.
    rows = tx.execute(
        "SELECT id FROM entries WHERE id >= ? AND id < ? AND +room = ? AND +kind = ?"
        " ORDER BY id LIMIT ?",
        (first, end, room, kind, count),
    )
    return [row[0] for row in rows]


def entries_of(
    rows: Iterable[tuple[bytes, bytes, bytes, bytes | None, bytes | None]],
) -> Iterator[Entry]:
    """Rows of `COLUMNS` as entries. Raises Error `home-damaged`."""
    for id_, chain, raw, body, signature in rows:
        header = parse_header(raw)
        if header is None:
            raise Error(
                "home-damaged",
                "an entry of the journal is damaged",
                "p2pchat down, then p2pchat doctor --repair: friends bring back what is lost",
            )
        yield Entry(id_, chain, header, raw, body, signature)


# -- order ---------------------------------------------------------------------------------------


def timeline_node(entry: Entry) -> Node:
    """A new entry as the order sees it."""
    header = entry.header
    prev = header.prev if header.seq else b""
    causes = (prev, *header.after) if prev else header.after
    return Node(entry.id, header.time, causes, prev=prev, room=header.room)


class Web:
    """Entries of one room on disk as the order's web (`core.timeline.Web`).

    `after` may name what it likes: of another room, which not all members have, it says nothing
    here. `new` are not there yet; `named`: though what is there may name them.
    """

    def __init__(
        self, tx: Connection, room: bytes, new: Container[bytes] = (), *, named: bool = True
    ) -> None:
        self._tx = tx
        self._room = room
        self._new = new
        self._named = named

    def nodes(self, ids: Sequence[bytes]) -> dict[bytes, Node]:
        memory: dict[bytes, Node] = self._tx.memory
        room = self._room
        known = {id_: node for id_ in ids if (node := memory.get(id_)) is not None}
        missing = [id_ for id_ in ids if id_ not in known]
        found = {id_: node for id_, node in known.items() if node.room == room}
        for id_, time, raw, high, eff in self._in(
            # The plus keeps it to the index of ids.
            "SELECT id, time, header, high, eff FROM entries WHERE id IN ({}) AND +room = ?",
            missing,
            room,
        ):
            header = parse_header(raw)
            assert header is not None
            prev = header.prev if header.seq else b""
            causes = (prev, *header.after) if prev else header.after
            found[id_] = Node(id_, time, causes, high, eff, prev, room)
        return found

    def followers(self, ids: Sequence[bytes]) -> dict[bytes, list[tuple[int, bytes]]]:
        found: dict[bytes, list[tuple[int, bytes]]] = {}
        named = ids if self._named else [id_ for id_ in ids if id_ not in self._new]
        for cause, eff, follower in self._in(
            "SELECT cause, eff, follower FROM causes JOIN entries ON entries.id = follower"
            " WHERE cause IN ({}) AND +room = ?",
            named,
            self._room,
        ):
            found.setdefault(cause, []).append((eff, follower))
        # Those that are new end their chains.
        old = [id_ for id_ in ids if id_ not in self._new]
        for cause, eff, follower in self._next(old):
            found.setdefault(cause, []).append((eff, follower))
        return found

    def witnesses(self, id_: bytes, count: int) -> list[bytes]:
        following = [next_ for _, _, next_ in self._next([id_])]
        rows = self._tx.execute(
            # CROSS JOIN keeps it to the order of the first table, of which it reads no more.
            "SELECT follower FROM causes CROSS JOIN entries ON entries.id = follower"
            " WHERE cause = ? AND +room = ? ORDER BY follower LIMIT ?",
            (id_, self._room, count + len(following)),
        )
        others = [row[0] for row in rows if row[0] not in following]
        return [*following, *others[:count]]

    def _next(self, ids: Sequence[bytes]) -> Iterator[tuple[bytes, int, bytes]]:
        """Of each of `ids` the next entry of its chain, and where that stands."""
        return self._in(
            "SELECT entries.id, next.eff, next.id FROM entries JOIN entries AS next"
            " ON next.chain = entries.chain AND next.seq = entries.seq + 1"
            " WHERE entries.id IN ({})",
            ids,
        )

    def _in(self, query: str, ids: Sequence[bytes], *more: bytes) -> Iterator[Any]:
        for start in range(0, len(ids), _TOGETHER):
            part = ids[start : start + _TOGETHER]
            marks = ", ".join("?" * len(part))
            yield from self._tx.execute(query.format(marks), (*part, *more))


def _remember(tx: Connection, new: Mapping[bytes, Node]) -> None:
    memory: dict[bytes, Node] = tx.memory
    memory.update(new)
    if len(memory) > 2 * _REMEMBERED:
        for id_ in list(memory)[:-_REMEMBERED]:
            del memory[id_]


def place(tx: Connection, nodes: Iterable[Node]) -> None:
    """Keep what the order has computed."""
    nodes = list(nodes)
    memory: dict[bytes, Node] = tx.memory
    memory.update((node.id, node) for node in nodes if node.id in memory)
    moved = [(node.eff, node.high, node.id) for node in nodes]
    if moved:
        tx.executemany("UPDATE entries SET eff = ?, high = ? WHERE id = ?", moved)
