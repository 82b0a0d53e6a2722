"""p2pchat-signal under load: exchanges/s, memory with 10,000 clients waiting, announces/s.

    python tests/bench/signalling.py [--quick] [--reference FOLDER] [PART ...]

The server is a process of its own, as a user starts it; its bounds are in force, so the clients
come from many addresses of 127.0.0.0/8. The reference for announces is the npm package
bittorrent-tracker: FOLDER has it in node_modules (`npm install --ignore-scripts
bittorrent-tracker`). Parts: exchanges, waiting, announces.

Not signal.py: a folder with a module of that name hides the standard library's from scripts in it.
"""

import argparse
import asyncio
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from signaling import mailbox
from signaling.mailbox import Item, Operation, Put, Watch
from tests.harness.signal import signal_server

_EACH = 50
_OFFERS = 5
_SDP = (
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n"
    + "a=candidate:1 1 UDP 2130706431 192.168.1.5 50000 typ host\r\n" * 4
    + "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 "
    + "AA:" * 31
    + "AA\r\na=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\n"
)
_SERVE = """
import Server from 'bittorrent-tracker/server'
const server = new Server({ udp: false, http: true, ws: true, stats: false })
server.on('error', error => { throw error })
server.listen(Number(process.argv[1]), '127.0.0.1', () => console.log('listening'))
"""


def row(what: str, ours: str, reference: str = "") -> None:
    print(f"{what:<46} {ours:>16}   {reference}", flush=True)


