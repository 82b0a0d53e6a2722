"""Two sessions with real workers on loopback (TCP), and workers that fail."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from p2pchat.errors import Error
from p2pchat.files.commands import Connect, Torrent
from p2pchat.files.session import FileSession

_WAIT_S = 30


class _End:
    """A session whose changes can be waited for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.changed = asyncio.Event()
        self.session: FileSession

    async def until(
        self, info_hash: bytes, holds: Callable[[Torrent], bool], wait_s: float = _WAIT_S
    ) -> Torrent:
        async with asyncio.timeout(wait_s):
            while True:
                torrent = self.session.torrents.get(info_hash)
                if torrent is not None and holds(torrent):
                    return torrent
                self.changed.clear()
                await self.changed.wait()

    async def seed(self, size: int) -> bytes:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "sealed").write_bytes(os.urandom(size))
        info_hash = await self.session.make(self.folder, self.folder / "torrent")
        await self.take_part(info_hash)
        await self.until(info_hash, lambda torrent: torrent.state == "seeding")
        return info_hash

    async def take_part(self, info_hash: bytes, size: int = 0) -> None:
        self.folder.mkdir(exist_ok=True)
        await self.session.add(info_hash, self.folder, self.folder / "torrent", "", size=size)


@asynccontextmanager
async def _end(folder: Path, upload_rate: int = 0) -> AsyncIterator[_End]:
    end = _End(folder)
    async with FileSession.open(
        "127.0.0.1:0", "", end.changed.set, rtc=False, restart_s=0.05, upload_rate=upload_rate
    ) as session:
        end.session = session
        yield end


def _seeding(torrent: Torrent) -> bool:
    return torrent.state == "seeding"


async def test_a_share_crosses_by_tcp_with_nothing_but_its_info_hash(tmp_path: Path) -> None:
    async with _end(tmp_path / "a") as seed, _end(tmp_path / "b") as fetch:
        size = 20_000_000
        info_hash = await seed.seed(size)
        begun = time.monotonic()
        await fetch.take_part(info_hash, size)
        fetch.session.connect(info_hash, "127.0.0.1", seed.session.port)
        transports: set[str] = set()

        def done(torrent: Torrent) -> bool:
            transports.update(peer.transport for peer in torrent.peers)
            return _seeding(torrent)

        torrent = await fetch.until(info_hash, done)
        assert (torrent.done, torrent.total, torrent.error) == (size, size, "")
        assert transports <= {"tcp"}
        assert (tmp_path / "b/sealed").read_bytes() == (tmp_path / "a/sealed").read_bytes()
        print(f"{size / 1e6 / (time.monotonic() - begun):.0f} MB/s from the first command on")


async def test_what_is_sent_is_bounded_for_peers_nearby_too(tmp_path: Path) -> None:
    rate = 4_000_000
    async with _end(tmp_path / "a", rate) as seed, _end(tmp_path / "b") as fetch:
        size = 2 * rate
        info_hash = await seed.seed(size)
        await fetch.take_part(info_hash, size)
        fetch.session.connect(info_hash, "127.0.0.1", seed.session.port)
        await fetch.until(info_hash, lambda torrent: torrent.done > 0)
        begun = time.monotonic()
        await fetch.until(info_hash, _seeding)
        # Without a bound it takes a tenth of a second; some may have come before the first report.
        assert time.monotonic() - begun > 1


async def test_a_killed_worker_is_started_again_and_the_transfer_ends(tmp_path: Path) -> None:
    async with _end(tmp_path / "a", 8_000_000) as seed, _end(tmp_path / "b") as fetch:
        size = 16_000_000
        info_hash = await seed.seed(size)
        await fetch.take_part(info_hash)
        fetch.session.connect(info_hash, "127.0.0.1", seed.session.port)
        torrent = await fetch.until(info_hash, lambda torrent: torrent.done > 0)
        assert torrent.done < size
        process = fetch.session._process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        await fetch.until(info_hash, _seeding)
        assert fetch.session._process is not process
        assert (tmp_path / "b/sealed").read_bytes() == (tmp_path / "a/sealed").read_bytes()


