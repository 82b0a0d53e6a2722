"""A copy of the database is whole, under its own key, and made while others write."""

import os
from pathlib import Path

import pytest

from p2pchat.errors import Error
from p2pchat.store import meta, snapshot
from p2pchat.store.database import Database


async def test_a_snapshot_is_whole_and_has_its_own_key(tmp_path: Path) -> None:
    path, copy = tmp_path / "a.db", tmp_path / "b.db"
    key, new_key = os.urandom(32), os.urandom(32)
    database = await Database.open(path, key)
    await database.write(lambda tx: meta.put(tx, "name", b"value"))
    await database.write(lambda tx: meta.put(tx, "incarnation", b"12345678"))
    snapshot.take(path, key, copy, new_key)
    await database.write(lambda tx: meta.put(tx, "name", b"newer"))
    await database.aclose()
    with snapshot.reading(copy, new_key) as connection:
        assert meta.get(connection, "name") == b"value"
        assert snapshot.damage(connection) == []
    with pytest.raises(Error) as raised, snapshot.reading(copy, key) as connection:
        meta.get(connection, "name")
    assert raised.value.code == "home-damaged"
    snapshot.renew(copy, new_key)
    again = await Database.open(copy, new_key)
    assert await again.read(lambda tx: meta.get(tx, "incarnation")) is None
    await again.aclose()


async def test_damage_is_found(tmp_path: Path) -> None:
    path, key = tmp_path / "a.db", os.urandom(32)
    database = await Database.open(path, key)
    await database.write(lambda tx: meta.put(tx, "name", os.urandom(100_000)))
    await database.aclose()
    data = bytearray(path.read_bytes())
    data[-3_000] ^= 1
    path.write_bytes(data)
    with snapshot.reading(path, key) as connection:
        assert snapshot.damage(connection)


def test_what_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(Error) as raised:
        snapshot.rekey(tmp_path, bytes(32), bytes(32))
    assert raised.value.code == "home-unwritable"