class Socket:
    """As little of a WebSocket client as will do, so that the server is what is measured."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, url: str, path: str, number: int) -> "Socket":
        host, port = url.removeprefix("http://").split(":")
        source = f"127.{1 + number // _EACH // 250 % 250}.{number // _EACH % 250}.2"
        reader, writer = await asyncio.open_connection(
            host, int(port), local_addr=(source, 0), limit=1 << 16
        )
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head, head
        return cls(reader, writer)

    def write(self, payload: bytes, opcode: int = 2) -> None:
        size = len(payload)
        if size < 126:
            head = bytes((0x80 | opcode, 0x80 | size))
        elif size < 1 << 16:
            head = bytes((0x80 | opcode, 0x80 | 126)) + struct.pack("!H", size)
        else:
            head = bytes((0x80 | opcode, 0x80 | 127)) + struct.pack("!Q", size)
        # A mask of zeros leaves the payload as it is.
        self._writer.write(head + bytes(4) + payload)

    async def read(self) -> bytes:
        while True:
            opcode, size = await self._reader.readexactly(2)
            if size == 126:
                (size,) = struct.unpack("!H", await self._reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", await self._reader.readexactly(8))
            payload = await self._reader.readexactly(size)
            if opcode & 15 in (1, 2):
                return payload
            if opcode & 15 == 9:
                self.write(payload, 10)
            assert opcode & 15 != 8, f"closed: {payload!r}"

    def say(self, *operations: Operation) -> None:
        self.write(mailbox.encode(operations))

    async def hear(self) -> list[Item]:
        return mailbox.decode_items(await self.read())

    def close(self) -> None:
        self._writer.transport.abort()


def metric(url: str, name: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(f"p2pchat_signal_{name} "):
                return float(line.rpartition(" ")[2])
    raise KeyError(name)


# -- exchanges -------------------------------------------------------------------------------------


async def _pair(url: str, number: int, rounds: int, trips: list[float]) -> None:
    """Offers left and answered, one after the other, as two carriers do it."""
    seeker = await Socket.open(url, "/mailbox", number)
    server = await Socket.open(url, "/mailbox", number)
    offers, envelope = os.urandom(16), os.urandom(450)
    server.say(Watch(offers))

    async def answer() -> None:
        left = rounds
        while left:
            # An offer that was taken back is told as well, with no time left.
            for item in await server.hear():
                if item.ttl_s:
                    left -= 1
                    server.say(Put(item.data[:16], 60, False, envelope))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(answer())
        for _ in range(rounds):
            began = time.perf_counter()
            back = os.urandom(16)
            offer = Put(offers, 60, True, back + envelope)
            seeker.say(Watch(back), offer)
            await seeker.hear()
            seeker.say(mailbox.Unwatch(back), Put(offers, 0, False, offer.data))
            trips.append(time.perf_counter() - began)
    seeker.close()
    server.close()


async def exchanges(*, quick: bool) -> None:
    pairs, rounds = 200, 10 if quick else 100
    for state in ("", "file"):
        arguments = []
        if state:
            path = Path("/tmp") / f"signal-{os.getpid()}.db"
            arguments = ["--state", str(path)]
        with signal_server(*arguments, "--clients-each", "200") as url:
            trips: list[float] = []
            await _pair(url, 0, 10, [])
            began = time.perf_counter()
            async with asyncio.TaskGroup() as tasks:
                for number in range(pairs):
                    # 20 operations/s a source: 4 pairs of one address stay below its bounds.
                    tasks.create_task(_pair(url, number * _EACH, rounds, trips))
            took = time.perf_counter() - began
            one: list[float] = []
            await _pair(url, 10_000, 50, one)
        if state:
            for file in path.parent.glob(path.name + "*"):
                file.unlink()
        where = "file" if state else "memory"
        row(
            f"exchanges, {pairs} pairs at once ({where})",
            f"{len(trips) / took:,.0f}/s",
            "offer put, heard, answer put, heard, offer taken back",
        )
        row("  one pair alone, median", f"{sorted(one)[len(one) // 2] * 1_000:.2f} ms")


# -- waiting ---------------------------------------------------------------------------------------


async def waiting(*, quick: bool) -> None:
    clients = 1_000 if quick else 10_000
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    clients = min(clients, limit - 500)
    with signal_server() as url:
        empty = await asyncio.to_thread(metric, url, "resident_memory_bytes")
        began = time.perf_counter()
        sockets = []
        for first in range(0, clients, 100):
            sockets += await asyncio.gather(
                *(Socket.open(url, "/mailbox", n) for n in range(first, first + 100))
            )
            for socket in sockets[-100:]:
                # One contact that it serves, one that it seeks.
                socket.say(
                    Watch(os.urandom(16)),
                    Put(os.urandom(16), 600, True, os.urandom(44)),
                    Watch(os.urandom(16)),
                )
        while await asyncio.to_thread(metric, url, "mailbox_items") < clients:
            await asyncio.sleep(0.1)
        took = time.perf_counter() - began
        full = await asyncio.to_thread(metric, url, "resident_memory_bytes")
        row(f"{clients:,} clients come, watch and greet", f"{took:.1f} s")
        row(
            "memory of the server then",
            f"{full / 1e6:.0f} MB",
            f"{empty / 1e6:.0f} MB empty; {(full - empty) / clients / 1e3:.1f} kB a client",
        )
        trips: list[float] = []
        await _pair(url, 20_000, 200, trips)
        row("one exchange among them, median", f"{sorted(trips)[100] * 1_000:.2f} ms")
        for socket in sockets:
            socket.close()


# -- announces -------------------------------------------------------------------------------------


def _announce(swarm: int, client: int) -> bytes:
    offers = [
        {"offer": {"type": "offer", "sdp": _SDP}, "offer_id": f"{client:010}{n:010}"}
        for n in range(_OFFERS)
    ]
    fields = {
        "action": "announce",
        "info_hash": f"{swarm:020}",
        "peer_id": f"{client:020}",
        "numwant": _OFFERS,
        "uploaded": 0,
        "downloaded": 0,
        "left": 1_000,
        "offers": offers,
    }
    return json.dumps(fields).encode()


async def _announces(url: str, path: str, clients: int, rounds: int) -> float:
    """Announces/s, each with offers that are handed on; 20 clients to a swarm."""
    sockets = [await Socket.open(url, path, number * _EACH) for number in range(clients)]

    async def client(number: int) -> None:
        message = _announce(number // 20, number)
        for _ in range(rounds):
            sockets[number].write(message, 1)
            # Its own answer has the interval; what else comes is offers of others.
            while b'"interval"' not in await sockets[number].read():
                pass

    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(clients):
            tasks.create_task(client(number))
    took = time.perf_counter() - began
    for socket in sockets:
        socket.close()
    return clients * rounds / took


@contextmanager
def _reference(folder: Path) -> Iterator[str]:
    port = 18_080
    process = subprocess.Popen(
        ["node", "--input-type=module", "-e", _SERVE, str(port)],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def _cpu_s() -> float:
    """Of the servers that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def announces(folder: Path | None, *, quick: bool) -> None:
    clients, rounds = 200, 10 if quick else 100
    before = _cpu_s()
    with signal_server() as url:
        ours = await _announces(url, "/announce", clients, rounds)
    cpu = (_cpu_s() - before) / clients / rounds
    reference = reference_cpu = "bittorrent-tracker: not there (--reference FOLDER)"
    if folder is not None and shutil.which("node"):
        before = _cpu_s()
        with _reference(folder) as url:
            theirs = await _announces(url, "/", clients, rounds)
        their_cpu = (_cpu_s() - before) / clients / rounds
        reference = f"{theirs:,.0f}/s bittorrent-tracker (Node); ratio {ours / theirs:.2f}"
        reference_cpu = f"{their_cpu * 1e6:.0f} us bittorrent-tracker; ratio {cpu / their_cpu:.2f}"
    row(f"announces with {_OFFERS} offers, {clients} clients", f"{ours:,.0f}/s", reference)
    row("  CPU of the server for one, start included", f"{cpu * 1e6:.0f} us", reference_cpu)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--reference", type=Path)
    parser.add_argument("parts", nargs="*", default=["exchanges", "waiting", "announces"])
    options = parser.parse_args()
    for part in options.parts:
        match part:
            case "exchanges":
                await exchanges(quick=options.quick)
            case "waiting":
                await waiting(quick=options.quick)
            case "announces":
                await announces(options.reference, quick=options.quick)
            case _:
                parser.error(f"no part {part}")


if __name__ == "__main__":
    asyncio.run(main())
