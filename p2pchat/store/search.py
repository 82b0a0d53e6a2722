"""The index of words: which messages of a room have them."""

import re
from collections.abc import Iterable, Sequence

from p2pchat.core.clock import stamp
from p2pchat.core.entry import Entry
from p2pchat.errors import BadInput
from p2pchat.store import journal, meta
from p2pchat.store.database import Connection

__all__ = ["add", "clear", "complete", "find", "mark", "query", "remove"]

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


def add(tx: Connection, room: bytes, texts: Iterable[tuple[bytes, str]]) -> None:
    """Index the texts of these entries, by id."""
    place = _place(room)
    # FTS5 flushes for each row of an INSERT that selects, which costs four times as much.
    rows = [
        (number[0], text, place)
        for id_, text in texts
        if (number := tx.execute("SELECT number FROM entries WHERE id = ?", (id_,)).fetchone())
    ]
    tx.executemany("INSERT OR REPLACE INTO words (rowid, text, place) VALUES (?, ?, ?)", rows)


def remove(tx: Connection, ids: Iterable[bytes]) -> None:
    """Forget the words of these entries; to be called while they are there."""
    tx.executemany(
        "DELETE FROM words WHERE rowid = (SELECT number FROM entries WHERE id = ?)",
        [(id_,) for id_ in ids],
    )


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
        f" AND room = ? AND kind IN ({marks}) AND time >= ?{journal.but(hidden)}"
        " ORDER BY eff DESC, chain_id DESC, seq DESC LIMIT ?",
        (query(room, words), wide, room, *kinds, since, *hidden, -1 if last is None else last),
    )
    return list(journal.entries_of(rows))[::-1]


def complete(tx: Connection) -> bool:
    """Whether all that could be indexed is; else `clear` it, `add` all, and `mark` it."""
    return meta.get(tx, "words") != b"0"


def mark(tx: Connection, *, whole: bool) -> None:
    meta.put(tx, "words", b"1" if whole else b"0")


def clear(tx: Connection) -> None:
    tx.execute("DELETE FROM words")


def _place(room: bytes) -> str:
    return f"r{room[:12].hex()}"
