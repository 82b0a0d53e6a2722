"""The journal and its resync: each figure beside its reference of the same run.

    python tests/bench/journal.py [--quick] [PART ...]

The two ends are processes of their own, on loopback; raw aiortc is measured between two processes
as well. On two cores that leaves one for each. Parts: resync, backlog, sending, trips,
large.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import os
import random
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from nacl.signing import SigningKey

from p2pchat import Node
from p2pchat.config import load
from p2pchat.core.chain import Chains
from p2pchat.core.entry import DEVICE, MESSAGE, Entry, MessageBody
from p2pchat.core.facts import Append
from p2pchat.core.identity import Identity, direct_room
from p2pchat.core.timeline import Node as Place
from p2pchat.core.timeline import Timeline
from p2pchat.net import aiortc_compat
from p2pchat.net.link import Link
from p2pchat.store import contacts, journal
from p2pchat.store.database import Connection

_SETTINGS = ('net.interfaces=["lo"]', "net.stun=[]", "dht.enabled=false")
_AUTHORS = 10
_BATCH = 1_000
_WORDS = [f"{number:x}word"[:7] for number in range(1, 20_000, 4)]
_LANES = 64
_WAIT_S = 300.0
_LINE_MAX = 1 << 20
_MESSAGE = 16_384
_LARGE = 32_000
_BUFFERED = 1 << 20
_FRAMES = {16: "Summary", 17: "Heads", 18: "Want", 19: "Run", 20: "Have", 22: "Level"}


def row(what: str, ours: str, reference: str, target: str = "") -> None:
    print(f"{what:<42} {ours:>18}   {reference:<38} {target}", flush=True)


def _rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _text(chance: random.Random, size: int = 200) -> str:
    """So many bytes of words, as an index of them would meet."""
    return " ".join(chance.choices(_WORDS, k=size // 5))[:size].strip().ljust(size, ".")


async def _until(reached: Callable[[], bool]) -> float:
    """When it came to be, by a clock that all processes share."""
    async with asyncio.timeout(_WAIT_S):
        while not reached():
            await asyncio.sleep(0.005)
    return time.monotonic()


# -- one end, in a process of its own --------------------------------------------------------------


class NodeEnd:
    """A home; what the other process may ask of it."""

    def __init__(self, home: str) -> None:
        self._home = Path(home)
        self._open = AsyncExitStack()
        self._node: Node
        self._trace: list[tuple[str, str, int]] = []

    async def close(self) -> None:
        await self._open.aclose()

    async def open(self, *, online: bool) -> float:
        """Seconds that it took."""
        started = time.perf_counter()
        config = load(None, {}, _SETTINGS)
        opening = Node.open(self._home, config=config, name=self._home.name, online=online)
        self._node = await self._open.enter_async_context(opening)
        gc.freeze()  # as `api.attach.host` does for every command
        return time.perf_counter() - started

    async def shown(self, last: int) -> float:
        """Seconds that the newest messages took."""
        room = await self._room()
        started = time.perf_counter()
        assert len([message async for message in room.history(last=last)]) == last
        return time.perf_counter() - started

    async def searched(self, word: str) -> float:
        """Seconds that the newest messages with a word took."""
        room = await self._room()
        started = time.perf_counter()
        assert [message async for message in room.history(last=50, search=word)]
        return time.perf_counter() - started

    async def found(self) -> float:
        """Seconds that the newest message took to be found by its whole id."""
        room = await self._room()
        (newest,) = [message async for message in room.history(last=1)]
        started = time.perf_counter()
        await self._node._parts.rooms.find(room.key, newest.id)
        return time.perf_counter() - started

    async def placed(self) -> tuple[float, float]:
        """Seconds to place one entry at the end; and one that answers another far back, late."""
        room = await self._room()

        def one(tx: Connection, causes: tuple[bytes, ...], time_: int) -> float:
            # As after a start: what the writer remembers is no part of it.
            tx.memory.clear()
            new = Place(os.urandom(32), time_, causes, room=room.key)
            started = time.perf_counter()
            journal.place(tx, Timeline(journal.Web(tx, room.key, {new.id})).insert([new]))
            return time.perf_counter() - started

        def work(tx: Connection) -> tuple[float, float]:
            heads = journal.heads(tx, room.key)
            newest = max(head.time for head in heads)
            back = journal.numbered(tx, range(1_000 - 40, 1_000))
            tx.execute("SAVEPOINT trial")
            ending = [
                one(tx, tuple(head.id for head in heads[:4]), newest + at) for at in range(1, 40)
            ]
            late = [one(tx, (entry.id,), entry.header.time - (1 << 32)) for entry in back]
            tx.execute("ROLLBACK TO trial")
            tx.execute("RELEASE trial")
            tx.memory.clear()
            return statistics.median(ending), statistics.median(late)

        return await self._node._parts.database.write(work)

    async def decrypted(self) -> float:
        """Seconds to decrypt all, by the same thread that took them in."""
        room = await self._room()
        (chains,) = self._node._parts.rooms.all()
        taken, number = 0.0, 0
        while rows := await self._node._parts.database.read(
            partial(journal.after, number=number, kinds=(MESSAGE,), count=_BATCH)
        ):
            number = rows[-1][0]
            started = time.perf_counter()
            for _, entry in rows:
                assert entry.header.room == room.key
                assert isinstance(chains.read(entry), MessageBody)
            taken += time.perf_counter() - started
        return taken

    async def cpu(self) -> float:
        """Seconds of processor time that this process has taken; others' load leaves it alone."""
        return time.process_time()

    async def rss(self) -> float:
        return _rss_mb()

    async def level(self, entries: int) -> tuple[float, float]:
        """When the link stood, and when all entries were here and nothing differed."""
        linked = await _until(lambda: bool(self._node.online()))
        (chains,) = self._node._parts.rooms.all()
        await _until(lambda: chains.total >= entries and self._in_sync())
        # In memory; on disk a moment later.
        while await self._node._parts.database.write(journal.count) < entries:
            await asyncio.sleep(0.002)
        return linked, time.monotonic()

    def _in_sync(self) -> bool:
        return all(state.state == "in-sync" for state in self._node.sync_rows())

    async def total(self) -> int:
        (chains,) = self._node._parts.rooms.all()
        return chains.total

    async def send(self, count: int, lanes: int) -> float:
        """Messages a second, until the other end has acknowledged them all."""
        room, numbers, chance = await self._room(), iter(range(count)), random.Random(count)
        (chains,) = self._node._parts.rooms.all()
        await _until(lambda: bool(self._node.online()) and self._in_sync())
        started = time.monotonic()

        async def lane() -> None:
            for _ in numbers:
                await room.send(_text(chance))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(lanes):
                tasks.create_task(lane())
        own = self._node._parts.rooms.own_chain(room.key)

        def acknowledged() -> bool:
            # A link that broke has been followed by another, which knows anew what is there.
            sessions = self._node.online_parts.peers.sessions()
            return any(
                session.reconcile.peer_seq(room.key, own) >= chains.seq(own) for session in sessions
            )

        ended = await _until(acknowledged)
        return count / (ended - started)

    async def trips(self, count: int) -> float:
        """Written and committed here, committed there, and the acknowledgement back: ms."""
        room, taken, chance = await self._room(), [], random.Random(count)
        await _until(lambda: bool(self._node.online()) and self._in_sync())
        for text in [_text(chance) for _ in range(count)]:
            started = time.perf_counter()
            message = await room.send(text)
            assert [one async for one in room.delivered(message.id, timeout=10)]
            taken.append((time.perf_counter() - started) * 1000)
        return statistics.median(taken)

    async def meanwhile(self) -> list[float]:
        """Write a message each 200 ms until the other end has all: ms to its acknowledgement."""
        await _until(lambda: bool(self._node.online()))
        room, taken, chance = await self._room(), [], random.Random(1)
        while True:
            started = time.perf_counter()
            message = await room.send(_text(chance))
            async for _ in room.delivered(message.id, timeout=60):
                break
            taken.append((time.perf_counter() - started) * 1000)
            if all(one.ahead == 0 for one in self._node.sync_rows()):
                return taken
            await asyncio.sleep(0.2)

    async def trace(self) -> None:
        """From now on, note what goes over links."""
        said, heard, note = Link.send, Link._deliver, self._note

        async def send(link: Link, frame: bytes, *, bulk: bool = False) -> None:
            note("out", frame)
            await said(link, frame, bulk=bulk)

        def deliver(link: Link, frame: bytes) -> None:
            note("in", frame)
            heard(link, frame)

        Link.send, Link._deliver = send, deliver  # type: ignore[method-assign, assignment]

    def _note(self, way: str, data: bytes) -> None:
        # Cheap, since it also runs where time is taken: the type is the array's first element.
        if len(data) > 1 and data[1] in _FRAMES:
            self._trace.append((way, _FRAMES[data[1]], len(data)))

    async def traced(self) -> list[tuple[str, str, int]]:
        return self._trace

    async def _room(self) -> Any:
        (found,) = await self._node.rooms()
        return await self._node.room(found.room)


