"""Where a server's items lie: in memory, in memory and a SQLite file, or in Redis.

Memory forgets with the process. The file outlives it, for one process at a time. On Redis several
instances serve one community: what is put at one is heard at all. None holds a secret of anybody's,
and all of it is over within the hour; so the file is written behind, and a crash may lose the last
moments.
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from signaling.mailbox import BOX_MAX, TTL_MAX_S, Boxes, Drop, Keep
from signaling.tasks import owned_tasks

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = [
    "Listener",
    "MemoryState",
    "RedisState",
    "SqliteState",
    "State",
    "StateDown",
    "StateUnusable",
    "open_state",
]

_log = logging.getLogger(__name__)
_EXPIRE_S = 5.0
_PURGE_S = 60.0
_REDIS_S = 5.0
_REDIS_AGAIN_S = 1.0
_PREFIX = b"p2pchat:mailbox:"
_ITEMS, _TRACKER = "p2pchat:mailbox", "p2pchat:tracker"


class StateUnusable(Exception):
    """There is no starting with this `--state`."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class StateDown(Exception):
    """It does not answer now."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told. `changed`: (name, data, expires), expires 0 if it is gone.

    `missed`: changes may have passed unheard. `announced`: what another instance's tracker says.
    """

    changed: Callable[[bytes, bytes, float], None]
    missed: Callable[[], None]
    announced: Callable[[bytes], None]


class State(Protocol):
    async def apply(self, changes: Sequence[Keep | Drop]) -> None:
        """Raises StateDown."""

    async def items(self, name: bytes) -> list[tuple[bytes, float]]:
        """What lies there, as (data, expires). Raises StateDown."""

    async def announce(self, message: bytes) -> None:
        """Tell the other instances. Raises StateDown."""

    async def check(self) -> None:
        """Raises StateDown."""

    @property
    def shared(self) -> bool:
        """Whether there may be other instances."""

    def figures(self) -> dict[str, float]:
        """For the metrics."""


@asynccontextmanager
async def open_state(
    where: str, listener: Listener, wall: Callable[[], float], items_max: int
) -> AsyncIterator[State]:
    """`where`: empty for memory, redis://… (rediss://, unix://), or a file.

    Raises StateUnusable.
    """
    if where.startswith(("redis://", "rediss://", "unix://")):
        async with RedisState.open(where, listener, wall) as shared:
            yield shared
    elif where:
        async with SqliteState.open(Path(where), listener, wall, items_max) as kept:
            yield kept
    else:
        async with owned_tasks() as tasks:
            state = MemoryState(listener, wall, items_max)
            tasks.create_task(state.expire())
            yield state


class MemoryState:
    def __init__(self, listener: Listener, wall: Callable[[], float], items_max: int) -> None:
        self._listener = listener
        self._wall = wall
        self._boxes = Boxes(items_max)

    async def apply(self, changes: Sequence[Keep | Drop]) -> None:
        for change in changes:
            match change:
                case Keep(name, data, expires):
                    for gone in self._boxes.keep(name, data, expires):
                        self._listener.changed(*gone, 0.0)
                    self._listener.changed(name, data, expires)
                case Drop(name, data):
                    if self._boxes.drop(name, data):
                        self._listener.changed(name, data, 0.0)

    async def items(self, name: bytes) -> list[tuple[bytes, float]]:
        return self._boxes.items(name, self._wall())

    async def announce(self, message: bytes) -> None:
        """There is nobody else."""

    async def check(self) -> None:
        """Memory is always there."""

    @property
    def shared(self) -> bool:
        return False

    def figures(self) -> dict[str, float]:
        return {"items": len(self._boxes), "items_evicted_total": self._boxes.evicted}

    async def expire(self) -> None:
        while True:
            await asyncio.sleep(_EXPIRE_S)
            self._boxes.expire(self._wall())


