"""A message's hour follows its place in the order."""

from p2pchat.store import expiring, journal
from p2pchat.store.database import Connection, Database

from .conftest import ROOM, START_MS, Author


async def test_it_is_due_when_its_time_is_over_and_not_before(database: Database) -> None:
    alice = Author(b"A")

    def work(tx: Connection) -> None:
        assert expiring.next_due(tx) is None
        entry, later = alice.write(at_s=10), alice.write(at_s=20)
        journal.insert(tx, [entry, later])
        at = expiring.add(tx, entry.id, 5)
        expiring.add(tx, later.id, 5)
        assert at == START_MS + 15_000 == expiring.next_due(tx)
        assert expiring.due(tx, at - 1, 9) == []
        assert expiring.due(tx, at, 9) == [(ROOM, entry.id)]
        assert [id_ for _, id_ in expiring.due(tx, at + 10_000, 1)] == [entry.id]
        assert expiring.of(tx, [entry.id, b"?" * 32]) == {entry.id: at}
        expiring.forget(tx, entry.id)
        assert expiring.next_due(tx) == at + 10_000

    await database.write(work)


async def test_a_clock_that_was_ahead_keeps_it_no_longer(database: Database) -> None:
    alice, bob = Author(b"A"), Author(b"B")

    def work(tx: Connection) -> None:
        ahead = alice.write(at_s=1_000_000)
        journal.insert(tx, [ahead])
        expiring.add(tx, ahead.id, 5)
        moved = journal.insert(tx, [bob.write(at_s=20, after=(ahead.id,))])
        assert moved == [ahead.id]
        expiring.move(tx, moved)
        assert expiring.next_due(tx) == START_MS + 25_000

    await database.write(work)