async def test_a_transfer_goes_on_where_it_was_after_a_restart_of_the_node(tmp_path: Path) -> None:
    async with _end(tmp_path / "a") as seed:
        info_hash = await seed.seed(2_000_000)
        async with _end(tmp_path / "b") as fetch:
            await fetch.take_part(info_hash)
            fetch.session.connect(info_hash, "127.0.0.1", seed.session.port)
            await fetch.until(info_hash, _seeding)
    assert (tmp_path / "b/resume").exists()
    async with _end(tmp_path / "b") as again:
        await again.take_part(info_hash)
        # Nobody is there to fetch it from.
        await again.until(info_hash, _seeding)


@pytest.mark.parametrize("name", ["resume", "torrent"])
async def test_damage_to_what_is_remembered_costs_no_more_than_a_check(
    tmp_path: Path, name: str
) -> None:
    async with _end(tmp_path / "a") as seed:
        info_hash = await seed.seed(2_000_000)
    (tmp_path / "a" / name).write_bytes(b"d8:nonsense")
    if name == "torrent":
        # Without the .torrent file and resume data only others could tell the metadata.
        assert (tmp_path / "a/resume").exists()
    async with _end(tmp_path / "a") as seed:
        await seed.take_part(info_hash)
        await seed.until(info_hash, _seeding)


async def test_content_changed_behind_our_back_is_not_taken_for_whole(tmp_path: Path) -> None:
    async with _end(tmp_path / "a") as seed:
        info_hash = await seed.seed(2_000_000)
    with (tmp_path / "a/sealed").open("r+b") as file:
        file.write(bytes(100))
    async with _end(tmp_path / "a") as seed:
        await seed.take_part(info_hash)
        torrent = await seed.until(info_hash, lambda torrent: torrent.state != "checking", 5)
        assert 0 < torrent.done < 2_000_000


async def test_a_torrent_that_is_no_sealed_share_is_stopped(tmp_path: Path) -> None:
    async with _end(tmp_path / "a") as seed, _end(tmp_path / "b") as fetch:
        info_hash = await seed.seed(2_000_000)
        # Its magnet promised another size.
        await fetch.take_part(info_hash, 1_999_999)
        fetch.session.connect(info_hash, "127.0.0.1", seed.session.port)
        torrent = await fetch.until(info_hash, lambda torrent: bool(torrent.error))
        assert "sealed share" in torrent.error
        assert torrent.state != "seeding"


async def test_bad_commands_end_no_worker(tmp_path: Path) -> None:
    async with _end(tmp_path / "a") as seed:
        info_hash = await seed.seed(100_000)
        process = seed.session._process
        seed.session.connect(info_hash, "no address", 1)
        seed.session.connect(info_hash, "127.0.0.1", 99_999_999)
        # As if that had not been checked: the worker has to bear it by itself.
        seed.session._send(Connect(info_hash, "127.0.0.1", 99_999_999))
        seed.session.reannounce(b"unknown")
        with pytest.raises(Error) as raised:
            await seed.session.make(tmp_path / "nothing", tmp_path / "torrent")
        assert raised.value.code == "transfer-failed"
        assert seed.session._process is process


async def test_a_removed_torrent_stays_away(tmp_path: Path) -> None:
    async with _end(tmp_path / "a") as seed:
        info_hash = await seed.seed(100_000)
        seed.session.remove(info_hash)
        # The worker answers in order, so its reports from before are through then.
        await seed.session.make(seed.folder, seed.folder / "other")
        assert seed.session.torrents == {}


async def test_a_worker_that_never_starts_is_an_error_and_no_endless_wait() -> None:
    async with FileSession.open(
        "", "", lambda: None, rtc=False, worker=(sys.executable, "-c", "exit(1)"), restart_s=0.01
    ) as session:
        async with asyncio.timeout(_WAIT_S):
            with pytest.raises(Error) as raised:
                await session.started()
        assert raised.value.code == "files-unavailable"


async def test_a_worker_that_talks_nonsense_is_as_good_as_dead() -> None:
    nonsense = (sys.executable, "-c", "print('x' * 100, flush=True); input()")
    async with FileSession.open(
        "", "", lambda: None, rtc=False, worker=nonsense, restart_s=0.01
    ) as session:
        async with asyncio.timeout(_WAIT_S):
            with pytest.raises(Error):
                await session.started()


async def test_no_worker_outlives_its_session(tmp_path: Path) -> None:
    async with _end(tmp_path / "a") as seed:
        await seed.session.started()
        process = seed.session._process
        assert process is not None
    assert process.returncode == 0
