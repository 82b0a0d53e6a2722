"""What entries say of others comes back in the room's order, bounded, and bodies go for good."""

from p2pchat.core.bounds import AMENDMENTS_BY_ONE
from p2pchat.core.entry import DELETE, EDIT, MESSAGE, PIN, REACTION
from p2pchat.core.talk import Amendment
from p2pchat.store import amendments, expiring, journal, lacking, late
from p2pchat.store.database import Connection, Database

from .conftest import ROOM, Author

_ANN = b"a" * 32


def _add(tx: Connection, author: Author, target: bytes, kind: int, at_s: int) -> bytes:
    entry = author.write(kind=kind, at_s=at_s)
    journal.insert(tx, [entry])
    one = Amendment(entry.id, target, kind, _ANN, "x" if kind == REACTION else None)
    amendments.add(tx, ROOM, one, entry.header.time)
    return entry.id


async def test_what_names_a_target_comes_in_the_rooms_order(database: Database) -> None:
    alice, bob = Author(b"A"), Author(b"B")

    def work(tx: Connection) -> None:
        last = _add(tx, alice, b"t" * 32, DELETE, 30)
        first = _add(tx, bob, b"t" * 32, EDIT, 10)
        middle = _add(tx, bob, b"t" * 32, REACTION, 20)
        _add(tx, bob, b"u" * 32, EDIT, 21)
        _add(tx, bob, b"t" * 32, PIN, 22)
        found = amendments.naming(tx, ROOM, [b"t" * 32, b"v" * 32])
        assert [one.id for one in found[b"t" * 32]] == [first, middle, last]
        assert list(found) == [b"t" * 32]
        assert amendments.naming(tx, b"S" * 32, [b"t" * 32]) == {}
        assert amendments.edited_by(tx, [first, middle, last]) == {b"t" * 32}
        assert amendments.pins(tx, ROOM) == [(b"t" * 32, True)]
        ids = [b"t" * 32, b"u" * 32, b"v" * 32]
        assert amendments.named(tx, ROOM, ids) == {b"t" * 32, b"u" * 32}
        assert amendments.named(tx, b"S" * 32, ids) == set()

    await database.write(work)


async def test_deletes_are_known_by_messages_that_are_here(database: Database) -> None:
    alice = Author(b"A")

    def work(tx: Connection) -> None:
        target = alice.write(b"text")
        journal.insert(tx, [target])
        for id_ in (target.id, b"?" * 32):
            _add(tx, alice, id_, DELETE, 20)
        _add(tx, alice, target.id, EDIT, 21)
        assert amendments.deletes(tx, ROOM) == {target.id: {_ANN}}
        assert amendments.deletes(tx, b"S" * 32) == {}

    await database.write(work)


def _order(many: int) -> list[int]:
    return [(number * 7) % many for number in range(many)]


async def test_of_too_many_by_one_the_latest_count_whatever_came_first(database: Database) -> None:
    def work(tx: Connection) -> None:
        many = AMENDMENTS_BY_ONE + 3
        gone: list[bytes] = []
        for time in _order(many):
            one = Amendment(bytes([time]) * 32, b"t" * 32, EDIT, _ANN)
            gone += amendments.add(tx, ROOM, one, time)
            gone += amendments.add(tx, ROOM, one, time)
        assert {id_[0] for id_ in gone} == {0, 1, 2}
        assert {id_[0] for id_ in amendments.surplus(tx, b"t" * 32, _ANN)} == {0, 1, 2}
        assert amendments.surplus(tx, b"t" * 32, b"b" * 32) == []
        kept = tx.execute("SELECT count(*) FROM amendments WHERE kind = ?", (EDIT,)).fetchone()[0]
        assert kept == AMENDMENTS_BY_ONE

    await database.write(work)


async def test_what_was_too_much_counts_again_when_what_was_later_is_gone(
    database: Database,
) -> None:
    def counting(tx: Connection) -> set[int]:
        rows = tx.execute("SELECT id FROM amendments WHERE kind = ?", (EDIT,))
        return {row[0][0] for row in rows}

    def work(tx: Connection) -> None:
        many = AMENDMENTS_BY_ONE + 9
        for time in _order(many):
            one = Amendment(bytes([time]) * 32, b"t" * 32, EDIT, _ANN)
            amendments.add(tx, ROOM, one, time)
        # One of those that do not count changes nothing, and does not come back.
        assert amendments.take_back(tx, bytes([7]) * 32) == b"t" * 32
        assert counting(tx) == set(range(9, many))
        for time in range(20, many):
            amendments.take_back(tx, bytes([time]) * 32)
        assert counting(tx) == set(range(20)) - {7}
        assert amendments.surplus(tx, b"t" * 32, _ANN) == []

    await database.write(work)


async def test_a_dropped_body_is_gone_and_known_to_be(database: Database) -> None:
    alice = Author(b"A")

    def work(tx: Connection) -> None:
        entry = alice.write(b"secret")
        journal.insert(tx, [entry])
        assert amendments.entries(tx, [entry.id, b"?" * 32]) == {entry.id: entry}
        amendments.drop(tx, [entry.id])
        assert amendments.entries(tx, [entry.id])[entry.id].body is None
        assert amendments.dropped(tx, [entry.id, b"?" * 32]) == {entry.id}

    await database.write(work)


async def test_a_hidden_message_is_in_no_listing_and_comes_back(database: Database) -> None:
    alice = Author(b"A")

    def work(tx: Connection) -> None:
        entry = alice.write()
        journal.insert(tx, [entry])
        for hidden in (True, False):
            amendments.hide(tx, entry.id, hidden=hidden)
            assert journal.tail(tx, ROOM, (MESSAGE,), last=5) == ([] if hidden else [entry])

    await database.write(work)


async def test_what_leaves_the_journal_takes_its_words_back(database: Database) -> None:
    alice = Author(b"A")

    def work(tx: Connection) -> None:
        target = alice.write(b"text")
        journal.insert(tx, [target])
        edit = _add(tx, alice, target.id, EDIT, 10)
        amendments.drop(tx, [target.id])
        amendments.missed(tx, [target.id])
        assert amendments.dropped(tx, [target.id]) == set()
        assert amendments.take_back(tx, edit) == target.id
        assert amendments.take_back(tx, edit) is None
        assert amendments.naming(tx, ROOM, [target.id]) == {}

    await database.write(work)


async def test_a_room_that_is_forgotten_leaves_nothing_here(database: Database) -> None:
    alice = Author(b"A")

    def work(tx: Connection) -> None:
        target = alice.write(b"text")
        journal.insert(tx, [target])
        _add(tx, alice, target.id, EDIT, 10)
        amendments.drop(tx, [target.id])
        expiring.add(tx, target.id, 5, 0)
        lacking.add(tx, ROOM, target.id)
        lacking.tried(tx, [target.id], _ANN)
        late.add(tx, [target])
        amendments.forget(tx, ROOM)
        for table in ("amendments", "dropped", "expiring", "lacking", "lacking_asked", "late"):
            assert tx.execute(f"SELECT * FROM {table}").fetchall() == []

    await database.write(work)
