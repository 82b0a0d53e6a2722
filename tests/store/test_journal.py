"""Entries come back as they went in, in order, and only onto the end of their chain."""

import random
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.core.entry import DEVICE, MESSAGE, SHARE, Entry
from p2pchat.errors import Error
from p2pchat.store import database as database_module
from p2pchat.store import journal, rooms
from p2pchat.store.database import Connection, Database

from .conftest import ROOM, START_MS, Author


def add(tx: Connection, *entries: Entry) -> None:
    journal.insert(tx, entries)


def known(tx: Connection) -> list[bytes]:
    """All ids of the room, in their own order."""
    return journal.between(tx, ROOM, bytes(32), b"\xff" * 32, MESSAGE, 99)


def texts(entries: list[Entry]) -> list[bytes | None]:
    return [entry.body for entry in entries]


async def test_entries_come_back_as_they_went_in(database: Database) -> None:
    alice = Author(b"A")
    entries = [
        alice.write(b"certificate", kind=DEVICE),
        alice.write(b"hello", signed=False),
        alice.write(None),
    ]
    await database.write(lambda tx: journal.append(tx, entries))
    assert await database.read(lambda tx: journal.run(tx, alice.chain, 0, 9, 65_536, 9)) == entries
    assert await database.read(lambda tx: journal.entry(tx, entries[1].id)) == entries[1]
    assert await database.read(lambda tx: journal.of_kind(tx, ROOM, DEVICE)) == entries[:1]
    assert await database.read(
        lambda tx: journal.between(tx, ROOM, bytes(32), b"\xff" * 32, MESSAGE, 9)
    ) == sorted(e.id for e in entries[1:])


async def test_an_entry_that_is_not_there_is_unknown(database: Database) -> None:
    with pytest.raises(Error) as raised:
        await database.read(lambda tx: journal.entry(tx, bytes(32)))
    assert raised.value.code == "entry-unknown"


async def test_heads_move_with_what_is_appended(database: Database) -> None:
    alice, bob, elsewhere = Author(b"A"), Author(b"B"), Author(b"A", b"S" * 32)
    first, second, third = alice.write(), alice.write(at_s=5), bob.write(at_s=9)

    def work(tx: Connection) -> None:
        rooms.add(tx, elsewhere.room, "direct", "", 2.0, [])
        for entry in (first, second, third, elsewhere.write(at_s=7)):
            journal.append(tx, [entry])

    assert await database.read(journal.newest_time) == 0
    await database.write(work)
    heads = await database.read(lambda tx: journal.heads(tx, ROOM))
    assert {head.chain: (head.seq, head.id, head.device) for head in heads} == {
        alice.chain: (1, second.id, alice.device),
        bob.chain: (0, third.id, bob.device),
    }
    assert {head.time for head in heads} == {second.header.time, third.header.time}
    assert [head.chain for head in heads] == [alice.chain, bob.chain]
    assert not any(head.forked for head in heads)
    assert await database.read(lambda tx: journal.count(tx, ROOM)) == 3
    assert await database.read(journal.count) == 4
    assert await database.read(journal.newest_time) == third.header.time
    await database.write(lambda tx: journal.append(tx, [alice.write(at_s=-9)]))
    moved = await database.read(lambda tx: journal.heads(tx, ROOM))
    assert [head.chain for head in moved] == [bob.chain, alice.chain], "as they came"


@pytest.mark.parametrize("what", ["a gap", "a repetition", "another branch"])
async def test_what_does_not_continue_its_chain_is_refused(database: Database, what: str) -> None:
    alice, twin = Author(b"A"), Author(b"A")
    first = alice.write(b"first")
    await database.write(lambda tx: journal.append(tx, [first]))
    if what == "a gap":
        alice.write()
        wrong = alice.write()
    elif what == "a repetition":
        wrong = first
    else:
        twin.write(b"otherwise")
        wrong = twin.write()
    with pytest.raises(Error) as raised:
        await database.write(lambda tx: journal.append(tx, [wrong]))
    assert raised.value.code == "internal"
    assert await database.read(lambda tx: journal.count(tx, ROOM)) == 1
    assert await database.read(
        lambda tx: journal.between(tx, ROOM, bytes(32), b"\xff" * 32, MESSAGE, 9)
    ) == [first.id]


async def test_an_entry_of_no_room_of_ours_is_refused(database: Database) -> None:
    stranger = Author(b"A", b"S" * 32)
    with pytest.raises(Error):
        await database.write(lambda tx: journal.append(tx, [stranger.write()]))
    assert await database.read(journal.count) == 0


