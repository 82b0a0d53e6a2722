"""The node's end of the worker: start it, tell it, hear it, and start it again when it dies."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import msgspec

from p2pchat.errors import Error
from p2pchat.files.commands import (
    Add,
    Command,
    Connect,
    DhtFound,
    DhtNodes,
    DhtStored,
    Made,
    Make,
    Ready,
    Reannounce,
    Recheck,
    Remove,
    Report,
    State,
    Torrent,
    frame,
    read_frame,
)
from p2pchat.files.dht import Dht
from signaling.tasks import owned_tasks

__all__ = ["FileSession"]

_log = logging.getLogger(__name__)
_RESTART_S = 1.0
_RESTART_LONGEST_S = 60.0
_STARTS_MAX = 3
"""After so many starts in a row that failed people are told; trying goes on."""
_CONNECTS_MAX = 16
_STOP_S = 5.0
"""The worker gives itself 3 s to write down what has arrived."""


class FileSession:
    """Use `FileSession.open`. The worker starts with the first torrent, or the DHT.

    `on_change` is called after each report on torrents.
    """

    def __init__(
        self,
        listen: str,
        stun: str,
        on_change: Callable[[], None],
        *,
        rtc: bool,
        upload_rate: int,
        worker: tuple[str, ...],
        restart_s: float,
    ) -> None:
        self._command = (*worker, listen, stun, "1" if rtc else "0", str(upload_rate))
        self._restart_s = restart_s
        self.on_change = on_change
        self._torrents: dict[bytes, Add] = {}
        self._connects: dict[bytes, dict[Connect, None]] = {}
        self._makes: dict[int, asyncio.Future[bytes]] = {}
        self._requests = 0
        self._wanted = asyncio.Event()
        self._started = asyncio.Event()
        self._ready = False
        self._failed_starts = 0
        self._process: asyncio.subprocess.Process | None = None
        self._decoder = msgspec.msgpack.Decoder(Report)
        self.port = 0
        self.dht = Dht(self._send)
        self.torrents: dict[bytes, Torrent] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        listen: str,
        stun: str,
        on_change: Callable[[], None],
        *,
        rtc: bool,
        upload_rate: int = 0,
        worker: tuple[str, ...] = (sys.executable, "-m", "p2pchat.files.worker"),
        restart_s: float = _RESTART_S,
    ) -> AsyncIterator["FileSession"]:
        """`listen`: libtorrent's `listen_interfaces`. `on_change` is called after each report.

        `upload_rate`: bytes/s of all torrents together, 0 = no bound.

        `restart_s`: the first pause after a crash; it doubles with each that follows soon.
        """
        session = cls(
            listen,
            stun,
            on_change,
            rtc=rtc,
            upload_rate=upload_rate,
            worker=worker,
            restart_s=restart_s,
        )
        async with owned_tasks() as tasks:
            tasks.create_task(session._run())
            yield session

    async def make(self, folder: Path, torrent: Path) -> bytes:
        """Hash `folder`/sealed into the file `torrent`; its info-hash.

        Raises Error `transfer-failed`, `files-unavailable`.
        """
        await self.started()
        self._requests += 1
        request = self._requests
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._makes[request] = future
        try:
            self._send(Make(request, str(folder), str(torrent)))
            return await future
        finally:
            self._makes.pop(request, None)

    async def add(
        self, info_hash: bytes, folder: Path, torrent: Path, tracker: str, *, size: int = 0
    ) -> None:
        """Take part in a torrent, also after a restart of the worker.

        `folder` and what is remembered in it are made by this; `size`, where the magnet told it, is
        that of the one file that the torrent may have. Raises Error `files-unavailable`.
        """
        command = Add(info_hash, str(folder), str(torrent), tracker, size)
        self._torrents[info_hash] = command
        await self.started()
        self._send(command)

    def remove(self, info_hash: bytes) -> None:
        self._connects.pop(info_hash, None)
        if self._torrents.pop(info_hash, None) is not None:
            self.torrents.pop(info_hash, None)
            self._send(Remove(info_hash))

    def connect(self, info_hash: bytes, address: str, port: int) -> None:
        """Connect over TCP, also after a restart of the worker. A port that is none is left out."""
        if not 0 < port < 1 << 16:
            return
        command = Connect(info_hash, address, port)
        known = self._connects.setdefault(info_hash, {})
        known.pop(command, None)
        known[command] = None
        if len(known) > _CONNECTS_MAX:
            known.pop(next(iter(known)))
        self._send(command)

    def reannounce(self, info_hash: bytes) -> None:
        self._send(Reannounce(info_hash))

    def recheck(self, info_hash: bytes) -> None:
        """Hash all of it again; what is damaged is fetched anew."""
        self._send(Recheck(info_hash))

    def join_dht(
        self, listen: str, bootstrap: Sequence[tuple[str, int]], state: Path, *, local: bool
    ) -> None:
        """Take part in the DHT from now on (`Dht.join`); `dht` is ready when it is."""
        self._wanted.set()
        self.dht.join(listen, bootstrap, state, local=local)

    async def started(self) -> None:
        """Until the worker listens. Raises Error `files-unavailable`."""
        if find_spec("libtorrent") is None:
            raise _unavailable("libtorrent is not installed for this Python")
        self._wanted.set()
        await self._started.wait()
        if not self._ready and self._failed_starts >= _STARTS_MAX:
            raise _unavailable("the process for files does not start")

    def _send(self, command: Command) -> None:
        # Small and rare, so the pipe's own buffer will do; a dead worker hears all of it anew.
        if self._ready and self._process is not None and self._process.stdin is not None:
            with suppress(ConnectionError, RuntimeError):
                self._process.stdin.write(frame(command))

    async def _run(self) -> None:
        await self._wanted.wait()
        loop = asyncio.get_running_loop()
        pause = self._restart_s
        while True:
            begun = loop.time()
            try:
                await self._live()
            except (OSError, ValueError, msgspec.DecodeError) as error:
                # It could not be started, or talks nonsense: as good as dead either way.
                _log.warning("the process for files: %s", error)
            self._over()
            if loop.time() - begun > _RESTART_LONGEST_S:
                pause = self._restart_s
            _log.warning("the process for files ended; it starts again in %.1f s", pause)
            await asyncio.sleep(pause)
            pause = min(_RESTART_LONGEST_S, pause * 2)

    def _over(self) -> None:
        """The worker is dead: forget what only it knew."""
        self._failed_starts = 0 if self._ready else self._failed_starts + 1
        self._ready = False
        self._process = None
        if self._failed_starts < _STARTS_MAX:
            self._started.clear()
        else:
            self._started.set()
        for future in self._makes.values():
            if not future.done():
                error = Error("transfer-failed", "the process for files crashed", "try it again")
                future.set_exception(error)
        self.dht.lost()
        # Nobody is connected any more, and nothing moves.
        self.torrents = {
            key: msgspec.structs.replace(torrent, rate=0, peers=[])
            for key, torrent in self.torrents.items()
        }
        self.on_change()

    async def _live(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        self._process = process
        try:
            assert process.stdout is not None
            held = bytearray()
            while data := await process.stdout.read(1 << 16):
                held += data
                while (body := read_frame(held)) is not None:
                    self._hear(self._decoder.decode(body))
            await process.wait()
        finally:
            await _end(process)

    def _hear(self, report: Report) -> None:
        match report:
            case Ready(port):
                self.port = port
                self._ready = True
                self._failed_starts = 0
                self._started.set()
                self.dht.started()
                for command in self._torrents.values():
                    self._send(command)
                    for connect in self._connects.get(command.info_hash, ()):
                        self._send(connect)
            case Made(request, info_hash, error):
                future = self._makes.get(request)
                if future is None or future.done():
                    return
                if error:
                    future.set_exception(
                        Error("transfer-failed", f"cannot hash the share: {error}", "try it again")
                    )
                else:
                    future.set_result(info_hash)
            case DhtFound() | DhtStored() | DhtNodes():
                self.dht.hear(report)
            case State(torrents):
                for torrent in torrents:
                    # A report may be on its way while we remove what it is about.
                    if torrent.info_hash in self._torrents:
                        self.torrents[torrent.info_hash] = torrent
                self.on_change()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Let the worker write down what has arrived; it goes when its input ends."""
    if process.returncode is not None:
        return
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(_STOP_S):
            assert process.stdout is not None
            # A full pipe would keep it from going.
            while await process.stdout.read(1 << 16):
                pass
            await process.wait()
    except TimeoutError:
        _log.warning("the process for files did not end in %.0f s", _STOP_S)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _unavailable(why: str) -> Error:
    return Error(
        "files-unavailable",
        f"files are not available: {why}",
        "install p2pchat with CPython 3.11 to 3.13; chat works without",
    )
