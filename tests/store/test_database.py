"""Writes that were acknowledged stay; those that failed leave nothing; every fault has its name."""

import asyncio
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sqlcipher3.dbapi2 as sqlite

from p2pchat.errors import Busy, Error
from p2pchat.store import database as module
from p2pchat.store import meta, snapshot
from p2pchat.store.database import Connection, Database
from tests.harness.mounts import needs_mounts, with_mounts


class Gate:
    """Holds the writer, so that what is queued meanwhile waits together."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._open = threading.Event()
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> "Gate":
        entered, loop = asyncio.Event(), asyncio.get_running_loop()

        def wait(_: Connection) -> None:
            loop.call_soon_threadsafe(entered.set)
            assert self._open.wait(30)

        await self._tasks.__aenter__()
        self._tasks.create_task(self._database.write(wait))
        await entered.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()
        await self._tasks.__aexit__(None, None, None)

    def release(self) -> None:
        self._open.set()


class Odd(BaseException):
    pass


def names(tx: Connection) -> list[str]:
    return [row[0] for row in tx.execute("SELECT name FROM meta ORDER BY name")]


def putting(name: str, value: bytes = b"v") -> Callable[[Connection], None]:
    return lambda tx: meta.put(tx, name, value)


def refused(tx: Connection) -> None:
    tx.execute("INSERT INTO meta VALUES ('refused', NULL)")


async def test_what_was_written_is_read_and_is_there_after_opening_again(
    path: Path, key: bytes
) -> None:
    first = await Database.open(path, key)
    await first.write(putting("a", b"1"))
    assert await first.read(lambda tx: meta.get(tx, "a")) == b"1"
    await first.aclose()
    second = await Database.open(path, key)
    assert await second.read(lambda tx: meta.get(tx, "a")) == b"1"
    assert await second.read(lambda tx: meta.get(tx, "b")) is None
    await second.aclose()


async def test_the_connections_are_set_up_to_survive_a_power_cut(database: Database) -> None:
    def settings(tx: Connection) -> list[Any]:
        names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "temp_store")
        return [tx.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await database.write(settings) == ["wal", 2, 1, 1, 2]


async def test_the_reader_cannot_write(database: Database) -> None:
    with pytest.raises(Error):
        await database.read(putting("a"))
    assert await database.read(names) == []


async def test_nothing_is_on_disk_in_the_clear(database: Database, path: Path) -> None:
    await database.write(putting("identity", b"a very secret seed"))
    files = [file.read_bytes() for file in path.parent.iterdir()]
    assert sum(map(len, files)) > 4096
    assert not any(b"secret" in data or b"SQLite format" in data for data in files)


async def test_writes_that_wait_together_share_one_transaction(database: Database) -> None:
    statements: list[str] = []
    await database.write(lambda tx: tx.set_trace_callback(statements.append))
    async with Gate(database) as gate:
        waiting = asyncio.gather(*(database.write(putting(f"n{i:03}")) for i in range(100)))
        await asyncio.sleep(0)
        statements.clear()
        gate.release()
        await waiting
    # The gate's own, and one for all that waited.
    assert statements.count("COMMIT") == 2
    assert len(await database.read(names)) == 100


async def test_one_that_fails_spoils_no_other_and_leaves_nothing(database: Database) -> None:
    ran: list[str] = []

    def half(tx: Connection) -> None:
        meta.put(tx, "half", b"v")
        raise ZeroDivisionError

    def good(tx: Connection) -> str:
        ran.append("good")
        meta.put(tx, "good", b"v")
        return "kept"

    async with Gate(database) as gate:
        waiting = asyncio.gather(
            *(database.write(work) for work in (half, good, refused, putting("last"))),
            return_exceptions=True,
        )
        await asyncio.sleep(0)
        gate.release()
        first, second, third, fourth = await waiting
    assert isinstance(first, ZeroDivisionError)
    assert (second, fourth) == ("kept", None)
    assert isinstance(third, Error)
    assert third.code == "internal"
    assert ran == ["good"]
    assert await database.read(names) == ["good", "last"]


async def test_whatever_work_raises_reaches_its_caller(database: Database) -> None:
    def odd(tx: Connection) -> None:
        raise Odd

    # A future takes no StopIteration: its caller used to wait for ever.
    with pytest.raises(RuntimeError):
        await asyncio.wait_for(database.read(lambda tx: next(iter(()))), 10)
    with pytest.raises(Odd):
        await asyncio.wait_for(database.write(odd), 10)
    await database.write(putting("after"))


async def test_what_follows_is_done_in_order_and_one_that_fails_holds_up_no_other(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    order: list[str] = []
    free = threading.Event()
    held = database.submit(lambda _: free.wait(10))

    def fail(value: object, error: BaseException | None) -> None:
        raise KeyError

    async def write(name: str) -> None:
        await database.write(putting(name), lambda _: order.append(name))

    async with asyncio.TaskGroup() as tasks:
        gone = tasks.create_task(write("one"))
        await asyncio.sleep(0)
        database.post(putting("two"), fail)
        database.post(putting("three"), lambda value, error: order.append("three"))
        tasks.create_task(write("four"))
        await asyncio.sleep(0)
        gone.cancel()
        free.set()
    await held
    assert order == ["one", "three", "four"]
    assert "could not be handed over" in caplog.text
    with pytest.raises(ZeroDivisionError):
        await database.write(putting("five"), lambda _: 1 // 0)


async def test_a_write_whose_caller_is_cancelled_is_done_all_the_same(database: Database) -> None:
    async with Gate(database) as gate, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(database.write(putting("kept")))
        await asyncio.sleep(0)
        task.cancel()
        gate.release()
    assert task.cancelled()
    await database.write(putting("next"))
    assert await database.read(names) == ["kept", "next"]


async def test_closing_finishes_what_is_queued_and_empties_the_log(path: Path, key: bytes) -> None:
    database = await Database.open(path, key)
    async with Gate(database) as gate, asyncio.TaskGroup() as tasks:
        for i in range(300):
            tasks.create_task(database.write(putting(f"n{i}")))
        await asyncio.sleep(0)
        gate.release()
        await database.aclose()
    with pytest.raises(Error, match="closed"):
        await database.write(putting("late"))
    await database.aclose()
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    again = await Database.open(path, key)
    assert len(await again.read(names)) == 300
    await again.aclose()


async def test_a_wrong_key_is_told_once_and_not_by_sqlcipher(
    path: Path, key: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    await (await Database.open(path, key)).aclose()
    with pytest.raises(Error) as raised:
        await Database.open(path, os.urandom(32))
    assert raised.value.code == "home-damaged"
    assert capfd.readouterr() == ("", "")
    await (await Database.open(path, key)).aclose()


async def test_a_file_that_is_no_database_is_a_damaged_home(path: Path, key: bytes) -> None:
    path.write_bytes(os.urandom(8192))
    with pytest.raises(Error) as raised:
        await Database.open(path, key)
    assert raised.value.code == "home-damaged"


async def _damaged(path: Path, key: bytes) -> Database:
    """Has two tables of which one, `meta`, has a page that cannot be read."""
    database = await Database.open(path, key)
    await database.write(lambda tx: tx.execute("CREATE TABLE other (x)"))
    for i in range(100):
        await database.write(putting(f"n{i}", bytes(900)))
    await database.aclose()
    data = bytearray(path.read_bytes())
    data[-2000] ^= 1
    path.write_bytes(data)
    return await Database.open(path, key)


async def test_a_flipped_bit_is_found_and_named(path: Path, key: bytes) -> None:
    database = await _damaged(path, key)
    with pytest.raises(Error) as raised:
        await database.read(lambda tx: tx.execute("SELECT * FROM meta").fetchall())
    assert raised.value.code == "home-damaged"
    await database.aclose()


def _meet_damage(tx: Connection) -> None:
    with suppress(sqlite.Error, MemoryError):
        tx.execute("SELECT * FROM meta").fetchall()


async def test_damage_fails_what_meets_it_and_nothing_after_it(path: Path, key: bytes) -> None:
    database = await _damaged(path, key)

    def add(tx: Connection) -> None:
        tx.execute("INSERT INTO other VALUES (1)")

    def spoil(tx: Connection) -> None:
        add(tx)
        tx.execute("UPDATE meta SET value = zeroblob(901)")

    def quietly(tx: Connection) -> None:
        add(tx)
        _meet_damage(tx)

    async with asyncio.timeout(30):
        for bad in (spoil, quietly):
            with pytest.raises(Error) as raised:
                await database.write(bad)
            assert raised.value.code == "home-damaged"
            await database.write(add)
        async with Gate(database) as gate:
            waiting = asyncio.gather(
                *(database.write(work) for work in (add, spoil, add, quietly, add)),
                return_exceptions=True,
            )
            await asyncio.sleep(0)
            gate.release()
            outcomes = await waiting
        assert [isinstance(one, Error) for one in outcomes] == [False, True, False, True, False]
        with pytest.raises(Error) as raised:
            await database.read(lambda tx: tx.execute("SELECT * FROM meta").fetchall())
        assert raised.value.code == "home-damaged"
        for _ in range(2):
            await database.read(_meet_damage)
            count = await database.read(lambda tx: tx.execute("SELECT x FROM other").fetchall())
            assert len(count) == 5
        with pytest.raises(Error):
            await database.read(add)
        await database.aclose()


@pytest.mark.parametrize("raised", [MemoryError, Odd, SystemError, RecursionError])
async def test_nothing_ends_the_threads(database: Database, raised: type[BaseException]) -> None:
    def fail(tx: Connection) -> None:
        raise raised

    async with asyncio.timeout(30):
        for _ in range(2):
            outcomes = await asyncio.gather(
                database.write(fail),
                database.read(fail),
                database.write(fail),
                return_exceptions=True,
            )
            expected = Error if raised is MemoryError else raised
            assert [type(one) for one in outcomes] == [expected] * 3
            await database.write(putting("goes on"))
            assert "goes on" in await database.read(names)


async def test_closing_waits_only_so_long_for_a_disk_that_does_not_answer(
    path: Path, key: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_CLOSE_S", 0.2)
    database = await Database.open(path, key)
    async with Gate(database) as gate:
        await asyncio.wait_for(database.aclose(), 30)
        assert "p2pchat-write is left behind" in caplog.text
        gate.release()


async def test_what_is_only_read_has_the_log_as_well_and_keeps_nothing(
    path: Path, key: bytes, tmp_path: Path
) -> None:
    database = await Database.open(path, key)
    await database.write(putting("a"))
    copy = tmp_path / "copy" / path.name
    copy.parent.mkdir()
    for end in ("", "-wal"):  # as a crash leaves it
        shutil.copy(path.with_name(path.name + end), copy.with_name(copy.name + end))
    await database.aclose()
    for _ in range(2):
        database = await Database.open(copy, key, only_read=True)
        assert await database.read(names) == ["a"]
        await database.write(putting("passing", bytes(1 << 20)))
        with pytest.raises(Error):
            await database.write(refused)
        assert await database.read(names) == ["a", "passing"]
        assert await database.read(snapshot.damage) == []
        assert not copy.with_name(copy.name + "-shm").exists()
        await database.aclose()
        with pytest.raises(Error, match="closed"):
            await database.read(names)
    with pytest.raises(Error) as raised:
        await Database.open(tmp_path / "none.db", key, only_read=True)
    assert raised.value.code == "home-unwritable"
    assert not (tmp_path / "none.db").exists()


async def test_a_newer_schema_is_refused_and_left_alone(path: Path, key: bytes) -> None:
    database = await Database.open(path, key)
    await database.aclose()
    writer, reader = module._prepare(path, key)
    writer.execute(f"PRAGMA user_version = {module.SCHEMA_VERSION + 1}")
    writer.close()
    reader.close()
    with pytest.raises(Error) as raised:
        await Database.open(path, key)
    assert raised.value.code == "home-newer"


async def test_an_older_schema_is_brought_up_to_date(
    path: Path, key: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = await Database.open(path, key)
    await first.write(putting("a"))
    await first.aclose()
    migrations = tmp_path / "sql" / "migrations"
    migrations.mkdir(parents=True)
    now = module.SCHEMA_VERSION
    (migrations / f"{now:02}-old.sql").write_text("CREATE TABLE not_again (x) STRICT;")
    (migrations / f"{now + 2:02}-then.sql").write_text("ALTER TABLE added ADD COLUMN y TEXT;")
    (migrations / f"{now + 1:02}-first.sql").write_text("CREATE TABLE added (x TEXT) STRICT;")
    (migrations / "README.md").write_text("not SQL")
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    monkeypatch.setattr(module, "SCHEMA_VERSION", now + 2)
    second = await Database.open(path, key)
    columns = await second.read(lambda tx: tx.execute("PRAGMA table_info(added)").fetchall())
    assert [row[1] for row in columns] == ["x", "y"]
    assert await second.read(names) == ["a"]
    await second.aclose()
    await (await Database.open(path, key)).aclose()


async def test_every_older_version_gets_the_schema_of_a_new_database(tmp_path: Path) -> None:
    folder = Path(module.__file__).parent / "sql"
    schemas = []
    for version in range(1, module.SCHEMA_VERSION + 1):
        path, key = tmp_path / f"{version}.db", bytes(32)
        if version < module.SCHEMA_VERSION:
            connection = module.connect(path, key)
            for script in sorted((folder / "schema").glob("*.sql"))[: version + 1]:
                connection.executescript(script.read_text())
            connection.execute(f"PRAGMA user_version = {version}")
            connection.close()
        database = await Database.open(path, key)
        rows = await database.read(
            lambda tx: tx.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        )
        schemas.append([(name, " ".join((sql or "").split())) for name, sql in rows])
        await database.aclose()
    assert all(schema == schemas[-1] for schema in schemas)


async def test_a_database_held_by_another_program_is_in_use(
    path: Path, key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BUSY_S", 0.05)
    database = await Database.open(path, key)
    other, reader = module._prepare(path, key)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy) as raised:
        await database.write(putting("a"))
    assert raised.value.code == "home-in-use"
    other.close()
    reader.close()
    await database.write(putting("a"))
    await database.aclose()


async def test_a_full_disk_fails_what_does_not_fit_and_nothing_else(database: Database) -> None:
    pages = await database.write(lambda tx: tx.execute("PRAGMA page_count").fetchone()[0])
    await database.write(lambda tx: tx.execute(f"PRAGMA max_page_count={pages + 4}"))
    async with Gate(database) as gate:
        waiting = asyncio.gather(
            database.write(putting("small")),
            database.write(putting("large", bytes(1 << 20))),
            database.write(putting("tiny")),
            return_exceptions=True,
        )
        await asyncio.sleep(0)
        gate.release()
        first, second, third = await waiting
    assert (first, third) == (None, None)
    assert isinstance(second, Error)
    assert second.code == "disk-full"
    assert await database.read(names) == ["small", "tiny"]
    await database.write(lambda tx: tx.execute("PRAGMA max_page_count=100000"))
    await database.write(putting("large", bytes(1 << 20)))


_ON_A_SMALL_DISK = """
import asyncio, subprocess, sys
from pathlib import Path
from p2pchat.errors import Error
from p2pchat.store import meta
from p2pchat.store.database import Database

