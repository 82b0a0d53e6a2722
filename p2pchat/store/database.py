"""The encrypted database: one writer, one reader, each a connection in a thread of its own.

`write` returns after COMMIT with synchronous=FULL, so what it returned for survives a power cut.
Writes that wait at the same time share one transaction, each in a savepoint: one that fails spoils
no other. (SQLCipher bundles a SQLite newer than the WAL-reset bug of 3.7.0 to 3.51.2.)
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import sqlcipher3.dbapi2 as sqlite

from p2pchat.errors import Error

__all__ = ["SCHEMA_VERSION", "Connection", "Database"]

T = TypeVar("T")
Connection = Any
"""A sqlcipher3 connection (the package ships no types)."""

SCHEMA_VERSION = 1
_JOINED_MAX = 256
"""Writes in one transaction: enough to share an fsync, few enough that none waits long."""


class Database:
    """Open with `await Database.open(path, key)`; close with `aclose`."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._key = key
        self._writes: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._reads: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    @classmethod
    async def open(cls, path: Path, key: bytes) -> "Database":
        """Open or create it. `key` is 32 random bytes.

        Raises errors.Error: `home-damaged`, `home-newer`, `home-unwritable`, `disk-full`.
        """
        database = cls(path, key)
        await asyncio.to_thread(database._prepare)
        for jobs, target in ((database._writes, _run_writer), (database._reads, _run_reader)):
            thread = threading.Thread(
                target=target, args=(database._connect, jobs), name="p2pchat-store", daemon=True
            )
            thread.start()
            database._threads.append(thread)
        return database

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction; on disk when this returns. Cancelled or not, it is done.

        Raises errors.Error as `open`; what `work` raises is raised here, and its changes undone.
        """
        return await self._submit(self._writes, work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on a snapshot."""
        return await self._submit(self._reads, work)

    async def _submit(
        self, jobs: "queue.SimpleQueue[_Job | None]", work: Callable[[Connection], T]
    ) -> T:
        if not self._threads:
            raise Error("internal", "the profile is closed", "start p2pchat again")
        job = _Job(work, asyncio.get_running_loop())
        jobs.put(job)
        result: T = await job.future
        return result

    async def aclose(self) -> None:
        """Finish what is queued, then close."""
        threads, self._threads = self._threads, []
        for jobs in (self._writes, self._reads):
            jobs.put(None)
        for thread in threads:
            await asyncio.to_thread(thread.join)

    def _connect(self) -> Connection:
        connection = sqlite.connect(str(self._path), isolation_level=None, timeout=10)
        # The key is raw: no key derivation, so that opening stays fast.
        connection.execute(f"PRAGMA key = \"x'{self._key.hex()}'\"")
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
            "temp_store=MEMORY",
            "cache_size=-16384",
        ):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def _prepare(self) -> None:
        """Create or migrate."""
        try:
            with closing(self._connect()) as connection:
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if version > SCHEMA_VERSION:
                    raise Error(
                        "home-newer",
                        "the profile was written by a newer p2pchat",
                        "update p2pchat, or choose another --home",
                    )
                scripts = _scripts(version)
                if not scripts:
                    return
                body = "\n".join(scripts)
                connection.executescript(
                    f"BEGIN IMMEDIATE;\n{body}\nPRAGMA user_version = {SCHEMA_VERSION};\nCOMMIT;"
                )
        except sqlite.Error as error:
            raise _mapped(error) from error


class _Job:
    def __init__(self, work: Callable[[Connection], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.outcome: tuple[Any, BaseException | None] = (None, None)

    def settle(self) -> None:
        value, error = self.outcome

        def deliver() -> None:
            if self.future.done():
                return
            if error is not None:
                self.future.set_exception(error)
            else:
                self.future.set_result(value)

        try:
            self.loop.call_soon_threadsafe(deliver)
        except RuntimeError:
            return  # the loop is gone, and with it whoever waited


def _run_writer(connect: Callable[[], Connection], jobs: "queue.SimpleQueue[_Job | None]") -> None:
    connection = connect()
    stop = False
    while not stop:
        batch: list[_Job] = []
        job = jobs.get()
        while True:
            if job is None:
                stop = True
                break
            batch.append(job)
            if len(batch) >= _JOINED_MAX:
                break
            try:
                job = jobs.get_nowait()
            except queue.Empty:
                break
        if batch:
            _commit(connection, batch)
            for job in batch:
                job.settle()
    with suppress(sqlite.Error):  # else the log is replayed at the next start
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _commit(connection: Connection, batch: list[_Job]) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        for job in batch:
            connection.execute("SAVEPOINT job")
            try:
                job.outcome = (job.work(connection), None)
            except sqlite.Error:
                raise
            except Exception as error:  # noqa: BLE001  (handed to whoever asked)
                job.outcome = (None, error)
                connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")
        connection.execute("COMMIT")
    except sqlite.Error as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if len(batch) > 1:
            # One of them does not fit: let each stand or fall alone.
            for job in batch:
                _commit(connection, [job])
            return
        batch[0].outcome = (None, _mapped(error))


def _run_reader(connect: Callable[[], Connection], jobs: "queue.SimpleQueue[_Job | None]") -> None:
    connection = connect()
    connection.execute("PRAGMA query_only=ON")
    while (job := jobs.get()) is not None:
        try:
            connection.execute("BEGIN")
            job.outcome = (job.work(connection), None)
        except sqlite.Error as error:
            job.outcome = (None, _mapped(error))
        except Exception as error:  # noqa: BLE001  (handed to whoever asked)
            job.outcome = (None, error)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        job.settle()
    connection.close()


def _scripts(version: int) -> list[str]:
    """What leads from `version` to the newest; 0 is an empty file."""
    folder = resources.files("p2pchat.store") / "sql"
    if version == 0:
        chosen = sorted((folder / "schema").iterdir(), key=lambda file: file.name)
    else:
        chosen = sorted(
            (
                file
                for file in (folder / "migrations").iterdir()
                if file.name.endswith(".sql") and int(file.name.split("-")[0]) > version
            ),
            key=lambda file: file.name,
        )
    return [file.read_text() for file in chosen if file.name.endswith(".sql")]


def _mapped(error: Exception) -> Error:
    """What a person should be told of a database's error."""
    text = str(error)
    if isinstance(error, sqlite.IntegrityError):
        return Error("internal", f"the journal refused an entry: {text}", "run the command again")
    if "full" in text:
        return Error(
            "disk-full",
            "the disk is full: nothing was written",
            "free some space; what was acknowledged before is safe",
        )
    if "readonly" in text or "unable to open" in text or "disk I/O" in text:
        return Error(
            "home-unwritable",
            f"the profile cannot be written: {text}",
            "check the permissions and the disk, or choose another --home",
        )
    return Error(
        "home-damaged",
        f"the profile's database cannot be read: {text}",
        "restore the profile from a copy, or start anew with another --home",
    )
