"""Rooms, members and epochs, once each."""

import pytest

from p2pchat.errors import Error
from p2pchat.store import rooms
from p2pchat.store.database import Database

from .conftest import ROOM


async def test_adding_a_room_again_changes_nothing_but_who_is_new(database: Database) -> None:
    await database.write(lambda tx: rooms.add(tx, ROOM, "group", "other", 9.0, [b"p" * 32, b"r"]))
    assert await database.read(rooms.all_rooms) == [rooms.RoomRow(ROOM, "direct", "", 1.0)]
    members = await database.read(lambda tx: rooms.members(tx, ROOM))
    assert sorted(members) == [b"p" * 32, b"q" * 32, b"r"]


async def test_the_first_key_of_an_epoch_stays(database: Database) -> None:
    for epoch, key in ((b"1", b"one"), (b"2", b"two"), (b"1", b"other")):
        await database.write(lambda tx, e=epoch, k=key: rooms.add_epoch(tx, ROOM, e, k))
    assert await database.read(lambda tx: rooms.epochs(tx, ROOM)) == {b"1": b"one", b"2": b"two"}
    assert await database.read(lambda tx: rooms.epochs(tx, b"none")) == {}


async def test_an_epoch_of_no_room_is_refused(database: Database) -> None:
    with pytest.raises(Error) as raised:
        await database.write(lambda tx: rooms.add_epoch(tx, b"none", b"1", b"key"))
    assert raised.value.code == "internal"
