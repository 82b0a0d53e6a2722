"""Connecting, a message, a file: each beside the raw library's figure of the same run.

    make bench    (or: python tests/bench/first_light.py)

Both nodes, and the raw peers, live in one process on loopback, so the ratios say what our layers
cost on top of aiortc and libtorrent; the absolute figures say little.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import libtorrent as lt
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection

from p2pchat import Node
from p2pchat.config import load
from p2pchat.net import aiortc_compat
from tests.harness.dht import own_dht

_CONNECTS = 10
_MESSAGES = 300
_FILE_BYTES = 300_000_000
_QUIET = (
    "enable_dht",
    "enable_lsd",
    "enable_upnp",
    "enable_natpmp",
    "enable_outgoing_utp",
    "enable_incoming_utp",
)
_SETTINGS = ('net.interfaces=["lo"]', "net.stun=[]", "dht.enabled=false")


def report(what: str, ours: float, raw: float, unit: str) -> None:
    print(f"{what:<34} {ours:9.2f} {unit}   raw {raw:9.2f} {unit}   ratio {ours / raw:6.2f}")


async def _raw_pair() -> tuple[list[RTCPeerConnection], list[RTCDataChannel]]:
    """Two plain peer connections with one open channel."""
    pcs = [RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2)]
    channels = [pc.createDataChannel("echo", negotiated=True, id=0) for pc in pcs]
    opened = [asyncio.Event() for _ in pcs]
    for channel, event in zip(channels, opened, strict=True):
        channel.on("open", event.set)
    await pcs[0].setLocalDescription(await pcs[0].createOffer())
    await pcs[1].setRemoteDescription(pcs[0].localDescription)
    await pcs[1].setLocalDescription(await pcs[1].createAnswer())
    await pcs[0].setRemoteDescription(pcs[1].localDescription)
    for event in opened:
        await event.wait()
    return pcs, channels


async def raw_connects() -> list[float]:
    """Offer to open channel, ms."""
    taken = []
    for _ in range(_CONNECTS):
        started = time.perf_counter()
        pcs, _ = await _raw_pair()
        taken.append((time.perf_counter() - started) * 1000)
        for pc in pcs:
            await pc.close()
    return taken


async def raw_echo() -> list[float]:
    """Round trip of 200 B, ms."""
    pcs, (near, far) = await _raw_pair()
    back: asyncio.Queue[bytes] = asyncio.Queue()
    far.on("message", far.send)
    near.on("message", back.put_nowait)
    taken = []
    for _ in range(_MESSAGES):
        started = time.perf_counter()
        near.send(bytes(200))
        await back.get()
        taken.append((time.perf_counter() - started) * 1000)
    for pc in pcs:
        await pc.close()
    return taken


async def raw_commits(folder: Path) -> list[float]:
    """One synchronous append of 200 B, ms: what an acknowledgement has to wait for, twice."""
    taken = []
    with (folder / "commits").open("wb") as file:
        for _ in range(_MESSAGES):
            started = time.perf_counter()
            file.write(bytes(200))
            file.flush()
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - started) * 1000)
    return taken


@asynccontextmanager
async def two_nodes(
    folder: Path, settings: Sequence[str] = _SETTINGS
) -> AsyncIterator[tuple[Node, Node]]:
    config = load(None, {}, settings)
    async with (
        Node.open(folder / "ann", config=config, name="Ann") as ann,
        Node.open(folder / "bob", config=config, name="Bob") as bob,
    ):
        yield ann, bob


async def our_connects(settings: Sequence[str] = _SETTINGS, count: int = _CONNECTS) -> list[float]:
    """Pasted invite to proven, stored contact, ms; a new pair each time."""
    taken = []
    for _ in range(count):
        with tempfile.TemporaryDirectory() as name:
            async with two_nodes(Path(name), settings) as (ann, bob):
                invitation = await ann.invite()
                started = time.perf_counter()
                await bob.join(invitation.blob, timeout=10)
                taken.append((time.perf_counter() - started) * 1000)
    return taken


async def our_dht_connects() -> list[float]:
    """The same with nothing but a DHT on loopback: the inviter has just begun to wait."""
    taken = []
    for _ in range(_CONNECTS):
        # Each pair its own: whoever has gone stays in the tables of others, and slows them down.
        with own_dht() as bootstrap:
            alone = (*_SETTINGS[:2], "lan.enabled=false", f"dht.bootstrap={bootstrap!r}")
            taken += await our_connects(alone, count=1)
    return taken


async def our_round_trips(ann: Node, bob: Node) -> list[float]:
    """Written and committed here, committed there, and the acknowledgement back, ms."""
    room = await ann.room("Bob")
    taken = []
    for number in range(_MESSAGES):
        started = time.perf_counter()
        message = await room.send(f"{number} ".ljust(200, "x"))
        async for _ in room.delivered(message.id, timeout=10):
            break
        taken.append((time.perf_counter() - started) * 1000)
    return taken


def raw_torrent(folder: Path) -> float:
    """libtorrent to libtorrent over TCP on loopback, MB/s."""
    source = folder / "seed"
    source.mkdir()
    (source / "sealed").write_bytes(os.urandom(_FILE_BYTES))
    files = [lt.create_file_entry("sealed", _FILE_BYTES)]
    torrent = lt.create_torrent(files, 0, lt.create_torrent.v1_only)
    lt.set_piece_hashes(torrent, str(source))
    info = lt.torrent_info(torrent.generate())
    sessions = []
    for _ in range(2):
        settings = {"listen_interfaces": "127.0.0.1:0", "allow_multiple_connections_per_ip": True}
        quiet = dict.fromkeys(_QUIET, False)
        sessions.append(lt.session(settings | quiet))
    handles = []
    for session, place in zip(sessions, (source, folder / "leech"), strict=True):
        params = lt.add_torrent_params()
        params.ti, params.save_path = info, str(place)
        handles.append(session.add_torrent(params))
    while not handles[0].status().is_seeding:
        time.sleep(0.01)
    started = time.perf_counter()
    handles[1].connect_peer(("127.0.0.1", sessions[0].listen_port()))
    while not handles[1].status().is_seeding:
        time.sleep(0.01)
    return _FILE_BYTES / 1e6 / (time.perf_counter() - started)


async def our_file(ann: Node, bob: Node, folder: Path) -> tuple[float, float]:
    """MB/s from `get` to verified, decrypted and in place; and of sealing and hashing."""
    source = folder / "file"
    source.write_bytes(os.urandom(_FILE_BYTES))
    started = time.perf_counter()
    share = await ann.share([source])
    sealed = time.perf_counter() - started
    started = time.perf_counter()
    async for _ in bob.get(share.magnet, dest=folder / "down", timeout=60):
        pass
    taken = time.perf_counter() - started
    return _FILE_BYTES / 1e6 / taken, _FILE_BYTES / 1e6 / sealed


async def main() -> None:
    # aioice has no loopback candidates of its own, so the raw peers need our filter as well.
    aiortc_compat.install()
    aiortc_compat.interfaces.set(("lo",))
    raw, ours = await raw_connects(), await our_connects()
    report("invite to connected (median)", statistics.median(ours), statistics.median(raw), "ms")
    over = statistics.median(ours) - statistics.median(raw)
    print(f"{'  over the LAN, more than raw':<34} {over:9.2f} ms   target 500.00 ms at most")
    over_dht = await our_dht_connects()
    report(
        "  the same over a DHT of 8 nodes",
        statistics.median(over_dht),
        statistics.median(raw),
        "ms",
    )
    print(f"{'  of these, the slowest':<34} {max(over_dht):9.2f} ms")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with two_nodes(folder) as (ann, bob):
            await bob.join((await ann.invite()).blob, timeout=10)
            echo, trips = await raw_echo(), await our_round_trips(ann, bob)
            report(
                "message to acknowledged (median)",
                statistics.median(trips),
                statistics.median(echo),
                "ms",
            )
            commits = statistics.median(await raw_commits(folder))
            print(f"{'  of that, one fsync of 200 B':<34} {commits:9.2f} ms")
            mbs, sealing = await our_file(ann, bob, folder)
            raw_mbs = await asyncio.to_thread(raw_torrent, folder)
            report("file, 300 MB, one machine", mbs, raw_mbs, "MB/s")
            print(f"{'  of that, sealing and hashing':<34} {sealing:9.2f} MB/s")


if __name__ == "__main__":
    asyncio.run(main())
