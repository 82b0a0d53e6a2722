"""Messages are found by their words, whole or begun, in phrases, with accents or without."""

import pytest

from p2pchat.core.entry import MESSAGE, SHARE
from p2pchat.errors import BadInput
from p2pchat.store import journal, rooms, search
from p2pchat.store.database import Connection, Database

from .conftest import ROOM, START_MS, Author

_OTHER = b"S" * 32
_TEXTS = (
    "See you in the caf\u00e9 at noon",
    "noon? I see",
    "You see, the sea",
    "\u6771\u4eac AND x-ray",
)


async def _fill(database: Database) -> None:
    alice, elsewhere = Author(b"A"), Author(b"A", _OTHER)

    def work(tx: Connection) -> None:
        rooms.add(tx, _OTHER, "direct", "", 2.0, [])
        for author in (alice, elsewhere):
            for number, text in enumerate(_TEXTS):
                entry = author.write(text.encode(), at_s=100 - number)
                journal.insert(tx, [entry])
                search.add(tx, author.room, [(entry.id, text)])

    await database.write(work)


async def _found(
    database: Database, words: str, *, last: int | None = None, since_s: float | None = None
) -> list[int]:
    entries = await database.read(
        lambda tx: search.find(tx, ROOM, words, (MESSAGE,), last=last, since_s=since_s)
    )
    return [entry.header.seq for entry in entries]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("noon", [0, 1]),
        ("NOON see", [0, 1]),
        ("caf\u00e9", [0]),
        ("CAFE", [0]),
        ("caf", []),
        ("caf*", [0]),
        ("se*", [0, 1, 2]),
        ('"see you"', [0]),
        ('"you see', [2]),
        ("AND", [3]),
        ("x-ray", [3]),
        ("\u6771\u4eac", [3]),
        ("noon OR sea", []),
        ('no"on', []),
        ("text:noon", []),
        ("- noon ()", [0, 1]),
    ],
)
async def test_words(database: Database, words: str, expected: list[int]) -> None:
    await _fill(database)
    assert await _found(database, words) == expected


@pytest.mark.parametrize("words", ["", "  ", "*", '""', "()", "a " * 33])
async def test_what_has_no_words_is_refused(database: Database, words: str) -> None:
    with pytest.raises(BadInput) as raised:
        await _found(database, words)
    assert raised.value.code == "search-empty"


async def test_the_newest_since_a_time(database: Database) -> None:
    await _fill(database)
    assert await _found(database, "see", last=2) == [1, 2]
    assert await _found(database, "see", since_s=START_MS / 1000 + 99.5) == [0]


async def test_an_index_can_be_made_anew(database: Database) -> None:
    assert await database.read(search.complete)
    await _fill(database)
    await database.write(lambda tx: search.mark(tx, whole=False))
    await database.write(search.clear)
    assert not await database.read(search.complete)
    assert not await _found(database, "noon")
    rows = await database.read(lambda tx: journal.after(tx, 0, (MESSAGE, SHARE), 3))
    assert len(rows) == 3
    assert [entry.header.seq for _, entry in rows] == [0, 1, 2]
    assert await database.read(lambda tx: journal.after(tx, rows[-1][0] + 99, (MESSAGE,), 3)) == []


async def test_what_a_hidden_device_wrote_is_not_found(database: Database) -> None:
    await _fill(database)

    def find(tx: Connection, *hidden: bytes) -> int:
        return len(search.find(tx, ROOM, "noon", (MESSAGE,), last=9, hidden=hidden))

    assert await database.read(find) == 2
    assert await database.read(lambda tx: find(tx, b"somebody else")) == 2
    assert await database.read(lambda tx: find(tx, Author(b"A").device)) == 0