async def test_a_run_ends_at_a_signature_within_its_size(database: Database) -> None:
    alice = Author(b"A")
    entries = [alice.write(bytes(1000), signed=seq in (1, 4, 5)) for seq in range(7)]

    def work(tx: Connection) -> None:
        def run(first: int, last: int, size: int, count: int = 100) -> list[int]:
            found = journal.run(tx, alice.chain, first, last, size, count)
            return [entry.header.seq for entry in found]

        journal.append(tx, entries)
        assert run(0, 6, 1 << 20) == [0, 1, 2, 3, 4, 5]  # 6 is not signed yet
        assert run(0, 5, 1 << 20) == [0, 1, 2, 3, 4, 5]
        assert run(0, 4, 4_000) == [0, 1]
        assert run(0, 3, 1 << 20) == [0, 1]
        assert run(2, 6, 1) == [2, 3, 4]  # the first signature, however far
        assert run(5, 6, 1) == [5]
        assert run(0, 6, 1 << 20, count=4) == [0, 1]
        assert run(6, 6, 1 << 20) == run(7, 9, 1 << 20) == run(3, 2, 1 << 20) == []
        assert journal.run(tx, b"nobody's", 0, 9, 1 << 20, 9) == []

    await database.write(work)


async def test_a_run_as_long_as_a_frame_can_be_served_again(database: Database) -> None:
    # A peer may sign only the last of what fits one frame; stopping short would serve it to nobody.
    alice = Author(b"A")
    entries = [alice.write(bytes(60_000), signed=seq == 3) for seq in range(4)]
    await database.write(lambda tx: journal.append(tx, entries))
    served = await database.read(lambda tx: journal.run(tx, alice.chain, 0, 3, 65_536, 1_024))
    assert served == entries


async def test_bodies_that_are_missing_count_for_a_run(database: Database) -> None:
    # Whoever takes it may get them from others, and then has to serve it with them.
    alice = Author(b"A")
    gone = [msgspec.structs.replace(alice.write(bytes(20_000)), body=None) for _ in range(8)]
    await database.write(lambda tx: journal.append(tx, gone))
    served = await database.read(lambda tx: journal.run(tx, alice.chain, 0, 7, 65_536, 1_024))
    assert served == gone[:3]


async def test_the_tail_is_the_newest_in_display_order(database: Database) -> None:
    alice, bob = Author(b"A"), Author(b"B")

    def work(tx: Connection) -> None:
        add(tx, alice.write(b"certificate", kind=DEVICE), alice.write(b"1", at_s=10))
        add(tx, bob.write(b"2", at_s=20), bob.write(b"4", at_s=40))
        add(tx, alice.write(b"3", at_s=30), alice.write(b"5", at_s=50, kind=SHARE))

    await database.write(work)

    async def tail(*kinds: int, last: int | None, since_s: float | None = None) -> str:
        found = await database.read(
            lambda tx: journal.tail(tx, ROOM, kinds, last=last, since_s=since_s)
        )
        return b"".join(entry.body or b"" for entry in found).decode()

    assert await tail(MESSAGE, last=None) == "1234"
    assert await tail(MESSAGE, SHARE, last=None) == "12345"
    assert await tail(MESSAGE, SHARE, last=2) == "45"
    assert await tail(MESSAGE, last=0) == ""
    assert await tail(MESSAGE, SHARE, last=None, since_s=START_MS / 1000 + 30) == "345"
    assert await tail(MESSAGE, SHARE, last=1, since_s=START_MS / 1000 + 30) == "5"
    assert await tail(MESSAGE, last=9, since_s=START_MS / 1000 + 60) == ""


async def test_followers_are_who_comes_next_and_who_names_it(database: Database) -> None:
    alice, bob, carol = Author(b"A"), Author(b"B"), Author(b"C")
    first, second = alice.write(), alice.write()
    reply = bob.write(after=(first.id,))
    early = carol.write(after=(b"u" * 32,))

    def work(tx: Connection) -> None:
        journal.append(tx, [first, second])
        journal.append(tx, [reply])
        journal.append(tx, [early])
        web = journal.Web(tx, ROOM)
        # The cause of the last has not come yet, and is found all the same.
        found = web.followers([first.id, second.id, b"u" * 32])
        assert {id_: sorted(some) for id_, some in found.items()} == {
            first.id: sorted([(0, second.id), (0, reply.id)]),
            b"u" * 32: [(0, early.id)],
        }
        nodes = web.nodes([second.id, reply.id, b"u" * 32])
        assert {id_: node.causes for id_, node in nodes.items()} == {
            second.id: (first.id,),
            reply.id: (first.id,),
        }

    await database.write(work)