class RawEnd:
    """One plain peer connection with one channel."""

    def __init__(self) -> None:
        aiortc_compat.install()
        aiortc_compat.interfaces.set(("lo",))
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._channel = self._pc.createDataChannel("raw", negotiated=True, id=0)
        self._opened, self._low = asyncio.Event(), asyncio.Event()
        self._got = 0
        self._back: asyncio.Queue[bytes] = asyncio.Queue()
        self._channel.bufferedAmountLowThreshold = _BUFFERED // 2
        self._channel.on("open", self._opened.set)
        self._channel.on("bufferedamountlow", self._low.set)
        self._channel.on("message", self._count)

    def _count(self, message: bytes) -> None:
        self._got += len(message)

    async def close(self) -> None:
        await self._pc.close()

    async def offer(self) -> str:
        await self._pc.setLocalDescription(await self._pc.createOffer())
        return self._pc.localDescription.sdp

    async def answer(self, sdp: str) -> str:
        await self._pc.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        return self._pc.localDescription.sdp

    async def accept(self, sdp: str) -> None:
        await self._pc.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        await self._opened.wait()

    async def pour(self, count: int, size: int) -> float:
        """Send so many messages; when that began."""
        await self._opened.wait()
        started = time.monotonic()
        for _ in range(count):
            while self._channel.bufferedAmount > _BUFFERED:
                self._low.clear()
                await self._low.wait()
            self._channel.send(bytes(size))
        return started

    async def poured(self, size: int) -> float:
        """When so many bytes have come."""
        ended = await _until(lambda: self._got >= size)
        self._got = 0
        return ended

    async def echo(self) -> None:
        self._channel.on("message", self._channel.send)

    async def trips(self, count: int, folder: str) -> tuple[float, float, float]:
        """Of one round trip of 200 B and one commit after it, each and both: ms."""
        self._channel.on("message", self._back.put_nowait)
        echoes, commits = [], []
        with raw_table(Path(folder)) as commit:
            for _ in range(count):
                started = time.perf_counter()
                self._channel.send(bytes(200))
                await self._back.get()
                echoes.append((time.perf_counter() - started) * 1000)
                commits.append(commit())
        both = statistics.median(map(sum, zip(echoes, commits, strict=True)))
        return statistics.median(echoes), statistics.median(commits), both


