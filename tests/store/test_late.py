"""What waits for a key is there when it comes, once, and room by room."""

from p2pchat.store import journal, late, rooms
from p2pchat.store.database import Connection, Database

from .conftest import ROOM, Author

_OTHER = b"S" * 32


async def test_entries_wait_for_their_epoch_in_the_order_of_their_coming(
    database: Database,
) -> None:
    alice, elsewhere = Author(b"A"), Author(b"A", _OTHER)

    def work(tx: Connection) -> None:
        rooms.add(tx, _OTHER, "direct", "", 2.0, [])
        entries = [alice.write(str(number).encode()) for number in range(3)]
        journal.insert(tx, entries)
        other = elsewhere.write()
        journal.insert(tx, [other])
        late.add(tx, [entries[2], other, entries[0], entries[1]])
        assert late.take(tx, ROOM, b"f" * 32, 9) == []
        assert late.take(tx, ROOM, b"e" * 32, 2) == [entries[2], entries[0]]
        assert late.take(tx, ROOM, b"e" * 32, 2) == [entries[1]]
        assert late.take(tx, ROOM, b"e" * 32, 2) == []
        assert late.take(tx, _OTHER, b"e" * 32, 2) == [other]

    await database.write(work)
