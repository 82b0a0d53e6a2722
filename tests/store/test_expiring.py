"""A message's hour is settled once, by its author's clock and ours."""

from p2pchat.store import expiring, journal
from p2pchat.store.database import Connection, Database

from .conftest import ROOM, START_MS, Author


async def test_it_is_due_when_its_time_is_over_and_not_before(database: Database) -> None:
    alice = Author(b"A")

    def work(tx: Connection) -> None:
        assert expiring.next_due(tx) is None
        entry, later = alice.write(at_s=10), alice.write(at_s=20)
        journal.insert(tx, [entry, later])
        at = expiring.add(tx, entry.id, 5, START_MS + 10_100)
        expiring.add(tx, later.id, 5, START_MS + 20_100)
        assert at == START_MS + 15_000 == expiring.next_due(tx)
        assert expiring.due(tx, at - 1, 9) == []
        assert expiring.due(tx, at, 9) == [(ROOM, entry.id)]
        assert [id_ for _, id_ in expiring.due(tx, at + 10_000, 1)] == [entry.id]
        assert expiring.of(tx, [entry.id, b"?" * 32]) == {entry.id: at}
        expiring.forget(tx, entry.id)
        assert expiring.next_due(tx) == at + 10_000

    await database.write(work)


async def test_a_clock_that_was_ahead_keeps_it_for_no_longer_than_its_lifetime(
    database: Database,
) -> None:
    alice = Author(b"A")

    def work(tx: Connection) -> None:
        ahead = alice.write(at_s=1_000_000)
        journal.insert(tx, [ahead])
        assert expiring.add(tx, ahead.id, 5, START_MS) == START_MS + 5_000
        # Neither does it to be read again.
        assert expiring.add(tx, ahead.id, 5, START_MS + 60_000) == START_MS + 5_000

    await database.write(work)


async def test_no_reply_moves_its_hour(database: Database) -> None:
    alice, bob = Author(b"A"), Author(b"B")

    def work(tx: Connection) -> None:
        entry = alice.write(at_s=1_000)
        journal.insert(tx, [entry])
        at = expiring.add(tx, entry.id, 5, START_MS + 1_000_000)
        # By a clock that is behind, which moves it in the order.
        journal.insert(tx, [bob.write(at_s=20, after=(entry.id,))])
        assert journal.places(tx, [entry.id])[entry.id] < entry.header.time
        assert expiring.add(tx, entry.id, 5, START_MS + 1_000_000) == at == START_MS + 1_005_000

    await database.write(work)


async def test_what_is_not_here_any_more_has_no_hour(database: Database) -> None:
    alice = Author(b"A")

    def work(tx: Connection) -> None:
        entry = alice.write()
        journal.insert(tx, [entry])
        expiring.add(tx, entry.id, 5, START_MS)
        tx.execute("INSERT INTO expiring VALUES (?, 5, 0)", (b"?" * 32,))
        expiring.tidy(tx)
        assert expiring.next_due(tx) == START_MS + 5_000

    await database.write(work)