class SqliteState(MemoryState):
    """Memory, and behind it a file. One connection, in one thread."""

    def __init__(self, listener: Listener, wall: Callable[[], float], items_max: int) -> None:
        super().__init__(listener, wall, items_max)
        self._items_max = items_max
        self._executor = ThreadPoolExecutor(1, "state")
        self._unwritten: dict[tuple[bytes, bytes], float] = {}
        self._wake = asyncio.Event()
        self._failure = ""
        self._database: sqlite3.Connection | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: Path, listener: Listener, wall: Callable[[], float], items_max: int
    ) -> AsyncIterator["SqliteState"]:
        """Raises StateUnusable."""
        state = cls(listener, wall, items_max)
        loop = asyncio.get_running_loop()
        try:
            rows = await loop.run_in_executor(state._executor, state._load, path)
            for name, data, expires in rows:
                state._boxes.keep(name, data, expires)
            async with owned_tasks() as tasks:
                tasks.create_task(state.expire())
                tasks.create_task(state._write_behind())
                yield state
            await state._write()
        finally:
            await loop.run_in_executor(state._executor, state._close)
            state._executor.shutdown()

    async def apply(self, changes: Sequence[Keep | Drop]) -> None:
        await super().apply(changes)
        for change in changes:
            expires = change.expires if isinstance(change, Keep) else 0.0
            self._unwritten[change.name, change.data] = expires
        if len(self._unwritten) > 2 * self._items_max:
            # The disk does not keep up, or is full; memory serves on.
            self._unwritten.pop(next(iter(self._unwritten)))
        self._wake.set()

    async def check(self) -> None:
        if self._failure:
            raise StateDown(self._failure)

    async def _write_behind(self) -> None:
        loop = asyncio.get_running_loop()
        purged = loop.time()
        while True:
            try:
                async with asyncio.timeout(_PURGE_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            if not await self._write():
                await asyncio.sleep(1)
                self._wake.set()
            if loop.time() - purged > _PURGE_S:
                purged = loop.time()
                await loop.run_in_executor(self._executor, self._purge, self._wall())

    async def _write(self) -> bool:
        """Whether all is on disk that was there to be written."""
        changes, self._unwritten = self._unwritten, {}
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._store, changes)
        except sqlite3.Error as error:
            if not self._failure:
                _log.error("the state cannot be written: %s", error)
            self._failure = str(error)
            self._unwritten = changes | self._unwritten
            return False
        self._failure = ""
        return True

    # -- in the thread -------------------------------------------------------------------------

    def _load(self, path: Path) -> list[tuple[bytes, bytes, float]]:
        try:
            # Ours alone from the start; names are what lets people in.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            # One connection in one thread, and no other process: old versions of SQLite lose what
            # several connections write (https://sqlite.org/wal.html#walresetbug).
            self._database = sqlite3.connect(path, isolation_level=None, timeout=1.0)
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS items (name BLOB, data BLOB, expires REAL NOT NULL,"
                " PRIMARY KEY (name, data)) WITHOUT ROWID"
            )
            self._purge(self._wall())
            rows = self._database.execute(
                "SELECT name, data, expires FROM items ORDER BY expires DESC LIMIT ?",
                (self._items_max,),
            )
            return [(bytes(name), bytes(data), float(expires)) for name, data, expires in rows]
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise StateUnusable(
                    f"another process uses {path}",
                    "give each instance a file of its own; several for one community need redis://",
                ) from error
            raise StateUnusable(f"cannot use {path}: {error}", "choose another --state") from error
        except (sqlite3.Error, OSError, TypeError, ValueError) as error:
            raise StateUnusable(
                f"cannot use {path}: {error}", "choose another --state, or move the file away"
            ) from error

    def _store(self, changes: dict[tuple[bytes, bytes], float]) -> None:
        if not changes:
            return
        assert self._database is not None
        self._database.execute("BEGIN")
        try:
            self._database.executemany(
                "INSERT OR REPLACE INTO items VALUES (?, ?, ?)",
                [(*key, expires) for key, expires in changes.items() if expires],
            )
            self._database.executemany(
                "DELETE FROM items WHERE name = ? AND data = ?",
                [key for key, expires in changes.items() if not expires],
            )
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def _purge(self, now: float) -> None:
        assert self._database is not None
        try:
            self._database.execute("DELETE FROM items WHERE expires <= ?", (now,))
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise
            _log.error("the state cannot be purged: %s", error)

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()


