"""Joins that wait for their inviter, on disk."""

from p2pchat.store import pursuits
from p2pchat.store.database import Database


async def test_a_join_is_kept_once_with_its_number_until_it_is_dropped(database: Database) -> None:
    first = await database.write(lambda tx: pursuits.keep(tx, b"a", "blob-a", None, 9.5, 1.0))
    second = await database.write(lambda tx: pursuits.keep(tx, b"b", "blob-b", b"key", 8.0, 2.0))
    assert first != second
    # The same invite again, with its password put right: it keeps number and time.
    again = await database.write(lambda tx: pursuits.keep(tx, b"a", "blob-a", b"new", 9.5, 3.0))
    assert again == first
    rows = await database.read(pursuits.kept)
    assert rows == [
        pursuits.Row(first, b"a", "blob-a", b"new", 9.5, 1.0),
        pursuits.Row(second, b"b", "blob-b", b"key", 8.0, 2.0),
    ]
    assert "blob" not in repr(rows)
    assert await database.write(lambda tx: pursuits.drop(tx, b"a"))
    assert not await database.write(lambda tx: pursuits.drop(tx, b"a"))
    assert [row.id for row in await database.read(pursuits.kept)] == [b"b"]