async def main():
    disk = Path(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    database = await Database.open(disk / "journal.db", bytes(32))
    kept = 0
    try:
        while kept < 10_000:
            await database.write(lambda tx: meta.put(tx, str(kept), bytes(3000)))
            kept += 1
    except Error as error:
        print(error.code)
    await database.aclose()
    subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
    database = await Database.open(disk / "journal.db", bytes(32))
    found = await database.read(lambda tx: [r[0] for r in tx.execute("SELECT name FROM meta")])
    print(kept > 20 and sorted(found) == sorted(map(str, range(kept))))
    await database.write(lambda tx: meta.put(tx, "more", b""))
    await database.aclose()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    try:
        await Database.open(disk / "journal.db", bytes(32))
    except Error as error:
        print(error.code)

asyncio.run(main())
"""


@needs_mounts
def test_a_disk_that_fills_up_loses_nothing_acknowledged(tmp_path: Path) -> None:
    done = with_mounts(_ON_A_SMALL_DISK, tmp_path)
    assert done.stdout.split() == ["disk-full", "True", "home-unwritable"], done.stderr


_WRITER = """
import asyncio, os, sys
from pathlib import Path
from p2pchat.store import meta
from p2pchat.store.database import Database

async def main():
    database = await Database.open(Path(sys.argv[1]), bytes(32))

    def pair(name):
        def work(tx):
            meta.put(tx, name + "-a", os.urandom(500))
            meta.put(tx, name + "-b", os.urandom(500))
        return work

    async def writing(lane):
        for i in range(10_000):
            name = f"{sys.argv[2]}-{lane}-{i}"
            await database.write(pair(name))
            os.write(1, name.encode() + b"\\n")

    async with asyncio.TaskGroup() as tasks:
        for lane in range(4):
            tasks.create_task(writing(lane))

asyncio.run(main())
"""


async def test_killing_the_writer_at_any_moment_loses_nothing_acknowledged(path: Path) -> None:
    chance = random.Random(8)
    acknowledged: set[str] = set()
    for round_ in range(20):
        argv = [sys.executable, "-c", _WRITER, str(path), str(round_)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(chance.randrange(1, 60)):
                acknowledged.add(writer.stdout.readline().decode().strip())
            writer.kill()
            # What it said between our last look and its death counts as well.
            said = writer.stdout.read().decode()
            acknowledged.update(said[: said.rfind("\n") + 1].split())
        database = await Database.open(path, bytes(32))
        found = await database.read(names)
        await database.aclose()
        firsts = {name[:-2] for name in found if name.endswith("-a")}
        seconds = {name[:-2] for name in found if name.endswith("-b")}
        assert firsts == seconds
        assert acknowledged <= firsts
    assert len(acknowledged) > 100


@pytest.mark.parametrize(
    ("extended", "code"),
    [
        (sqlite.SQLITE_FULL, "disk-full"),
        (4874, "disk-full"),
        (sqlite.SQLITE_IOERR | 3 << 8, "home-unwritable"),
        (sqlite.SQLITE_READONLY | 4 << 8, "home-unwritable"),
        (sqlite.SQLITE_IOERR | 1 << 8, "home-damaged"),
        (sqlite.SQLITE_CORRUPT | 1 << 8, "home-damaged"),
        (sqlite.SQLITE_BUSY, "home-in-use"),
        (1, "internal"),
    ],
)
def test_sqlites_codes_have_names(extended: int, code: str) -> None:
    error = sqlite.OperationalError("the text tells nothing: disk is full, not a database")
    error.sqlite_errorcode = extended
    assert module._mapped(error).code == code