async def test_what_another_room_names_moves_nothing_here(database: Database) -> None:
    alice, bob = Author(b"A"), Author(b"B")
    elsewhere = Author(b"B", b"S" * 32)
    first, reply = alice.write(at_s=50), bob.write(at_s=60)
    # Whoever lacks the other room could not see this one.
    foreign = elsewhere.write(at_s=10, after=(first.id, reply.id))
    follows = elsewhere.write(at_s=5)

    def order(tx: Connection) -> dict[bytes, int]:
        return journal.places(tx, [first.id, reply.id, foreign.id, follows.id])

    def work(tx: Connection, *, late: bool) -> None:
        if not late:
            add(tx, first)
            add(tx, reply)
        add(tx, foreign, follows)
        if late:
            add(tx, first)
            add(tx, reply)
        for _ in range(2):
            assert order(tx) == {
                first.id: first.header.time,
                reply.id: reply.header.time,
                foreign.id: follows.header.time,
                follows.id: follows.header.time + 1,
            }
            web = journal.Web(tx, ROOM)
            assert web.followers([first.id]) == {}
            assert web.witnesses(first.id, 16) == []
            assert web.nodes([foreign.id, follows.id]) == {}
            tx.memory.clear()

    await database.write(lambda tx: rooms.add(tx, elsewhere.room, "direct", "", 2.0, []))
    for late in (False, True):
        await database.write(lambda tx, late=late: work(tx, late=late))  # type: ignore[misc]
        await database.write(_empty)


def _empty(tx: Connection) -> None:
    for table in ("causes", "entries", "chains"):
        tx.execute(f"DELETE FROM {table}")
    tx.memory.clear()


async def test_what_comes_late_moves_what_hangs_on_it_by_turns(database: Database) -> None:
    alice, bob = Author(b"A"), Author(b"B")
    late = alice.write(at_s=10)
    many = [bob.write(after=(late.id,)), *(bob.write() for _ in range(1_200))]

    def places(tx: Connection) -> list[int]:
        found = journal.places(tx, [late.id, *(entry.id for entry in many)])
        return [found[entry.id] for entry in (late, *many)]

    async def turn() -> tuple[bytes, list[bytes]] | None:
        return await database.write(journal.settle)

    await database.write(lambda tx: add(tx, *many))
    moved = await database.write(lambda tx: journal.insert(tx, [late]))
    assert len(moved) < journal.ANEW_MAX
    # Others come in between, and stand behind what they name.
    reply = await database.write(lambda tx: add(tx, one := bob.write()) or one)
    many.append(reply)
    turns = 0
    while found := await turn():
        turns += 1
        room, ids = found
        assert room == ROOM
        assert len(ids) <= journal.ANEW_MAX
    assert turns > 1
    expected = [late.header.time - (10_000 << 16) + number for number in range(len(many) + 1)]
    assert await database.read(places) == expected
    assert await turn() is None


async def test_messages_between_are_the_newest_of_one_kind(database: Database) -> None:
    alice = Author(b"A")
    entries = [alice.write(kind=DEVICE), *(alice.write() for _ in range(250))]

    def work(tx: Connection) -> None:
        journal.append(tx, entries)
        ids = [entry.id for entry in entries]
        assert journal.messages_between(tx, alice.chain, -1, 3, MESSAGE) == ids[1:4]
        assert journal.messages_between(tx, alice.chain, 3, 5, MESSAGE) == ids[4:6]
        assert journal.messages_between(tx, alice.chain, -1, 250, MESSAGE) == ids[51:]

    await database.write(work)


async def test_a_damaged_header_is_a_damaged_home(database: Database) -> None:
    entry = Author(b"A").write()

    def work(tx: Connection) -> None:
        journal.append(tx, [entry])
        tx.execute("UPDATE entries SET header = x'00'")

    await database.write(work)
    with pytest.raises(Error) as raised:
        await database.read(lambda tx: journal.entry(tx, entry.id))
    assert raised.value.code == "home-damaged"


_Step = tuple[int, int, int]


@settings(deadline=None, max_examples=50)  # the machine may be busy
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.integers(-100, 100), st.integers(0, 7)),
        min_size=1,
        max_size=14,
    ),
    shuffle=st.randoms(use_true_random=False),
)
def test_the_display_order_does_not_depend_on_the_order_of_arrival(
    steps: list[_Step], shuffle: random.Random
) -> None:
    """`steps`: who writes, the clock then, which of the others' heads are named."""
    authors = [Author(device) for device in (b"A", b"B", b"C")]
    written: list[Entry] = []
    for author, at_s, seen in steps:
        others = (other for i, other in enumerate(authors) if i != author and seen >> i & 1)
        after = tuple(other.head for other in others if other.head)
        written.append(authors[author].write(at_s=100 + at_s, after=after))
    queues = [[entry for entry in written if entry.chain == author.chain] for author in authors]
    arriving: list[Entry] = []
    while any(queues):
        arriving.append(shuffle.choice([queue for queue in queues if queue]).pop(0))

    def order(entries: list[Entry]) -> list[bytes]:
        writer, reader = database_module._prepare(Path(":memory:"), bytes(32))
        rooms.add(writer, ROOM, "direct", "", 1.0, [])
        for entry in entries:
            add(writer, entry)
        found = journal.tail(writer, ROOM, [MESSAGE], last=None)
        writer.close()
        reader.close()
        return [entry.id for entry in found]

    expected = order(written)
    assert order(arriving) == expected
    # Nothing stands before what its author had seen.
    places = {id_: place for place, id_ in enumerate(expected)}
    for entry in written:
        assert all(places[cause] < places[entry.id] for cause in entry.header.after)
    for author in authors:
        own = [places[entry.id] for entry in written if entry.chain == author.chain]
        assert all(one < next_ for one, next_ in pairwise(own))


