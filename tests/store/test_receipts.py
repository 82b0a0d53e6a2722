"""Marks on disk never shrink, and count what has not been read."""

from p2pchat.core.entry import EPOCH, MESSAGE
from p2pchat.core.receipts import Mark
from p2pchat.store import journal, receipts
from p2pchat.store.database import Connection, Database
from p2pchat.store.receipts import OURSELVES

from .conftest import ROOM, Author


async def test_marks_only_grow_and_those_of_no_room_are_not_kept(database: Database) -> None:
    mark = Mark(ROOM, b"bob", b"c" * 16, 5, 2)
    await database.write(lambda tx: receipts.put(tx, [mark, mark._replace(room=b"gone")]))
    await database.write(lambda tx: receipts.put(tx, [mark._replace(had=3, read=4)]))
    assert await database.read(receipts.all_marks) == [mark._replace(read=4)]


async def test_what_is_beyond_our_mark_is_unread_whoever_wrote_it_but_us(
    database: Database,
) -> None:
    ann, bob, us = Author(b"A"), Author(b"B"), Author(b"U")
    hers = [ann.write(kind=EPOCH), *(ann.write(kind=MESSAGE) for _ in range(3))]
    his, ours = [bob.write(kind=MESSAGE)], [us.write(kind=MESSAGE)]

    def work(tx: Connection) -> None:
        for entries in (hers[:3], his, ours, hers[3:]):
            journal.append(tx, entries)

    def count(*hidden: bytes) -> "object":
        return database.read(lambda tx: receipts.unread(tx, ROOM, [us.device, *hidden]))

    await database.write(work)
    assert await count() == 4  # type: ignore[misc]
    assert await count(bob.device) == 3  # type: ignore[misc]
    # What came no later than his message: not her last one.
    places = await database.read(lambda tx: receipts.upto(tx, ROOM, his[0].id))
    assert places == {ann.chain: 2, bob.chain: 0}
    own = [Mark(ROOM, OURSELVES, chain, seq, seq) for chain, seq in places.items()]
    await database.write(lambda tx: receipts.put(tx, own))
    assert await count() == 1  # type: ignore[misc]
    everything = await database.read(lambda tx: receipts.upto(tx, ROOM, None))
    assert everything == {ann.chain: 3, bob.chain: 0, us.chain: 0}
    last = await database.read(lambda tx: receipts.upto(tx, ROOM, hers[3].id))
    assert last == {ann.chain: 3, us.chain: 0}, "what is read is not looked at again"


async def test_the_last_message_read_is_the_last_as_they_are_shown(database: Database) -> None:
    ann, bob = Author(b"A"), Author(b"B")
    late, early = bob.write(kind=MESSAGE, at_s=90), ann.write(kind=MESSAGE, at_s=50)
    unread = ann.write(kind=MESSAGE, at_s=99)
    await database.write(lambda tx: journal.insert(tx, [late]))
    await database.write(lambda tx: journal.insert(tx, [early, unread]))
    marks = [Mark(ROOM, b"carol", ann.chain, 0, 0), Mark(ROOM, b"carol", bob.chain, 5, 5)]
    await database.write(lambda tx: receipts.put(tx, marks))
    assert await database.read(lambda tx: receipts.newest_read(tx, ROOM, b"carol")) == late.id
    assert await database.read(lambda tx: receipts.newest_read(tx, ROOM, b"dave")) is None
    found = await database.read(lambda tx: receipts.places(tx, [early.id, bytes(32)]))
    assert found == {early.id: (ROOM, ann.chain, 0)}


async def test_no_more_are_counted_than_anybody_cares_for(
    database: Database, monkeypatch: object
) -> None:
    monkeypatch.setattr(receipts, "_UNREAD_MAX", 3)  # type: ignore[attr-defined]
    ann = Author(b"A")
    entries = [ann.write(kind=MESSAGE) for _ in range(5)]
    await database.write(lambda tx: journal.append(tx, entries))
    assert await database.read(lambda tx: receipts.unread(tx, ROOM, [])) == 3
