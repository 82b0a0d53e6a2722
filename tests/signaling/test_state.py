"""Where items lie: all three kinds do the same, and each what it alone promises."""

import asyncio
import os
import shutil
import socket
import sqlite3
import stat
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from pathlib import Path

import pytest

from signaling.mailbox import BOX_MAX, Drop, Keep
from signaling.server.state import (
    Listener,
    SqliteState,
    State,
    StateDown,
    StateUnusable,
    open_state,
)

NAME, OTHER = os.urandom(16), os.urandom(16)

needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None or find_spec("redis") is None,
    reason="needs redis-server and the Python package redis",
)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """A Redis of our own, on a Unix socket."""
    where = tmp_path / "r"
    with subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", str(where), "--save", ""],
        stdout=subprocess.DEVNULL,
    ) as process:
        with socket.socket(socket.AF_UNIX) as trial:
            # It stands before it listens.
            while trial.connect_ex(str(where)) != 0:
                time.sleep(0.01)
        yield f"unix://{where}"
        process.kill()


class Ear:
    """Hears what a state tells, and lets a test wait for it."""

    def __init__(self) -> None:
        self.changes: asyncio.Queue[tuple[bytes, bytes, bool]] = asyncio.Queue()
        self.announced: asyncio.Queue[bytes] = asyncio.Queue()
        self.missed = asyncio.Event()

    def open(self, where: str, items_max: int = 100) -> AbstractAsyncContextManager[State]:
        listener = Listener(
            lambda name, data, expires: self.changes.put_nowait((name, data, expires > 0)),
            self.missed.set,
            self.announced.put_nowait,
        )
        return open_state(where, listener, time.time, items_max)


@pytest.fixture(params=["memory", "file", pytest.param("redis", marks=needs_redis)])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    match request.param:
        case "file":
            return str(tmp_path / "signal.db")
        case "redis":
            url: str = request.getfixturevalue("redis")
            return url
    return ""


@pytest.fixture
async def opened(where: str) -> AsyncIterator[tuple[Ear, State]]:
    ear = Ear()
    async with asyncio.timeout(20), ear.open(where) as state:
        yield ear, state


async def test_what_is_kept_is_there_and_told_until_it_is_dropped(
    opened: tuple[Ear, State],
) -> None:
    ear, state = opened
    await state.check()
    expires = time.time() + 60
    await state.apply([Keep(NAME, b"one", expires), Keep(NAME, b"two", expires + 1)])
    assert await ear.changes.get() == (NAME, b"one", True)
    assert await ear.changes.get() == (NAME, b"two", True)
    assert await state.items(NAME) == [
        (b"one", pytest.approx(expires)),
        (b"two", pytest.approx(expires + 1)),
    ]
    assert await state.items(OTHER) == []
    await state.apply([Drop(NAME, b"one")])
    assert await ear.changes.get() == (NAME, b"one", False)
    assert [data for data, _ in await state.items(NAME)] == [b"two"]


async def test_what_is_over_is_not_there(opened: tuple[Ear, State]) -> None:
    _, state = opened
    await state.apply([Keep(NAME, b"x", time.time() + 0.05), Keep(NAME, b"y", time.time() + 60)])
    await asyncio.sleep(0.1)
    assert [data for data, _ in await state.items(NAME)] == [b"y"]


async def test_a_name_holds_so_many(opened: tuple[Ear, State]) -> None:
    _, state = opened
    now = time.time()
    await state.apply([Keep(NAME, bytes((n,)), now + 60 + n) for n in range(3 * BOX_MAX)])
    assert len(await state.items(NAME)) == BOX_MAX


async def test_a_file_outlives_the_process_and_is_its_owners_alone(tmp_path: Path) -> None:
    path, expires = tmp_path / "signal.db", time.time() + 60
    async with Ear().open(str(path)) as state:
        await state.apply([Keep(NAME, b"x", expires), Keep(OTHER, b"y", expires)])
        await state.apply([Drop(OTHER, b"y"), Keep(OTHER, b"over", time.time() - 1)])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with Ear().open(str(path)) as state:
        assert await state.items(NAME) == [(b"x", expires)]
        assert await state.items(OTHER) == []
        assert state.figures()["items"] == 1


async def test_a_file_is_for_one_process_and_has_to_be_a_state(tmp_path: Path) -> None:
    path = tmp_path / "signal.db"
    async with Ear().open(str(path)):
        with pytest.raises(StateUnusable, match="another process"):
            async with Ear().open(str(path)):
                pass
    (tmp_path / "text").write_text("no database, but long enough to look like none" * 50)
    with pytest.raises(StateUnusable, match="cannot use"):
        async with Ear().open(str(tmp_path / "text")):
            pass


async def test_a_disk_that_fails_is_told_and_memory_serves_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "signal.db")
    with monkeypatch.context() as patch:
        async with asyncio.timeout(20), Ear().open(path) as state:

            def fail(self: object, changes: object) -> None:
                raise sqlite3.OperationalError("disk I/O error")

            patch.setattr(SqliteState, "_store", fail)
            await state.apply([Keep(NAME, b"x", time.time() + 60)])
            while True:
                try:
                    await state.check()
                except StateDown:
                    break
                await asyncio.sleep(0.01)
            assert await state.items(NAME)
            patch.undo()
            # What could not be written is written when the disk is back.
            while True:
                try:
                    await state.check()
                    break
                except StateDown:
                    await asyncio.sleep(0.05)
    async with Ear().open(path) as state:
        assert await state.items(NAME)


async def test_memory_is_bounded() -> None:
    async with Ear().open("", items_max=5) as state:
        for _ in range(50):
            await state.apply([Keep(os.urandom(16), b"x", time.time() + 60)])
        assert state.figures() == {"items": 5, "items_evicted_total": 45}


@needs_redis
async def test_several_instances_on_one_redis_hear_each_other(redis: str) -> None:
    one, two = Ear(), Ear()
    async with asyncio.timeout(20), one.open(redis) as here, two.open(redis) as there:
        assert here.shared
        await here.apply([Keep(NAME, b"x", time.time() + 60)])
        assert await two.changes.get() == (NAME, b"x", True)
        assert await there.items(NAME)
        await here.announce(b"seat")
        assert await two.announced.get() == b"seat"


@needs_redis
async def test_a_redis_that_goes_away_is_told(redis: str) -> None:
    ear = Ear()
    async with asyncio.timeout(30), ear.open(redis) as state:
        subprocess.run(
            ["redis-cli", "-s", redis.removeprefix("unix://"), "shutdown", "nosave"], check=False
        )
        with pytest.raises(StateDown):
            await state.check()
        with pytest.raises(StateDown):
            await state.apply([Keep(NAME, b"x", time.time() + 60)])
        with pytest.raises(StateDown):
            await state.items(NAME)


async def test_a_redis_that_is_not_there_is_no_state(tmp_path: Path) -> None:
    for where in (f"unix://{tmp_path}/none", "redis://127.0.0.1:1"):
        with pytest.raises(StateUnusable, match=r"Redis|redis"):
            async with Ear().open(where):
                pass