async def test_the_first_proof_of_a_fork_is_kept(database: Database) -> None:
    alice = Author(b"A")

    def work(tx: Connection) -> None:
        add(tx, alice.write())
        journal.keep_fork(tx, ROOM, alice.chain, b"proof")
        journal.keep_fork(tx, ROOM, alice.chain, b"another")
        journal.keep_fork(tx, ROOM, b"c" * 16, b"of a chain not known here")

    await database.write(work)
    found = await database.read(lambda tx: journal.forks(tx, ROOM))
    assert found == {alice.chain: b"proof", b"c" * 16: b"of a chain not known here"}
    assert [row.forked for row in await database.read(lambda tx: journal.heads(tx, ROOM))] == [1]


async def test_entries_are_read_in_display_order_by_their_rows(database: Database) -> None:
    alice = Author(b"A")
    entries = [alice.write(at_s=number) for number in range(4)]
    await database.write(lambda tx: add(tx, *entries))
    numbers = await database.read(lambda tx: journal.numbers(tx, ROOM))
    assert await database.read(lambda tx: journal.numbered(tx, numbers)) == entries
    assert await database.read(lambda tx: journal.numbered(tx, numbers[::-1])) == entries[::-1]
    assert await database.read(lambda tx: journal.numbered(tx, [10_000])) == []


async def test_what_hidden_devices_wrote_is_left_out_of_the_newest(database: Database) -> None:
    alice, bob, cat = Author(b"A"), Author(b"B"), Author(b"C")
    written = [author.write(at_s=at) for at, author in enumerate([alice, bob, cat, bob, bob])]
    for entry in written:
        await database.write(lambda tx, entry=entry: add(tx, entry))  # type: ignore[misc]

    def tail(tx: Connection, *hidden: bytes) -> list[bytes]:
        found = journal.tail(tx, ROOM, (MESSAGE,), last=2, hidden=hidden)
        return [entry.header.device for entry in found]

    assert await database.read(tail) == [bob.device, bob.device]
    assert await database.read(lambda tx: tail(tx, bob.device)) == [alice.device, cat.device]
    assert await database.read(lambda tx: tail(tx, bob.device, cat.device)) == [alice.device]


async def test_places_are_those_of_the_order(database: Database) -> None:
    alice = Author(b"A")

    def work(tx: Connection) -> None:
        entry = alice.write(at_s=10)
        journal.insert(tx, [entry])
        assert journal.places(tx, [entry.id, b"?" * 32]) == {entry.id: entry.header.time}

    await database.write(work)


async def test_one_id_is_found_without_reading_the_room(database: Database) -> None:
    alice = Author(b"A")
    entries = [alice.write() for _ in range(3_000)]
    wanted = entries[700].id

    def work(tx: Connection) -> int:
        journal.append(tx, entries)
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 1
            return 0

        tx.set_progress_handler(count, 10)
        try:
            found = journal.between(tx, ROOM, wanted, wanted + b"\0", MESSAGE, 2)
        finally:
            tx.set_progress_handler(None, 10)
        assert found == [wanted]
        return steps

    assert await database.write(work) < 30, "in tens of instructions"


async def test_what_answers_something_new_is_new_whatever_its_clock(database: Database) -> None:
    alice, bob = Author(b"A"), Author(b"B")
    noon, day = START_MS / 1000, 86_400
    right = alice.write(b"right", at_s=10)
    behind = bob.write(b"days behind", at_s=-5 * day, after=(right.id,))
    await database.write(lambda tx: add(tx, right))
    await database.write(lambda tx: add(tx, behind))
    agrees = Author(b"C").write(b"still right", at_s=20, after=(right.id,))
    await database.write(lambda tx: add(tx, agrees))
    found = await database.read(
        lambda tx: journal.tail(tx, ROOM, (MESSAGE,), last=None, since_s=noon + 5)
    )
    assert texts(found) == [b"right", b"days behind", b"still right"]
