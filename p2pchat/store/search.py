"""The index of words: which messages of a room have them.

It is filled behind the journal, in the order of arrival and in batches (`missing`, `keep`), since
its own pages would make each commit slower. How far it has come is kept with it, in the same
transaction, so that nothing is left out whatever dies when. Messages whose key is not here wait in
`unread` until it is. What was amended is put in its place at once (`put`, `forget`), and whoever
comes behind leaves what is there.
"""

import re
from collections.abc import Iterable, Sequence

from p2pchat.core.clock import stamp
from p2pchat.core.entry import MESSAGE, Entry
from p2pchat.errors import BadInput
from p2pchat.store import journal, meta
from p2pchat.store.database import Connection

__all__ = ["clear", "find", "forget", "keep", "missing", "put", "query"]

_TERMS_MAX = 32
_TERM = re.compile(r'"([^"]*)"?|(\S+)')
_NEWEST = 2_000
"""Of the matches that came last, so many are put in order; all where all are asked for."""


def query(room: bytes, words: str) -> str:
    """What a person types, in FTS5's language: all words, `pre*`, `"a phrase"`, accents or not.

    Raises errors.BadInput `search-empty`.
    """
    terms = []
    for match in _TERM.finditer(words):
        phrase, word = match[1], match[2]
        text = phrase if phrase is not None else word.rstrip("*")
        if any(character.isalnum() for character in text):
            prefix = " *" if phrase is None and word.endswith("*") else ""
            # Quotes make all that is within plain text: a person's AND is a word.
            terms.append('"' + text.replace('"', '""') + '"' + prefix)
    if not terms or len(terms) > _TERMS_MAX:
        raise BadInput(
            "search-empty",
            f"there is no word to look for in {words!r}" if not terms else "that is too many words",
            'give words, the beginning of one (hol*), or a phrase ("see you there")',
        )
    found = " AND ".join(f"text : {term}" for term in terms)
    return f'({found}) AND place : "{_place(room)}"'


def missing(tx: Connection, count: int) -> list[tuple[int, Entry]]:
    """The next messages that the index lacks, by row, `count` of them at most.

    Give all of them to `keep`. Those that waited for a key that has come are first.
    """
    waiting = tx.execute(
        f"SELECT entries.number, {journal.COLUMNS} FROM epochs CROSS JOIN unread"  # noqa: S608
        " ON unread.room = epochs.room AND unread.epoch = epochs.epoch"
        " CROSS JOIN entries ON entries.number = unread.number LIMIT ?",
        (count,),
    ).fetchall()
    if waiting:
        entries = journal.entries_of(row[1:] for row in waiting)
        return [(row[0], entry) for row, entry in zip(waiting, entries, strict=True)]
    return journal.after(tx, _reached(tx), (MESSAGE,), count)


def keep(
    tx: Connection, texts: Iterable[tuple[int, bytes, str]], sealed: Iterable[tuple[int, Entry]]
) -> None:
    """Index rows (number, room, text) that `missing` has found, and nobody has put since.

    `sealed`: those that cannot be read for want of a key; they wait for it.
    """
    found = list(texts)
    numbers = [number for number, _, _ in found]
    waiting = [(one.header.room, one.header.epoch, number) for number, one in sealed]
    newest = max(numbers + [number for _, _, number in waiting], default=0)
    marks = ", ".join("?" * len(numbers))
    # A body may have gone since they were read, or an edit come.
    there = {
        row[0]
        for row in tx.execute(
            f"SELECT number FROM entries WHERE number IN ({marks}) AND kind = {MESSAGE}"  # noqa: S608
            " AND body IS NOT NULL"
            " AND NOT EXISTS (SELECT 1 FROM words_docsize WHERE words_docsize.id = number)",
            numbers,
        )
    }
    # FTS5 flushes for each row of an INSERT that selects, which costs four times as much.
    tx.executemany(
        "INSERT INTO words (rowid, text, place) VALUES (?, ?, ?)",
        [(number, text, _place(room)) for number, room, text in found if number in there],
    )
    tx.executemany("DELETE FROM unread WHERE number = ?", [(number,) for number in numbers])
    tx.executemany("INSERT OR IGNORE INTO unread (room, epoch, number) VALUES (?, ?, ?)", waiting)
    if newest > _reached(tx):
        meta.put(tx, "words", str(newest).encode())


def put(tx: Connection, entry: Entry, text: str) -> None:
    """Index a message that is in the journal with this text, and no other."""
    (number,) = tx.execute("SELECT number FROM entries WHERE id = ?", (entry.id,)).fetchone()
    tx.execute(
        "INSERT OR REPLACE INTO words (rowid, text, place) VALUES (?, ?, ?)",
        (number, text, _place(entry.header.room)),
    )
    tx.execute("DELETE FROM unread WHERE number = ?", (number,))


def forget(tx: Connection, id_: bytes) -> None:
    """Take what a message in the journal said out of the index."""
    tx.execute("DELETE FROM words WHERE rowid = (SELECT number FROM entries WHERE id = ?)", (id_,))


def find(
    tx: Connection,
    room: bytes,
    words: str,
    kinds: Sequence[int],
    *,
    last: int | None,
    since_s: float | None = None,
    hidden: Sequence[bytes] = (),
) -> list[Entry]:
    """The newest `last` entries that have `words`, in display order, oldest first.

    None by the devices `hidden`. Raises errors.BadInput `search-empty`.
    """
    marks = ", ".join("?" * len(kinds))
    since = stamp(since_s) if since_s is not None else 0
    wide = -1 if last is None or since_s is not None else max(_NEWEST, 20 * last)
    rows = tx.execute(
        f"SELECT {journal.COLUMNS} FROM entries WHERE number IN"  # noqa: S608  (constants)
        " (SELECT rowid FROM words WHERE words MATCH ? ORDER BY rowid DESC LIMIT ?)"
        f" AND room = ? AND kind IN ({marks}) AND max(time, eff) >= ?{journal.but(hidden)}"
        " ORDER BY eff DESC, chain_id DESC, seq DESC LIMIT ?",
        (query(room, words), wide, room, *kinds, since, *hidden, -1 if last is None else last),
    )
    return list(journal.entries_of(rows))[::-1]


def clear(tx: Connection) -> None:
    """Forget it: all messages are missing."""
    tx.execute("DELETE FROM words")
    tx.execute("DELETE FROM unread")
    meta.put(tx, "words", b"0")


def _reached(tx: Connection) -> int:
    """The row up to which entries are indexed, or wait."""
    return int(meta.get(tx, "words") or b"0")


def _place(room: bytes) -> str:
    return f"r{room[:12].hex()}"
