"""A missing body is asked for some times, and only that very body takes its place."""

from p2pchat.core.bounds import LACKING_MAX, LACKING_TRIES
from p2pchat.core.entry import MESSAGE, Entry
from p2pchat.store import journal, lacking
from p2pchat.store.database import Connection, Database

from .conftest import ROOM, Author


def _bare(tx: Connection, author: Author) -> Entry:
    entry = author.write(b"body")
    journal.insert(tx, [Entry(entry.id, entry.chain, entry.header, entry.raw, None, b"s" * 64)])
    return entry


async def test_the_right_body_takes_its_place_once(database: Database) -> None:
    alice = Author(b"A")

    def work(tx: Connection) -> None:
        entry = _bare(tx, alice)
        assert lacking.fill(tx, ROOM, entry.id, b"body") is None, "nobody lacks it yet"
        lacking.add(tx, ROOM, entry.id)
        assert lacking.fill(tx, ROOM, entry.id, b"another") is None
        assert lacking.fill(tx, b"S" * 32, entry.id, b"body") is None
        assert lacking.fill(tx, ROOM, entry.id, b"body") == entry
        assert journal.tail(tx, ROOM, (MESSAGE,), last=1) == [entry]
        assert lacking.fill(tx, ROOM, entry.id, b"body") is None
        assert lacking.wanted(tx, ROOM, b"a" * 32, ()) == []

    await database.write(work)


async def test_the_least_tried_are_asked_for_first_and_nobody_for_ever(database: Database) -> None:
    ann = b"a" * 32

    def work(tx: Connection) -> None:
        ids = [bytes([number]) * 32 for number in range(LACKING_MAX + 5)]
        for id_ in ids:
            lacking.add(tx, ROOM, id_)
        first = lacking.wanted(tx, ROOM, ann, ())
        assert len(first) == LACKING_MAX
        rest = lacking.wanted(tx, ROOM, ann, first)
        assert {*first, *rest} == set(ids)
        lacking.tried(tx, first, ann)
        assert set(rest) <= set(lacking.wanted(tx, ROOM, ann, ()))
        for _ in range(LACKING_TRIES):
            lacking.tried(tx, ids, ann)
        assert lacking.wanted(tx, ROOM, ann, ()) == []
        lacking.forget(tx, ids[0])

    await database.write(work)


async def test_whoever_has_not_got_it_does_not_count_for_others(database: Database) -> None:
    ann, mal = b"a" * 32, b"m" * 32

    def work(tx: Connection) -> None:
        lacking.add(tx, ROOM, b"1" * 32)
        for _ in range(9):
            lacking.tried(tx, [b"1" * 32], mal)
        assert lacking.wanted(tx, ROOM, mal, ()) == []
        for _ in range(LACKING_TRIES):
            assert lacking.wanted(tx, ROOM, ann, ()) == [b"1" * 32]
            lacking.tried(tx, [b"1" * 32], ann)
        assert lacking.wanted(tx, ROOM, ann, ()) == []
        # What came to be missing anew may be asked for anew.
        lacking.forget(tx, b"1" * 32)
        lacking.tried(tx, [b"1" * 32], ann)
        lacking.add(tx, ROOM, b"1" * 32)
        assert lacking.wanted(tx, ROOM, ann, ()) == [b"1" * 32]

    await database.write(work)
