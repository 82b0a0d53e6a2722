"""What may have to move in the order is taken by the places that it has, a room at a time."""

from p2pchat.store import groups, rooms, unsettled
from p2pchat.store.database import Connection, Database

from .conftest import ROOM


async def test_what_stands_first_is_taken_first_and_once(database: Database) -> None:
    def work(tx: Connection) -> None:
        assert unsettled.take(tx, 2) is None
        assert not unsettled.any_(tx)
        unsettled.add(tx, ROOM, [(3, b"c"), (1, b"a"), (2, b"b")])
        unsettled.add(tx, ROOM, [(1, b"a")])
        unsettled.add(tx, b"S" * 32, [(0, b"s")])
        assert unsettled.any_(tx)
        assert unsettled.take(tx, 2) == (ROOM, [b"a", b"b"])
        assert unsettled.take(tx, 2) == (ROOM, [b"c"])
        assert unsettled.take(tx, 2) == (b"S" * 32, [b"s"])
        assert unsettled.take(tx, 2) is None

    await database.write(work)


async def test_what_is_forgotten_leaves_nothing(database: Database) -> None:
    room = b"S" * 32

    def work(tx: Connection) -> None:
        rooms.add(tx, room, "group", "", 1.0, [])
        unsettled.add(tx, room, [(0, b"s")])
        groups.forget(tx, room)
        assert not unsettled.any_(tx)

    await database.write(work)
