"""What a removal takes out is kept apart, and the order of the rest is as if it had never been."""

from p2pchat.core.entry import MESSAGE, Entry
from p2pchat.core.identity import Certificate
from p2pchat.core.membership import VOID, Limit
from p2pchat.store import journal, withheld
from p2pchat.store.database import Connection, Database

from .conftest import ROOM, Author

CERTIFICATE = Certificate(b"p" * 32, b"d" * 32, b"", b"k" * 32, b"", "Bob")


def order(tx: Connection) -> list[tuple[bytes, int]]:
    return [
        (row[0], row[1])
        for row in tx.execute("SELECT id, eff FROM entries ORDER BY eff, chain_id, seq")
    ]


async def test_the_order_is_as_if_what_was_taken_out_had_never_been(database: Database) -> None:
    alice, bob = Author(b"A"), Author(b"B")
    first = [alice.write(b"one"), bob.write(b"two")]
    bad = bob.write(b"three", after=(first[0].id,))
    later = alice.write(b"four", after=(bad.id,))

    def fill(tx: Connection) -> list[tuple[bytes, int]]:
        for entry in (*first, later):
            journal.insert(tx, [entry])
        without = order(tx)
        journal.insert(tx, [bad])
        assert order(tx) != without
        return without

    without = await database.write(fill)
    limit = Limit(0, first[1].id, first[1].signature or b"")
    head = await database.write(lambda tx: withheld.withhold(tx, bob.chain, limit, CERTIFICATE))
    assert head is not None
    assert (head.seq, head.id) == (0, first[1].id)
    assert await database.read(order) == without
    assert await database.read(lambda tx: withheld.chains(tx, ROOM)) == [(bob.chain, 1)]
    waiting = await database.read(lambda tx: withheld.waiting(tx, bob.chain, 1, None))
    assert waiting == [bad]
    assert await database.read(lambda tx: withheld.waiting(tx, bob.chain, 2, None)) == []
    await database.write(lambda tx: withheld.drop(tx, [bad.id]))
    assert await database.read(lambda tx: withheld.chains(tx, ROOM)) == []


async def test_a_chain_that_does_not_count_at_all_is_gone(database: Database) -> None:
    bob = Author(b"B")
    entries = [bob.write(b"one"), bob.write(b"two")]
    await database.write(lambda tx: journal.insert(tx, entries))
    cut = await database.write(lambda tx: withheld.withhold(tx, bob.chain, VOID, CERTIFICATE))
    assert cut is None
    assert await database.read(lambda tx: journal.heads(tx, ROOM)) == []
    assert await database.read(order) == []
    assert await database.read(lambda tx: withheld.holds(tx, bob.chain))
    assert not await database.read(lambda tx: withheld.holds(tx, Author(b"A").chain))
    assert (
        await database.write(lambda tx: withheld.withhold(tx, bob.chain, VOID, CERTIFICATE)) is None
    )


async def test_a_cut_entry_gets_the_signature_that_the_removal_brought(database: Database) -> None:
    bob = Author(b"B")
    entries: list[Entry] = [bob.write(b"one", signed=False), bob.write(b"two")]
    await database.write(lambda tx: journal.insert(tx, entries))
    limit = Limit(0, entries[0].id, b"s" * 64)
    await database.write(lambda tx: withheld.withhold(tx, bob.chain, limit, CERTIFICATE))
    (left,) = await database.read(lambda tx: journal.tail(tx, ROOM, (MESSAGE,), last=9))
    assert left.signature == b"s" * 64


async def test_acts_are_found_among_what_is_withheld(database: Database) -> None:
    bob = Author(b"B")
    act, message = bob.write(b"an act", kind=19), bob.write(b"a message")

    def keep(tx: Connection) -> None:
        for entry in (act, message):
            withheld.keep(tx, entry, CERTIFICATE)
            withheld.keep(tx, entry, CERTIFICATE)

    await database.write(keep)
    assert await database.read(lambda tx: withheld.acts(tx, ROOM)) == [(CERTIFICATE, act)]


async def test_acts_are_read_by_id_from_where_they_stand_and_nowhere_else(
    database: Database,
) -> None:
    bob = Author(b"B")
    stays, goes = bob.write(b"one", kind=17), bob.write(b"two", kind=17)

    def fill(tx: Connection) -> None:
        for entry in (stays, goes):
            journal.insert(tx, [entry])
        withheld.withhold(tx, bob.chain, Limit(0, stays.id, stays.signature or b""), CERTIFICATE)

    await database.write(fill)
    found = await database.read(lambda tx: withheld.standing(tx, [goes.id, stays.id, b"x" * 32]))
    assert found == [stays]


async def test_what_has_come_in_its_chain_after_all_is_withheld_no_more(
    database: Database,
) -> None:
    bob = Author(b"B")
    early, alone = bob.write(b"one", kind=17), bob.write(b"two", kind=17)

    def fill(tx: Connection) -> None:
        for entry in (early, alone):
            withheld.keep(tx, entry, CERTIFICATE)
        journal.insert(tx, [early])

    def apart(tx: Connection) -> list[Entry]:
        return [entry for _, entry in withheld.acts(tx, ROOM)]

    await database.write(fill)
    assert await database.read(apart) == [alone]
    await database.write(lambda tx: withheld.tidy(tx, ROOM))
    assert await database.read(apart) == [alone]
    waiting = await database.read(lambda tx: withheld.waiting(tx, bob.chain, 0, None))
    assert waiting == []
