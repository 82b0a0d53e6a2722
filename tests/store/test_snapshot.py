"""A copy of the database is whole, under its own key, and made while others write."""

import os
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from p2pchat.errors import Error
from p2pchat.store import meta, snapshot
from p2pchat.store.database import Connection, Database


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


def _flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def _put(tx: Connection) -> None:
    meta.put(tx, "name", os.urandom(100_000))


def _say(tx: Connection, row: int) -> None:
    tx.execute("INSERT INTO words (rowid, text, place) VALUES (?, 'hello', 'r1')", (row,))


async def test_words_that_came_since_the_last_look_are_no_damage(database: Database) -> None:
    for number in range(1, 5):
        assert await database.read(snapshot.damage) == []
        await database.write(partial(_say, row=number))
    assert await database.read(snapshot.damage) == []


def _checkpoint(tx: Connection) -> None:
    with closing(tx.again()) as own:
        busy, frames, done = own.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    assert (busy, frames) == (0, done)


@pytest.mark.parametrize("end", ["", "-wal"], ids=["file", "log"])
async def test_damage_is_found_while_the_file_is_in_use(
    database: Database, path: Path, end: str
) -> None:
    await database.write(_put)
    assert await database.read(snapshot.damage) == []
    if not end:
        await database.read(_checkpoint)
    # The pages of what was put stand one behind the other, the last ones in file and log.
    spoilt = path.with_name(path.name + end)
    _flip(spoilt, spoilt.stat().st_size - 20_000)
    assert await database.read(snapshot.damage)
    assert await database.read(snapshot.damage)


async def test_a_page_half_written_that_the_log_has_whole_is_no_damage(
    database: Database, path: Path, key: bytes
) -> None:
    await database.write(_put)
    await database.read(_checkpoint)
    await database.write(lambda tx: tx.execute("UPDATE meta SET value = zeroblob(100000)"))
    _flip(path, path.stat().st_size - 20_000)
    assert await database.read(snapshot.damage) == []
    await database.aclose()
    with snapshot.reading(path, key) as connection:
        assert meta.get(connection, "name") == bytes(100_000)


def test_what_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(Error) as raised:
        snapshot.rekey(tmp_path, bytes(32), bytes(32))
    assert raised.value.code == "home-unwritable"
