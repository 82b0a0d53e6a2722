"""The encrypted database: one writer, one reader, each a connection in a thread of its own.

`write` returns after COMMIT with synchronous=FULL, so what it returned for survives a power cut.
Writes that wait at the same time share one transaction, each in a savepoint: one that fails spoils
no other. (SQLCipher bundles a SQLite newer than the WAL-reset bug of 3.7.0 to 3.51.2.)
"""

import asyncio
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import sqlcipher3.dbapi2 as sqlite

from p2pchat.errors import Busy, Error

__all__ = ["SCHEMA_VERSION", "Connection", "Database", "connect", "disk_full", "faults"]

# Neither type binds directly (pysqlite's `_need_adapt` leaves both out): for each value the driver
# would look for two adapting methods that are not there, 0.6 us where these take 0.1.
sqlite.register_adapter(bytes, memoryview)
sqlite.register_adapter(type(None), lambda none: none)

_log = logging.getLogger(__name__)
T = TypeVar("T")
Connection = Any
"""A sqlcipher3 connection (the package ships no types).

Its `memory` is a dict for what the writer's work remembers of entries that it has written. Whoever
deletes entries clears it, and it is empty again once anything was undone. Its `again` opens another
connection to the same file.
"""

SCHEMA_VERSION = 12
_FAULTS = (sqlite.Error, MemoryError)
"""What a statement raises: SQLCipher's word for a page that it cannot open or seal is NOMEM."""
_JOINED_MAX = 256
"""Writes in one transaction: enough to share an fsync, few enough that none waits long."""
_BUSY_S = 10.0
"""How long to wait for a lock of another program, such as a backup's."""
_CLOSE_S = 15.0
"""How long to wait for the threads to end: longer than for a lock."""


class Database:
    """Open with `await Database.open(path, key)`; close with `aclose`."""

    def __init__(self, writer: Connection, reader: Connection | None) -> None:
        self.only_read = reader is None
        """Whether nothing that is written is kept."""
        self._writes: _Queue = queue.SimpleQueue()
        self._reads: _Queue = queue.SimpleQueue() if reader else self._writes
        self._threads = [
            threading.Thread(target=run, args=(connection, jobs), name=name, daemon=True)
            for run, connection, jobs, name in (
                (_run_reader, reader, self._reads, "p2pchat-read"),
                (_run_writer if reader else _run_passing, writer, self._writes, "p2pchat-write"),
            )
            if connection
        ]
        for thread in self._threads:
            thread.start()

    @classmethod
    async def open(cls, path: Path, key: bytes, *, only_read: bool = False) -> "Database":
        """Open or create it. `key` is 32 random bytes. `only_read`: what is there, on a disk that
        is full; what is written is in memory, and lost when it is closed.

        Raises errors.Error: `home-damaged`, `home-newer`, `home-unwritable`, `disk-full`; Busy
        `home-in-use` where another program holds the file.
        """
        prepare = _prepare_to_read if only_read else _prepare
        return cls(*await asyncio.to_thread(prepare, path, key))

    async def write(
        self, work: Callable[[Connection], T], then: Callable[[T], None] | None = None
    ) -> T:
        """Run `work` in a transaction; on disk when this returns. Cancelled or not, it is done, and
        `then` called with what it answers, in the order in which things came to the disk.

        `work` touches nothing but its connection: when the disk fails under a transaction that
        several share, it is undone and run again alone. What it raises is raised here, and its
        changes undone; a database's error as the errors.Error of `open`, else `internal`.
        """
        if then is None:
            return await self.submit(work)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.post(work, partial(_follow, future, then))
        return await future

    def submit(self, work: Callable[[Connection], T]) -> "asyncio.Future[T]":
        """`write` that is queued at once, before anybody waits: to shield it needs no task."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(self._writes, work, partial(_resolve, future))
        return future

    def post(
        self,
        work: Callable[[Connection], T],
        settle: Callable[[T | None, BaseException | None], None],
    ) -> None:
        """`submit` that calls `settle` with the outcome, in the loop's thread and in the very turn
        in which it comes there. `settle` raises nothing: other outcomes come with it."""
        self._put(self._writes, work, settle)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on a snapshot."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(self._reads, work, partial(_resolve, future))
        return await future

    def _put(self, jobs: "_Queue", work: Callable[[Connection], T], settle: "_Settle") -> None:
        if not self._threads:
            raise Error("internal", "the profile is closed", "start p2pchat again")
        jobs.put(_Job(work, asyncio.get_running_loop(), settle))

    async def aclose(self) -> None:
        """Finish what is queued, then close; a disk that does not answer is not waited for long."""
        threads, self._threads = self._threads, []
        until = time.monotonic() + _CLOSE_S
        # The reader first: the writer's last checkpoint empties the log only when nobody reads it.
        queues = (self._writes,) if self.only_read else (self._reads, self._writes)
        for thread, jobs in zip(threads, queues, strict=False):
            jobs.put(None)
            await asyncio.to_thread(thread.join, max(0, until - time.monotonic()))
            if thread.is_alive():
                _log.error("the database does not answer: %s is left behind", thread.name)


# The package ships no types.
class _Connection(sqlite.Connection):  # type: ignore[misc]
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.memory: dict[bytes, Any] = {}
        self.again: Callable[[], Connection]


class _Job:
    def __init__(
        self, work: Callable[[Connection], Any], loop: asyncio.AbstractEventLoop, settle: "_Settle"
    ) -> None:
        self._work = work
        self._settle = settle
        self.loop = loop
        self.outcome: tuple[Any, BaseException | None] = (None, None)

    def run(self, connection: Connection) -> None:
        try:
            self.outcome = (self._work(connection), None)
        except _FAULTS as error:
            connection.memory.clear()
            self.fail(error)
        except BaseException as error:  # noqa: BLE001  (the thread serves others; handed to whoever asked)
            connection.memory.clear()
            if isinstance(error, StopIteration):  # which a future would not take
                error = _caused(RuntimeError("StopIteration left a transaction"), error)
            self.outcome = (None, error)

    def fail(self, error: BaseException) -> None:
        self.outcome = (None, _caused(_mapped(error), error))

    @property
    def met_damage(self) -> bool:
        return isinstance(error := self.outcome[1], Error) and error.code == "home-damaged"

    def deliver(self) -> None:
        """In the loop's thread."""
        self._settle(*self.outcome)