@contextlib.contextmanager
def raw_table(folder: Path) -> Iterator[Callable[[], float]]:
    """Commits a row of 200 B to plain SQLite, with the same care for a power cut: ms."""
    with contextlib.closing(sqlite3.connect(folder / "raw.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE rows (value BLOB)")

        def commit() -> float:
            started = time.perf_counter()
            database.execute("INSERT INTO rows VALUES (?)", (bytes(200),))
            return (time.perf_counter() - started) * 1000

        yield commit


async def _serve(kind: str, *arguments: str) -> None:
    """Do what the lines on standard input ask for, one after the other."""
    end: Any = {"node": NodeEnd, "raw": RawEnd, "maker": Maker}[kind](*arguments)
    while line := await asyncio.to_thread(sys.stdin.readline):
        name, values, options = json.loads(line)
        print(json.dumps(await getattr(end, name)(*values, **options)), flush=True)
    await end.close()


class End:
    """The handle on such a process: `await end.ask("name", ...)`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, name: str, *values: object, **options: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, values, options]).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the process that was asked for {name} has ended")
        return json.loads(line)


@asynccontextmanager
async def ends(*kinds: tuple[str, ...]) -> AsyncIterator[list[End]]:
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            __file__,
            "--end",
            *kind,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_MAX,
        )
        for kind in kinds
    ]
    try:
        yield [End(process) for process in processes]
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        async with asyncio.timeout(_WAIT_S):
            for process in processes:
                await process.wait()
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()


# -- homes ---------------------------------------------------------------------------------------


class Maker:
    """Makes Ann and Bob, who know each other and have a room; then fills Ann's journal."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    async def close(self) -> None:
        pass

    async def pair(self) -> None:
        secret, config = os.urandom(32), load(None, {}, _SETTINGS)
        async with AsyncExitStack() as stack:
            ann, bob = [
                await stack.enter_async_context(
                    Node.open(self._folder / name, config=config, name=name, online=False)
                )
                for name in ("ann", "bob")
            ]
            for node, other in ((ann, bob), (bob, ann)):
                await _introduce(node, other.identity, secret)

    async def fill(self, count: int, size: int = 200) -> dict[str, float]:
        """Write so many messages of ten devices of Ann's; seconds, and microseconds of placing."""
        config = load(None, {}, _SETTINGS)
        started = time.perf_counter()
        async with Node.open(self._folder / "ann", config=config, online=False) as node:
            (found,) = await node.rooms()
            room = await node.room(found.room)
            await room.send("the first, which brings the key")
            (chains,) = node._parts.rooms.all()
            # On disk is what counts here: nobody looks at them.
            node._parts.rooms._show = lambda entry: None  # type: ignore[method-assign]
            authors = [_device_of(node.identity) for _ in range(_AUTHORS)]
            placing = _timed_placing()
            made = 0
            while made < count:
                author = authors[made // _BATCH % _AUTHORS]
                batch = list(_written(node, chains, author, min(_BATCH, count - made), size))
                await node._parts.rooms.append([Append(room.key, tuple(batch))], None)
                made += sum(entry.header.kind == MESSAGE for entry in batch)
            made_s = time.perf_counter() - started
            await node._parts.rooms.words.complete()
            tenth = max(1, len(placing) // 10)
            return {
                "made": made_s,
                "indexed": time.perf_counter() - started - made_s,
                "first": statistics.median(placing[:tenth]) * 1e6,
                "last": statistics.median(placing[-tenth:]) * 1e6,
            }

    async def more(self) -> None:
        """One more message of Ann's."""
        config = load(None, {}, _SETTINGS)
        async with Node.open(self._folder / "ann", config=config, online=False) as node:
            (found,) = await node.rooms()
            await (await node.room(found.room)).send(_text(random.Random(1)))


def _timed_placing() -> list[float]:
    """Seconds for each entry that the order takes from now on, by batches."""
    taken: list[float] = []
    insert = Timeline.insert

    def timed(timeline: Timeline, batch: Iterable[Place]) -> list[Place]:
        nodes = list(batch)
        started = time.perf_counter()
        moved = insert(timeline, nodes)
        taken.append((time.perf_counter() - started) / len(nodes))
        return moved

    Timeline.insert = timed  # type: ignore[method-assign]
    return taken


async def _introduce(node: Node, other: Identity, secret: bytes) -> None:
    def write(tx: Connection) -> None:
        contacts.put(tx, other.certificate, secret, time.time())
        node._parts.rooms.create_direct(tx, other.person)

    await node._parts.database.write(write)
    members = (node.identity.person, other.person)
    node._parts.rooms.opened(direct_room(*members), members)


def _device_of(person: Identity) -> Identity:
    """One more device of a person."""
    signing = SigningKey(person.person_seed)
    return Identity._certified(signing, SigningKey(os.urandom(32)), os.urandom(32), "Ann")


def _written(
    node: Node, chains: Chains, author: Identity, count: int, size: int = 200
) -> Iterator[Entry]:
    def write(kind: int, body: Any, epoch: bytes) -> Entry:
        time_ = node._parts.rooms._clock.next(time.time())
        incarnation = author.device[:8]
        return chains.write(
            author,
            incarnation,
            time=time_,
            kind=kind,
            body=body,
            random=os.urandom,
            epoch=epoch,
        )

    if author.device not in chains.certificates:
        chains.certify(author.certificate)
        yield write(DEVICE, author.certificate, b"")
    epoch, chance = chains.writing_epoch(), random.Random(chains.total)
    assert epoch is not None
    for _ in range(count):
        yield write(MESSAGE, MessageBody(_text(chance, size)), epoch)


# -- parts ---------------------------------------------------------------------------------------


@asynccontextmanager
async def raw_pair() -> AsyncIterator[tuple[End, End]]:
    async with ends(("raw",), ("raw",)) as (near, far):
        answer = await far.ask("answer", await near.ask("offer"))
        await near.ask("accept", answer)
        yield near, far


async def raw_rate(count: int, size: int) -> float:
    """Bytes a second of so many messages."""
    async with raw_pair() as (near, far):
        started, ended = await asyncio.gather(
            near.ask("pour", count, size), far.ask("poured", count * size)
        )
        return count * size / float(ended - started)


async def homes(folder: Path, count: int, size: int = 200) -> dict[str, float]:
    async with ends(("maker", str(folder))) as (maker,):
        await maker.ask("pair")
        return dict(await maker.ask("fill", count, size)) if count else {}


async def resync(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        await homes(folder, count)
        ann_home, bob_home = (("node", str(folder / who)) for who in ("ann", "bob"))
        async with ends(ann_home, bob_home) as (ann, bob):
            await bob.ask("trace")
            await ann.ask("open", online=True)
            total = await ann.ask("total")
            await bob.ask("open", online=True)
            before = [await end.ask("rss") for end in (ann, bob)]
            spent = [-await end.ask("cpu") for end in (ann, bob)]
            linked, level = await bob.ask("level", total)
            spent = [
                used + await end.ask("cpu") for used, end in zip(spent, (ann, bob), strict=True)
            ]
            after = [await end.ask("rss") for end in (ann, bob)]
            size = sum(line[2] for line in await bob.ask("traced") if line[:2] == ["in", "Run"])
            decrypted = await bob.ask("decrypted")
        raw = await raw_rate(size // _MESSAGE, _MESSAGE)
        rate = total / (level - linked)
        row(
            f"resync of {total:,} entries",
            f"{rate:,.0f} /s",
            f"raw {raw / size * total:,.0f} /s ({raw / 1e6:.1f} MB/s)",
            ">= 20,000 /s",
        )
        row(
            "  and decrypted, one after the other",
            f"{total / (level - linked + decrypted):,.0f} /s",
            f"decryption alone {total / decrypted:,.0f} /s",
        )
        for who, used in zip(("sender", "receiver"), spent, strict=True):
            row(f"  processor time, {who}", f"{used / total * 1e6:.0f} us each", "")
        for who, peak, idle in zip(("sender", "receiver"), after, before, strict=True):
            row(
                f"  peak memory, {who}",
                f"{peak:.0f} MB",
                f"before the link {idle:.0f} MB",
                "< 250 MB",
            )
        async with ends(("maker", name)) as (maker,):
            await maker.ask("more")
        async with ends(ann_home, bob_home) as (ann, bob):
            await bob.ask("trace")
            await ann.ask("open", online=True)
            await bob.ask("open", online=True)
            await bob.ask("level", total + 1)
            trace = await bob.ask("traced")
        ways = [line[0] for line in trace]
        trips = sum(pair == ("out", "in") for pair in pairwise(ways))
        row(
            f"1 missing of {total + 1:,}",
            f"{trips} trips, {sum(line[2] for line in trace):,} B",
            " ".join(f"{'>' if line[0] == 'out' else '<'}{line[1]}" for line in trace),
            "<= 3, <= 16,384 B",
        )


async def backlog(count: int) -> None:
    """What is written while the other end takes in so many messages of 32 kB."""
    with tempfile.TemporaryDirectory() as name:
        await homes(Path(name), count, _LARGE)
        async with ends(("node", f"{name}/ann"), ("node", f"{name}/bob")) as (ann, bob):
            await ann.ask("open", online=True)
            total = await ann.ask("total")
            await bob.ask("open", online=True)
            before = [await end.ask("rss") for end in (ann, bob)]
            (linked, level), taken = await asyncio.gather(
                bob.ask("level", total), ann.ask("meanwhile")
            )
            after = [await end.ask("rss") for end in (ann, bob)]
    taken.sort()
    size = count * _LARGE / 1e6
    row(f"a backlog of {size:.0f} MB", f"{size / (level - linked):.1f} MB/s", "")
    row(
        f"  {len(taken)} written meanwhile, to acknowledged",
        f"{statistics.median(taken):.0f} ms (median)",
        f"90%: {taken[len(taken) * 9 // 10]:.0f} ms, all: {taken[-1]:.0f} ms",
        "<= 100 ms",
    )
    for who, peak, idle in zip(("sender", "receiver"), after, before, strict=True):
        row(f"  peak memory, {who}", f"{peak:.0f} MB", f"before the link {idle:.0f} MB")


async def sending(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        await homes(Path(name), 0)
        async with ends(("node", f"{name}/ann"), ("node", f"{name}/bob")) as (ann, bob):
            await asyncio.gather(*(end.ask("open", online=True) for end in (ann, bob)))
            await ann.ask("send", 100, 1)
            rate = await ann.ask("send", count, _LANES)
            alone = await ann.ask("send", max(100, count // 20), 1)
    raw = await raw_rate(count, 200) / 200
    reference = f"raw messages of 200 B {raw:,.0f} /s"
    row(f"sending, {_LANES} at a time, both committed", f"{rate:,.0f} /s", reference, ">= 3,000 /s")
    row("  one after the other", f"{alone:,.0f} /s", "")


async def trips(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        await homes(Path(name), 0)
        async with ends(("node", f"{name}/ann"), ("node", f"{name}/bob")) as (ann, bob):
            await asyncio.gather(*(end.ask("open", online=True) for end in (ann, bob)))
            await ann.ask("trips", 20)
            ours = await ann.ask("trips", count)
    with tempfile.TemporaryDirectory() as name:
        async with raw_pair() as (near, far):
            await far.ask("echo")
            echo, commit, both = await near.ask("trips", count, name)
    with tempfile.TemporaryDirectory() as name, raw_table(Path(name)) as again:
        in_a_row = statistics.median(again() for _ in range(count))
    # As often as ours, and not one right behind the other: a disk that is kept busy is faster.
    reference = f"raw echo {echo:.2f} ms, then SQLite commit {commit:.2f} ms"
    row("written to acknowledged (median)", f"{ours:.2f} ms", reference, f"<= {4 * both:.2f} ms")
    row("", "", f"such a commit right behind another {in_a_row:.2f} ms")


async def large(count: int) -> None:
    figures: list[dict[str, float]] = []
    made: dict[str, float] = {}
    for size in (1_000, count):
        with tempfile.TemporaryDirectory() as name:
            made = await homes(Path(name), size)
            async with ends(("node", f"{name}/ann")) as (ann,):
                figures.append(
                    {
                        **made,
                        "open": await ann.ask("open", online=False),
                        "shown": await ann.ask("shown", 100),
                        "again": await ann.ask("shown", 100),
                        "found": await ann.ask("found"),
                        "searched": await ann.ask("searched", _WORDS[len(_WORDS) // 2]),
                        "rss": await ann.ask("rss"),
                    }
                )
                ending, late = await ann.ask("placed")
                figures[-1] |= {"ending": ending, "late": late}
    small, big = figures
    row(f"{count:,} entries made", f"{big['made']:.0f} s", f"{count / big['made']:,.0f} /s")
    row("  their words indexed in", f"{big['indexed']:.0f} s", f"{count / big['indexed']:,.0f} /s")
    row(
        "  order: placing an entry, in batches",
        f"{big['last']:.1f} us each",
        f"of the first tenth: {big['first']:.1f} us",
    )
    for what, key in (
        ("  order: one at the end, nothing cached", "ending"),
        ("  order: one that comes late, far back", "late"),
    ):
        row(what, f"{big[key] * 1000:.2f} ms", f"of 1,000: {small[key] * 1000:.2f} ms")
    for what, key, target in (
        ("  opens in", "open", "<= 300 ms"),
        ("  shows the newest 100 in", "shown", "<= 20 ms"),
        ("  and again in", "again", ""),
        ("  finds a message by its id in", "found", ""),
        ("  finds the newest 50 with a word in", "searched", ""),
    ):
        row(what, f"{big[key] * 1000:.1f} ms", f"of 1,000: {small[key] * 1000:.1f} ms", target)
    row("  peak memory", f"{big['rss']:.0f} MB", f"of 1,000: {small['rss']:.0f} MB")


_PARTS: dict[str, tuple[Callable[[int], Awaitable[None]], int, int]] = {
    "resync": (resync, 100_000, 10_000),
    "backlog": (backlog, 3_200, 320),
    "sending": (sending, 20_000, 3_000),
    "trips": (trips, 500, 100),
    "large": (large, 1_000_000, 50_000),
}
"""What to run, with how many, and with how many when it has to be quick."""


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--end", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("parts", nargs="*", help=", ".join(_PARTS))
    chosen = parser.parse_args()
    if chosen.end:
        await _serve(*chosen.end)
        return
    for name in chosen.parts or _PARTS:
        part, full, quick = _PARTS[name]
        await part(quick if chosen.quick else full)


if __name__ == "__main__":
    asyncio.run(main())
