"""Messages are found by their words, whole or begun, in phrases, with accents or without."""

import pytest

from p2pchat.core.entry import MESSAGE, Entry
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
        texts = [(number, one.header.room, _text(one)) for number, one in search.missing(tx, 99)]
        search.keep(tx, texts, [])

    await database.write(work)


def _text(entry: Entry) -> str:
    assert entry.body is not None
    return entry.body.decode()


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


async def test_what_is_indexed_is_missing_no_more_until_all_is_forgotten(
    database: Database,
) -> None:
    await _fill(database)
    assert await database.read(lambda tx: search.missing(tx, 3)) == []
    await database.write(search.clear)
    assert not await _found(database, "noon")
    rows = await database.read(lambda tx: search.missing(tx, 3))
    assert [entry.header.seq for _, entry in rows] == [0, 1, 2]
    await database.write(
        lambda tx: search.keep(tx, [(number, ROOM, "anew") for number, _ in rows], [])
    )
    assert await _found(database, "anew") == [0, 1, 2]
    ((_, entry), *_) = await database.read(lambda tx: search.missing(tx, 3))
    assert entry.header.seq == 3


async def test_what_waits_for_a_key_is_missing_again_once_the_key_is_here(
    database: Database,
) -> None:
    author = Author(b"A")
    entries = [author.write(b"sealed"), author.write(b"sealed too")]

    def arrive(tx: Connection) -> None:
        journal.insert(tx, entries)
        search.keep(tx, [], search.missing(tx, 99))

    await database.write(arrive)
    assert await database.read(lambda tx: search.missing(tx, 99)) == []
    await database.write(lambda tx: rooms.add_epoch(tx, ROOM, b"f" * 32, b"another's key"))
    assert await database.read(lambda tx: search.missing(tx, 99)) == []
    await database.write(lambda tx: rooms.add_epoch(tx, ROOM, b"e" * 32, b"key"))
    found = await database.read(lambda tx: search.missing(tx, 99))
    assert [entry.id for _, entry in found] == [entry.id for entry in entries]
    await database.write(
        lambda tx: search.keep(tx, [(number, ROOM, _text(one)) for number, one in found], [])
    )
    assert await database.read(lambda tx: search.missing(tx, 99)) == []
    assert await _found(database, "too") == [1]


async def test_a_body_that_went_meanwhile_is_not_indexed(database: Database) -> None:
    author = Author(b"A")

    def work(tx: Connection) -> None:
        journal.insert(tx, [author.write(b"gone"), author.write(b"here")])
        texts = [(number, ROOM, _text(one)) for number, one in search.missing(tx, 99)]
        tx.execute("UPDATE entries SET body = NULL WHERE number = ?", (texts[0][0],))
        search.keep(tx, texts, [])

    await database.write(work)
    assert await _found(database, "gone") == []
    assert await _found(database, "here") == [1]
    assert await database.read(lambda tx: search.missing(tx, 99)) == []


async def test_rows_that_are_gone_leave_the_index_and_their_numbers_are_indexed_anew(
    database: Database,
) -> None:
    await _fill(database)
    old = Author(b"Z")
    await database.write(lambda tx: journal.insert(tx, [old.write(b"late noon")]))
    ((number, _),) = await database.read(lambda tx: search.missing(tx, 99))
    await database.write(lambda tx: search.keep(tx, [(number, ROOM, "late noon")], []))
    assert await _found(database, "late") == [0]

    def replace(tx: Connection) -> None:
        tx.execute("DELETE FROM entries WHERE number = ?", (number,))
        tx.memory.clear()
        journal.insert(tx, [Author(b"Y").write(b"instead")])

    await database.write(replace)
    ((again, entry),) = await database.read(lambda tx: search.missing(tx, 99))
    assert again == number
    await database.write(lambda tx: search.keep(tx, [(again, ROOM, _text(entry))], []))
    assert await _found(database, "late") == []
    assert await _found(database, "instead") == [0]


async def test_what_a_hidden_device_wrote_is_not_found(database: Database) -> None:
    await _fill(database)

    def find(tx: Connection, *hidden: bytes) -> int:
        return len(search.find(tx, ROOM, "noon", (MESSAGE,), last=9, hidden=hidden))

    assert await database.read(find) == 2
    assert await database.read(lambda tx: find(tx, b"somebody else")) == 2
    assert await database.read(lambda tx: find(tx, Author(b"A").device)) == 0


async def test_a_text_that_is_replaced_or_forgotten_is_found_no_more_and_lies_in_no_page(
    database: Database,
) -> None:
    entry = Author(b"A").write(b"an indiscretion")

    async def traces(word: bytes) -> bool:
        rows = await database.read(
            lambda tx: tx.execute(
                "SELECT block FROM words_data UNION ALL SELECT c0 FROM words_content"
            ).fetchall()
        )
        return any(
            word in (row[0].encode() if isinstance(row[0], str) else bytes(row[0])) for row in rows
        )

    def arrive(tx: Connection) -> None:
        journal.insert(tx, [entry])
        ((number, one),) = search.missing(tx, 9)
        search.keep(tx, [(number, ROOM, _text(one))], [])

    await database.write(arrive)
    assert await traces(b"indiscretion")
    await database.write(lambda tx: search.put(tx, entry, "a calamity"))
    assert not await traces(b"indiscretion")
    assert await _found(database, "indiscretion") == []
    assert await _found(database, "calamity") == [0]
    for _ in range(2):
        await database.write(lambda tx: search.forget(tx, entry.id))
    await database.write(lambda tx: search.forget(tx, b"?" * 32))
    assert not await traces(b"calamity")
    assert await _found(database, "calamity") == []


async def test_whoever_comes_behind_leaves_what_was_put(database: Database) -> None:
    entry = Author(b"A").write(b"first")

    def race(tx: Connection) -> None:
        journal.insert(tx, [entry])
        ((number, one),) = search.missing(tx, 9)
        search.put(tx, one, "second")
        search.keep(tx, [(number, ROOM, "first")], [])

    await database.write(race)
    assert await _found(database, "first") == []
    assert await _found(database, "second") == [0]
    assert await database.read(lambda tx: search.missing(tx, 9)) == []


async def test_what_was_put_waits_for_no_key(database: Database) -> None:
    entry = Author(b"A").write(b"sealed")

    def work(tx: Connection) -> None:
        journal.insert(tx, [entry])
        search.keep(tx, [], search.missing(tx, 9))
        search.put(tx, entry, "opened")
        rooms.add_epoch(tx, ROOM, b"e" * 32, b"key")

    await database.write(work)
    assert await database.read(lambda tx: search.missing(tx, 9)) == []
    assert await _found(database, "opened") == [0]
