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
        assert lacking.wanted(tx, ROOM, ()) == []

    await database.write(work)


async def test_the_least_tried_are_asked_for_first_and_none_for_ever(database: Database) -> None:
    def work(tx: Connection) -> None:
        ids = [bytes([number]) * 32 for number in range(LACKING_MAX + 5)]
        for id_ in ids:
            lacking.add(tx, ROOM, id_)
        first = lacking.wanted(tx, ROOM, ())
        assert len(first) == LACKING_MAX
        rest = lacking.wanted(tx, ROOM, first)
        assert {*first, *rest} == set(ids)
        lacking.tried(tx, first)
        assert set(rest) <= set(lacking.wanted(tx, ROOM, ()))
        for _ in range(LACKING_TRIES):
            lacking.tried(tx, ids)
        assert lacking.wanted(tx, ROOM, ()) == []
        lacking.forget(tx, ids[0])

    await database.write(work)