def _follow(
    future: "asyncio.Future[Any]",
    then: Callable[[Any], None],
    value: Any,
    error: BaseException | None,
) -> None:
    if error is None:
        try:
            then(value)
        except BaseException as raised:  # noqa: BLE001  (handed to whoever waits)
            error = raised
    _resolve(future, value, error)


def _resolve(future: "asyncio.Future[Any]", value: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)


def _hand_over(batch: list[_Job]) -> None:
    """Hand the outcomes over; one call, since each wakes the loop."""

    def deliver() -> None:
        for job in batch:
            try:
                job.deliver()
            except Exception:  # noqa: BLE001  (ours; those behind it are not to suffer for it)
                _log.exception("an outcome that could not be handed over")

    # RuntimeError: the loop is gone, and with it whoever waited. All jobs are of one loop.
    with suppress(RuntimeError):
        batch[0].loop.call_soon_threadsafe(deliver)


_Queue: TypeAlias = "queue.SimpleQueue[_Job | None]"
_Settle: TypeAlias = Callable[[Any, BaseException | None], None]


def _caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def _run_writer(connection: Connection, jobs: _Queue) -> None:
    stop = False
    while not stop:
        batch, stop = _waiting(jobs)
        if batch:
            connection = _commit(connection, batch)
            _hand_over(batch)
    with suppress(*_FAULTS):  # else the log is replayed at the next start
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    _close(connection)


def _run_passing(connection: Connection, jobs: _Queue) -> None:
    """All jobs in one transaction, which is undone at the end."""
    while (job := jobs.get()) is not None:
        try:
            if not connection.in_transaction:
                connection.execute("BEGIN")
            connection.execute("SAVEPOINT job")
            job.run(connection)
            if job.outcome[1] is not None:
                connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")
        except BaseException as error:  # noqa: BLE001  (each job is to have an outcome, and those to come)
            job.fail(error)
        _hand_over([job])
    with suppress(*_FAULTS):
        connection.execute("ROLLBACK")
    _close(connection)


