"""Who is on the way into a room, and the room itself, outlive the process."""

from p2pchat.core.chain import Accepted
from p2pchat.core.entry import EPOCH, GRANT, MessageBody
from p2pchat.core.identity import Certificate
from p2pchat.store import groups, journal, rooms
from p2pchat.store.database import Connection, Database
from p2pchat.store.groups import Arrival, Join
from tests.harness.writer import Writer, founder

from .conftest import ROOM

CERTIFICATE = Certificate(b"p" * 32, b"d" * 32, b"", b"k" * 32, b"", "Ann")


async def test_arrivals_and_joins_are_kept_until_they_are_done(database: Database) -> None:
    arrival = Arrival(ROOM, CERTIFICATE, ask=True)
    join = Join(b"h" * 32, "crew", 5.0)
    pending = Join(b"h" * 32, "crew", 5.0, ROOM, b"s" * 32)

    def put(tx: Connection) -> None:
        groups.add_arrival(tx, arrival)
        groups.add_arrival(tx, arrival)
        groups.add_join(tx, join)

    await database.write(put)
    assert await database.read(groups.arrivals) == [arrival]
    assert await database.read(groups.joins) == [join]
    await database.write(lambda tx: groups.add_join(tx, pending))
    assert await database.read(groups.joins) == [pending]
    await database.write(lambda tx: groups.drop_arrival(tx, ROOM, CERTIFICATE.person))
    await database.write(lambda tx: groups.drop_join(tx, pending.host))
    assert await database.read(groups.arrivals) == []
    assert await database.read(groups.joins) == []


async def test_an_invite_remembers_its_room(database: Database) -> None:
    await database.write(lambda tx: groups.set_invite_room(tx, b"i" * 16, ROOM, ask=True))
    assert await database.read(lambda tx: groups.invite_room(tx, b"i" * 16)) == (ROOM, True)
    assert await database.read(lambda tx: groups.invite_room(tx, b"j" * 16)) is None


async def test_a_room_that_is_forgotten_leaves_nothing(database: Database) -> None:
    def fill(tx: Connection) -> None:
        groups.add_arrival(tx, Arrival(ROOM, CERTIFICATE, ask=False))
        rooms.add_epoch(tx, ROOM, b"e" * 32, b"k" * 32)
        groups.forget(tx, ROOM)

    await database.write(fill)
    assert ROOM not in [row.room for row in await database.read(rooms.all_rooms)]
    assert await database.read(lambda tx: rooms.epochs(tx, ROOM)) == {}
    assert await database.read(groups.arrivals) == []


async def test_a_grant_that_came_before_its_epoch_opens_it_after_a_restart(
    database: Database,
) -> None:
    ann, bob = founder("Ann", "Bob")
    said = ann.say("hello")
    bob.take_all(ann)
    carol = Writer("Carol", ann.group.room)
    bob.admit(carol)
    assert bob.written[-1].header.kind == GRANT
    made = next(entry for entry in ann.written if entry.header.epoch == said.header.epoch)
    assert made.header.kind == EPOCH
    before = ann.written[: made.header.seq]

    def fill(tx: Connection) -> None:
        rooms.add(tx, ann.group.room, "group", "crew", 1.0, [])
        for entry in (*before, *bob.written):
            journal.insert(tx, [entry])

    await database.write(fill)
    prekey = carol.identity.certificate.prekey
    carol.group = await database.read(lambda tx: groups.load(tx, ann.group.room, prekey))
    assert said.header.epoch not in carol.group.epochs
    for entry in ann.written[made.header.seq :]:
        assert isinstance(carol.take([entry]), Accepted)
    assert carol.group.read(said) == MessageBody("hello")
