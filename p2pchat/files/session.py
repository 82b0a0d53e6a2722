"""The node's end of the worker: start it, tell it, hear it, and start it again when it dies."""

import asyncio
import logging
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import msgspec

from p2pchat.errors import Error
from p2pchat.files.worker import (
    Add,
    Command,
    Connect,
    Made,
    Make,
    Ready,
    Reannounce,
    Remove,
    Report,
    State,
    Torrent,
    read_frame,
)
from signaling.tasks import owned_tasks

__all__ = ["FileSession"]

_log = logging.getLogger(__name__)
_RESTART_S = 1.0
_RESTART_LONGEST_S = 60.0
_encode = msgspec.msgpack.Encoder().encode


class FileSession:
    """Use `FileSession.open`. The worker starts with the first torrent."""

    def __init__(
        self,
        listen: str,
        stun: str,
        on_change: Callable[[], None],
        *,
        rtc: bool,
    ) -> None:
        self._arguments = (listen, stun, "1" if rtc else "0")
        self._on_change = on_change
        self._torrents: dict[bytes, Add] = {}
        self._makes: dict[int, asyncio.Future[bytes]] = {}
        self._wanted = asyncio.Event()
        self._ready = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._decoder = msgspec.msgpack.Decoder(Report)
        self.port = 0
        self.torrents: dict[bytes, Torrent] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls, listen: str, stun: str, on_change: Callable[[], None], *, rtc: bool
    ) -> AsyncIterator["FileSession"]:
        """`listen`: libtorrent's `listen_interfaces`. `on_change` is called after each report."""
        session = cls(listen, stun, on_change, rtc=rtc)
        async with owned_tasks() as tasks:
            tasks.create_task(session._run())
            yield session

    async def make(self, folder: Path, torrent: Path) -> bytes:
        """Hash `folder`/sealed into the file `torrent`; its info-hash.

        Raises Error `transfer-failed`, `files-unavailable`.
        """
        await self.started()
        request = max(self._makes, default=0) + 1
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._makes[request] = future
        try:
            self._send(Make(request, str(folder), str(torrent)))
            return await future
        finally:
            self._makes.pop(request, None)

    async def add(self, info_hash: bytes, folder: Path, torrent: Path, tracker: str) -> None:
        """Take part in a torrent, also after a restart of the worker."""
        command = Add(info_hash, str(folder), str(torrent), tracker)
        self._torrents[info_hash] = command
        await self.started()
        self._send(command)

    def remove(self, info_hash: bytes) -> None:
        if self._torrents.pop(info_hash, None) is not None:
            self.torrents.pop(info_hash, None)
            self._send(Remove(info_hash))

    def connect(self, info_hash: bytes, address: str, port: int) -> None:
        self._send(Connect(info_hash, address, port))

    def reannounce(self, info_hash: bytes) -> None:
        self._send(Reannounce(info_hash))

    async def started(self) -> None:
        """Until the worker listens. Raises Error `files-unavailable`."""
        if find_spec("libtorrent") is None:
            raise Error(
                "files-unavailable",
                "files need libtorrent, which is not installed for this Python",
                "install p2pchat with CPython 3.11 to 3.13; chat works without",
            )
        self._wanted.set()
        await self._ready.wait()

    def _send(self, command: Command) -> None:
        # Small and rare, so the pipe's own buffer will do; a dead worker hears all of it anew.
        if self._process is not None and self._process.stdin is not None:
            data = _encode(command)
            with suppress(ConnectionError, RuntimeError):
                self._process.stdin.write(struct.pack("!I", len(data)) + data)

    async def _run(self) -> None:
        await self._wanted.wait()
        pause = _RESTART_S
        while True:
            started = asyncio.get_running_loop().time()
            await self._live()
            self._ready.clear()
            self._process = None
            for future in self._makes.values():
                if not future.done():
                    future.set_exception(
                        Error("transfer-failed", "the file process crashed", "try it again")
                    )
            if asyncio.get_running_loop().time() - started > _RESTART_LONGEST_S:
                pause = _RESTART_S
            _log.warning("the file process ended; it starts again in %.0f s", pause)
            await asyncio.sleep(pause)
            pause = min(_RESTART_LONGEST_S, pause * 2)

    async def _live(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "p2pchat.files.worker",
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._process = process
        try:
            assert process.stdout is not None
            held = bytearray()
            while data := await process.stdout.read(1 << 16):
                held += data
                while (frame := read_frame(held)) is not None:
                    self._hear(self._decoder.decode(frame))
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def _hear(self, report: Report) -> None:
        match report:
            case Ready(port):
                self.port = port
                self._ready.set()
                for command in self._torrents.values():
                    self._send(command)
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
            case State(torrents):
                self.torrents = {torrent.info_hash: torrent for torrent in torrents}
                self._on_change()
