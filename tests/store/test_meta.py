"""Named values."""

from p2pchat.store import meta
from p2pchat.store.database import Database


async def test_a_value_is_there_as_last_put(database: Database) -> None:
    assert await database.read(lambda tx: meta.get(tx, "name")) is None
    for value in (b"", b"one", b"two"):
        await database.write(lambda tx, v=value: meta.put(tx, "name", v))
        assert await database.read(lambda tx: meta.get(tx, "name")) == value
