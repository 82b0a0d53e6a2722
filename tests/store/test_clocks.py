from p2pchat.store import journal, rooms
from p2pchat.store.clocks import Reading, last_of_each
from p2pchat.store.database import Connection, Database
from tests.store.conftest import ROOM, Author


async def test_the_last_entry_of_each_chain_tells_by_which_clock_it_was_written(
    database: Database,
) -> None:
    alice, bob, elsewhere = Author(b"A"), Author(b"B"), Author(b"A", b"S" * 32)
    asked, ahead = alice.write(at_s=10), bob.write(at_s=7_000, after=(alice.head,))
    reply = alice.write(at_s=20, after=(ahead.id,))

    def work(tx: Connection) -> None:
        rooms.add(tx, elsewhere.room, "direct", "", 2.0, [])
        for entry in (asked, ahead, reply, elsewhere.write(at_s=7)):
            journal.insert(tx, [entry])

    await database.write(work)
    found = await database.read(lambda tx: last_of_each(tx, [ROOM]))
    assert sorted(found, key=lambda one: one.number) == [
        Reading(bob.device, 2, ahead.header.time, reply.header.time),
        Reading(alice.device, 3, reply.header.time, reply.header.time + 1),
    ]
    everywhere = await database.read(lambda tx: last_of_each(tx, [ROOM, elsewhere.room]))
    assert len(everywhere) == 3
