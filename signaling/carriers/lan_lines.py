"""Lines on the network: a TCP connection to each neighbour that listens at the nameplate.

    guest  "P2PC" | version u8 | nameplate u16
    host   u8                                   1: somebody listens there, else 0
    both   length u16 | frame …                 in turn

At nameplate 0, which no code has, listens whoever is visible on the network (`knocking`). Shares
port, neighbours and bounds with the LAN carrier, which hands in connections and names.
"""

import asyncio
import logging
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress

from aiohappyeyeballs import start_connection

from signaling.carriers.discovery import Discovery
from signaling.carriers.exchange import write_call
from signaling.carriers.interfaces import socket_address
from signaling.carriers.lines import Talk
from signaling.pairing import FRAME_MAX
from signaling.rate import source_of
from signaling.rendezvous import Rendezvous

__all__ = ["NEARBY", "LanLines", "StreamLine", "connect"]

_log = logging.getLogger(__name__)
NEARBY = 0
"""The nameplate of those who are visible."""
_CONNECT_S = 4.0
_NEXT_S = 0.25
"""Before the next address is tried beside the last."""
_CALL_S = 15.0
Random = Callable[[int], bytes]


class StreamLine:
    """A line over one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def source(self) -> str:
        peer = self._writer.get_extra_info("peername")
        return source_of(str(peer[0])) if peer else ""

    async def send(self, frame: bytes) -> None:
        self._writer.write(struct.pack("!H", len(frame)) + frame)
        await self._writer.drain()

    async def receive(self) -> bytes:
        (length,) = struct.unpack("!H", await self._reader.readexactly(2))
        if not 0 < length <= FRAME_MAX:
            raise ValueError("a frame of a wrong length")
        return await self._reader.readexactly(length)


class _Ear:
    """Somebody of ours who listens at a nameplate."""

    def __init__(self, lines: "LanLines", talk: Talk, seconds: float) -> None:
        self._lines = lines
        self.talk = talk
        self.seconds = seconds

    def close(self) -> None:
        self._lines.drop(self)


class _Call:
    """Somebody of ours who calls a nameplate, at each neighbour."""

    def __init__(self, lines: "LanLines", nameplate: int, talk: Talk, seconds: float) -> None:
        self._lines = lines
        self.nameplate = nameplate
        self.talk = talk
        self.seconds = seconds
        self.pursuits: dict[str, asyncio.Task[None]] = {}
        self.visiting: set[str] = set()

    def close(self) -> None:
        self._lines.end(self)


class LanLines:
    name = "lan"
    nameplates = 99
    """One network, and few who pair on it in one moment."""

    def __init__(self, discovery: Discovery, tasks: asyncio.TaskGroup, random: Random) -> None:
        self._discovery = discovery
        self._tasks = tasks
        self._random = random
        self._names: set[str] = set()
        self._ears: dict[int, _Ear] = {}
        self._calls: list[_Call] = []

    # -- listening -----------------------------------------------------------------------------

    def listen(self, nameplate: int, talk: Talk, seconds: float | None = None) -> _Ear:
        """`seconds`: how long one talk may last."""
        ear = self._ears[nameplate] = _Ear(self, talk, _CALL_S if seconds is None else seconds)
        self._discovery.announce()
        return ear

    def drop(self, ear: _Ear) -> None:
        self._ears = {number: other for number, other in self._ears.items() if other is not ear}

    async def answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: asyncio.Timeout
    ) -> None:
        """A connection whose opening was read; `limit` ends it, and is moved for a talk.

        Raises as streams do, ValueError for rubbish.
        """
        (nameplate,) = struct.unpack("!H", await reader.readexactly(2))
        ear = self._ears.get(nameplate)
        writer.write(b"\1" if ear else b"\0")
        await writer.drain()
        if ear is not None:
            limit.reschedule(asyncio.get_running_loop().time() + ear.seconds)
            await ear.talk(StreamLine(reader, writer))

    # -- calling -------------------------------------------------------------------------------

    def call(self, nameplate: int, talk: Talk, seconds: float | None = None) -> _Call:
        call = _Call(self, nameplate, talk, _CALL_S if seconds is None else seconds)
        self._calls.append(call)
        for name in self._names:
            self._pursue(call, name)
        return call

    def end(self, call: _Call) -> None:
        if call in self._calls:
            self._calls.remove(call)
        for task in call.pursuits.values():
            task.cancel()
        call.pursuits.clear()

    def found(self, name: str) -> None:
        """A neighbour has come."""
        self._names.add(name)
        for call in self._calls:
            self._pursue(call, name)

    def lost(self, name: str) -> None:
        self._names.discard(name)
        for call in self._calls:
            task = call.pursuits.pop(name, None)
            # A line that stands is not cut: who says goodbye may have said the last word on it.
            if task is not None and name not in call.visiting:
                task.cancel()

    def _pursue(self, call: _Call, name: str) -> None:
        pursuit = self._visits(call, name)
        try:
            call.pursuits[name] = self._tasks.create_task(pursuit)
        except RuntimeError:  # the carrier is closing
            pursuit.close()

    async def _visits(self, call: _Call, name: str) -> None:
        loop = asyncio.get_running_loop()
        way = Rendezvous()
        way.found(loop.time())
        while call.pursuits.get(name) is asyncio.current_task():
            if way.due(loop.time()):
                call.visiting.add(name)
                try:
                    async with asyncio.timeout(call.seconds):
                        await self._visit(call, name)
                except (OSError, EOFError, TimeoutError, ValueError) as error:
                    _log.debug("calling neighbour %r: %r", name, error)
                except Exception:  # noqa: BLE001  (a task's edge)
                    _log.exception("calling a neighbour")
                finally:
                    call.visiting.discard(name)
                way.failed(loop.time(), self._random(1)[0] / 256)
                continue
            at = way.next_timer()
            assert at is not None
            await asyncio.sleep(max(0.0, at - loop.time()))

    async def _visit(self, call: _Call, name: str) -> None:
        neighbour = await self._discovery.resolve(name)
        reader, writer = await connect(neighbour.addresses, neighbour.port)
        try:
            await write_call(writer, call.nameplate)
            if await reader.readexactly(1) == b"\1":
                await call.talk(StreamLine(reader, writer))
        finally:
            with suppress(OSError):
                writer.close()


async def connect(
    addresses: Sequence[str], port: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """To the first address that answers (RFC 8305). Raises OSError."""
    if not addresses:
        raise OSError("no address to connect to")
    found = [socket_address(address, port) for address in addresses]
    async with asyncio.timeout(_CONNECT_S):
        connected = await start_connection(found, happy_eyeballs_delay=_NEXT_S)
    return await asyncio.open_connection(sock=connected, limit=65_536)
