"""Records of shares, opaque, in the order they were made."""

from p2pchat.store import shares
from p2pchat.store.database import Database


async def test_shares_are_kept_replaced_and_removed(database: Database) -> None:
    await database.write(lambda tx: shares.put(tx, b"2", b"second", 20.0))
    await database.write(lambda tx: shares.put(tx, b"1", b"first", 10.0))
    await database.write(lambda tx: shares.put(tx, b"2", b"done", 20.0))
    assert await database.read(shares.all_shares) == [b"first", b"done"]
    assert await database.write(lambda tx: shares.remove(tx, b"1"))
    assert not await database.write(lambda tx: shares.remove(tx, b"1"))
    assert await database.read(shares.all_shares) == [b"done"]