def _waiting(jobs: _Queue) -> tuple[list[_Job], bool]:
    """What waits, at least one; and whether it is the last."""
    batch: list[_Job] = []
    job = jobs.get()
    while job is not None:
        batch.append(job)
        if len(batch) >= _JOINED_MAX:
            return batch, False
        try:
            job = jobs.get_nowait()
        except queue.Empty:
            return batch, False
    return batch, True


def _commit(connection: Connection, batch: list[_Job], *, again: bool = False) -> Connection:
    """Run the jobs in one transaction; where the transaction itself fails, each in its own.

    Returns the connection to go on with: what met a bad page is run once more, on another.
    """
    failed = _transact(connection, batch)
    # What was not undone is done.
    undone = batch if failed is not None else [job for job in batch if job.met_damage]
    damaged = any(job.met_damage for job in batch) or (failed is not None and _is_damage(failed))
    if damaged:
        connection = _renewed(connection)
    if not again and (damaged or len(batch) > 1):
        for job in undone:
            connection = _commit(connection, [job], again=True)
    elif failed is not None and batch[0].outcome[1] is None:
        batch[0].fail(failed)
    return connection


def _transact(connection: Connection, batch: list[_Job]) -> BaseException | None:
    """Run the jobs in one transaction; why it was undone, if it was."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        if len(batch) == 1:
            batch[0].run(connection)
            connection.execute("COMMIT" if batch[0].outcome[1] is None else "ROLLBACK")
            return None
        for job in batch:
            connection.execute("SAVEPOINT job")
            job.run(connection)
            if job.outcome[1] is not None:
                # Fails if SQLite has rolled everything back, as it may for a full disk.
                connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")
        connection.execute("COMMIT")
    except BaseException as error:  # noqa: BLE001  (each job is to have an outcome, and those to come)
        connection.memory.clear()
        with suppress(*_FAULTS):
            connection.execute("ROLLBACK")
        return error
    return None


def _run_reader(connection: Connection, jobs: _Queue) -> None:
    while (job := jobs.get()) is not None:
        _look(connection, job)
        if job.met_damage:
            # On another: it may have been a job before this one that met the bad page.
            _look(connection := _reading(_renewed(connection)), job)
        if job.met_damage:
            connection = _reading(_renewed(connection))
        _hand_over([job])
    _close(connection)


def _look(connection: Connection, job: _Job) -> None:
    try:
        connection.execute("BEGIN")
        job.run(connection)
    except BaseException as error:  # noqa: BLE001  (each job is to have an outcome, and those to come)
        job.fail(error)
    with suppress(*_FAULTS):
        connection.execute("ROLLBACK")


def _reading(connection: Connection) -> Connection:
    connection.execute("PRAGMA query_only=ON")
    return connection


def _renewed(connection: Connection) -> Connection:
    """Another in its place: after one bad page SQLCipher refuses all others for good."""
    try:
        other = connection.again()
    except _FAULTS:  # then this one will tell it, job by job
        return connection
    _close(connection)
    return other


def _close(connection: Connection) -> None:
    with suppress(*_FAULTS):
        connection.close()


def _prepare(path: Path, key: bytes) -> tuple[Connection, Connection]:
    """A writer and a reader of a database that has the newest schema."""
    with ExitStack() as opened:
        try:
            writer = opened.enter_context(closing(connect(path, key)))
            version = writer.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise Error(
                    "home-newer",
                    "the profile was written by a newer p2pchat",
                    "update p2pchat, or choose another --home",
                )
            if scripts := _scripts(version):
                body = "\n".join(scripts)
                writer.executescript(
                    f"BEGIN IMMEDIATE;\n{body}\nPRAGMA user_version = {SCHEMA_VERSION};\nCOMMIT;"
                )
            reader = _reading(opened.enter_context(closing(connect(path, key))))
        except _FAULTS as error:
            raise _opening(path, error) from error
        opened.pop_all()
    return writer, reader


def _prepare_to_read(path: Path, key: bytes) -> tuple[Connection, None]:
    """One connection, which needs no place on the disk."""
    with faults(path), ExitStack() as opened:
        connection = opened.enter_context(closing(connect(path, key, only_read=True)))
        if connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
            raise disk_full()  # it is to be made, or brought up to date
        connection.execute("PRAGMA cache_spill=OFF")
        opened.pop_all()
    return connection, None


@contextmanager
def faults(path: Path) -> Iterator[None]:
    """SQLite's errors as errors.Error, while `path` is opened, made or read."""
    try:
        yield
    except _FAULTS as error:
        raise _opening(path, error) from error