class RedisState:
    """Redis, for several instances. Items are members of a sorted set by their expiry."""

    def __init__(self, redis: "Redis", listener: Listener, wall: Callable[[], float]) -> None:
        self._redis = redis
        self._listener = listener
        self._wall = wall

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, listener: Listener, wall: Callable[[], float]
    ) -> AsyncIterator["RedisState"]:
        """Raises StateUnusable."""
        try:
            import redis.asyncio as library
        except ImportError as error:
            raise StateUnusable(
                "redis:// needs the Python package redis",
                "pip install 'p2pchat[signal-redis]'",
            ) from error
        try:
            connection = library.Redis.from_url(
                url, socket_connect_timeout=_REDIS_S, socket_timeout=_REDIS_S
            )
        except ValueError as error:
            raise StateUnusable(f"{url} is no address of a Redis: {error}", _REDIS_HINT) from error
        try:
            state = cls(connection, listener, wall)
            try:
                await state.check()
            except StateDown as down:
                raise StateUnusable(f"no Redis at {url}: {down}", _REDIS_HINT) from down
            async with owned_tasks() as tasks:
                subscribed = asyncio.Event()
                tasks.create_task(state._listen(subscribed))
                await subscribed.wait()
                yield state
        finally:
            await connection.aclose()

    async def apply(self, changes: Sequence[Keep | Drop]) -> None:
        now = self._wall()
        async with self._asked(), self._redis.pipeline(transaction=True) as pipe:
            for change in changes:
                key = _PREFIX + change.name
                match change:
                    case Keep(_, data, expires):
                        pipe.zremrangebyscore(key, "-inf", now)
                        pipe.zadd(key, {data: expires})
                        pipe.zremrangebyrank(key, 0, -BOX_MAX - 1)
                        pipe.expire(key, TTL_MAX_S)
                    case Drop(_, data):
                        expires = 0.0
                        pipe.zrem(key, data)
                message = msgspec.msgpack.encode((change.name, change.data, expires))
                pipe.publish(_ITEMS, message)
            await pipe.execute()

    async def items(self, name: bytes) -> list[tuple[bytes, float]]:
        async with self._asked():
            found: list[Any] = await self._redis.zrangebyscore(
                _PREFIX + name, f"({self._wall()}", "+inf", withscores=True
            )
            return [(bytes(data), float(expires)) for data, expires in found]

    async def announce(self, message: bytes) -> None:
        async with self._asked():
            await self._redis.publish(_TRACKER, message)

    async def check(self) -> None:
        async with self._asked():
            await self._redis.ping()

    @property
    def shared(self) -> bool:
        return True

    def figures(self) -> dict[str, float]:
        return {}

    @asynccontextmanager
    async def _asked(self) -> AsyncIterator[None]:
        from redis.exceptions import RedisError

        try:
            async with asyncio.timeout(2 * _REDIS_S):
                yield
        except (RedisError, OSError, TimeoutError) as error:
            raise StateDown(str(error) or "it does not answer") from error

    async def _listen(self, subscribed: asyncio.Event) -> None:
        from redis.exceptions import RedisError

        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(_ITEMS, _TRACKER)
                    if subscribed.is_set():
                        self._listener.missed()
                    subscribed.set()
                    while True:
                        message = await pubsub.get_message(timeout=_REDIS_S)
                        if message is None:
                            # Nothing was said for a while: is it still there?
                            await pubsub.ping()
                        elif message["type"] == "message":
                            self._hear(message["channel"], message["data"])
            except (RedisError, OSError, TimeoutError) as error:
                _log.warning("Redis is not heard: %s", error)
                await asyncio.sleep(_REDIS_AGAIN_S)

    def _hear(self, channel: bytes, data: bytes) -> None:
        if channel == _TRACKER.encode():
            self._listener.announced(data)
            return
        try:
            change = msgspec.msgpack.decode(data, type=tuple[bytes, bytes, float])
        except msgspec.DecodeError:
            _log.warning("something else speaks on our channel of this Redis")
            return
        self._listener.changed(*change)


_REDIS_HINT = "write redis://host:port/number, of a Redis that runs"
