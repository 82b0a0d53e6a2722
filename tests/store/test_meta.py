"""Named values."""

from p2pchat.store import meta
from p2pchat.store.database import Database


async def test_a_value_is_there_as_last_put(database: Database) -> None:
    assert await database.read(lambda tx: meta.get(tx, "name")) is None
    for value in (b"", b"one", b"two"):
        await database.write(lambda tx, v=value: meta.put(tx, "name", v))
        assert await database.read(lambda tx: meta.get(tx, "name")) == value


async def test_values_are_found_by_how_their_names_begin(database: Database) -> None:
    for name in ("mailbox/b", "mailbox/a", "other"):
        await database.write(lambda tx, n=name: meta.put(tx, n, n.encode()))
    found = await database.read(lambda tx: meta.beginning(tx, "mailbox/"))
    assert found == {"mailbox/a": b"mailbox/a", "mailbox/b": b"mailbox/b"}