def connect(path: Path, key: bytes, *, only_read: bool = False) -> Connection:
    """A connection of one's own; errors are SQLite's own (see `faults`).

    `only_read`: for a file that nobody writes to, with the index of its log in memory. Any other
    puts that on the disk, and cannot read where it is full.
    """
    # Opened here, used in one other thread from then on.
    connection = sqlite.connect(
        path.absolute().as_uri() + "?mode=rw&vfs=unix-none" if only_read else str(path),
        uri=only_read,
        isolation_level=None,
        timeout=_BUSY_S,
        check_same_thread=False,
        factory=_Connection,
    )
    connection.again = partial(connect, path, key, only_read=only_read)
    try:
        for pragma in (
            # SQLCipher would write of a wrong key to stderr, past us; it must come before the key.
            "cipher_log=OFF",
            # The key is raw: no key derivation, so that opening stays fast.
            f"key=\"x'{key.hex()}'\"",
            # Before the first look at the log: then its index is in memory.
            f"locking_mode={'EXCLUSIVE' if only_read else 'NORMAL'}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
            "temp_store=MEMORY",
            "cache_size=-16384",
            # Of 4 KiB. A log that is written over costs an fsync half as long as one that grows,
            # and with 4,000 it grew for the first 700 messages; resync is the same with either.
            "wal_autocheckpoint=1000",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except _FAULTS:
        connection.close()
        raise
    return connection


def _scripts(version: int) -> list[str]:
    """What leads from `version` to the newest; 0 is an empty file."""
    if version == SCHEMA_VERSION:
        return []
    folder = resources.files("p2pchat.store") / "sql" / ("migrations" if version else "schema")
    chosen = sorted(
        (
            file
            for file in folder.iterdir()
            if file.name.endswith(".sql") and int(file.name.split("-")[0]) > version
        ),
        key=lambda file: file.name,
    )
    return [file.read_text() for file in chosen]


_IOERR_READING = frozenset({266, 522, 8458})
"""SQLITE_IOERR_READ, _SHORT_READ, _CORRUPTFS: what is there cannot be read."""
_IOERR_SHMSIZE = 4874
"""The index of the log could not grow: the disk is full, and SQLite does not say so."""


def disk_full() -> Error:
    """What whoever wants to write is told."""
    return Error(
        "disk-full",
        "the disk is full: nothing was written",
        "free some space; what was acknowledged before is safe",
    )


def _opening(path: Path, error: sqlite.Error) -> Error:
    # Where the log cannot be made for want of space, SQLite says only "disk I/O error".
    full = os.statvfs(path.parent).f_bavail == 0
    return disk_full() if full else _mapped(error)


def _is_damage(error: BaseException) -> bool:
    extended: int = getattr(error, "sqlite_errorcode", 0)
    return (
        isinstance(error, MemoryError)
        or extended & 0xFF in (sqlite.SQLITE_CORRUPT, sqlite.SQLITE_NOTADB)
        or extended in _IOERR_READING
    )


def _mapped(error: BaseException) -> Error:
    """What a person should be told of a database's error."""
    extended: int = getattr(error, "sqlite_errorcode", 0)
    primary = extended & 0xFF
    if primary == sqlite.SQLITE_FULL or extended == _IOERR_SHMSIZE:
        return disk_full()
    if _is_damage(error):
        return Error(
            "home-damaged",
            f"the profile's database cannot be read: {str(error) or 'a page is damaged'}",
            "p2pchat doctor --repair keeps what is whole, and friends bring back the rest; "
            "or restore the profile from a copy",
        )
    if primary in (sqlite.SQLITE_BUSY, sqlite.SQLITE_LOCKED):
        return Busy(
            "home-in-use",
            "another program holds the profile's database",
            "close what has opened journal.db, or choose another --home",
        )
    if primary in (
        sqlite.SQLITE_READONLY,
        sqlite.SQLITE_CANTOPEN,
        sqlite.SQLITE_PERM,
        sqlite.SQLITE_IOERR,
    ):
        return Error(
            "home-unwritable",
            f"the profile cannot be written: {error}",
            "check the permissions and the disk, or choose another --home",
        )
    return Error("internal", f"the database refused a statement: {error}", "run the command again")
