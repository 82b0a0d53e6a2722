"""Requests are found by who wrote them, and in the order of the room."""

from p2pchat.core.entry import MESSAGE
from p2pchat.store import journal, requests
from p2pchat.store.database import Connection, Database

from .conftest import ROOM, Author


async def test_of_each_device_the_newest_are_found(database: Database) -> None:
    alice, bob = Author(b"A"), Author(b"B")

    def work(tx: Connection) -> None:
        written = [alice.write(b"%d" % number) for number in range(5)] + [bob.write(b"one")]
        for entry in written:
            journal.insert(tx, [entry])
        found = requests.newest_of_each(tx, ROOM, MESSAGE, 2)
        assert {one.id for one in found} == {one.id for one in written[3:]}
        assert {one.device for one in found} == {written[0].header.device, written[5].header.device}
        assert requests.newest_of_each(tx, b"S" * 32, MESSAGE, 2) == []
        places = {one.id: one.place for one in found}
        newest = requests.newest(tx, [written[4].id, written[3].id, bytes(32)])
        assert newest == places[written[4].id] > places[written[3].id]
        assert requests.newest(tx, [bytes(32)]) is None
        assert requests.entries(tx, [written[4].id]) == [written[4]]

    await database.write(work)
