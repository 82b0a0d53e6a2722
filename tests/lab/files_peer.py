"""One end of a transfer, as a program for a lab's host: a FileSession with its tracker.

`seed DIR MEGABYTES RATE` (bytes/s, 0: no bound) or `fetch DIR MAGNET`. One JSON object a line on
output (`magnet`, `signal`, `state`, `done`), the other end's signals on input; whoever started both
carries them across.
"""

import asyncio
import base64
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from p2pchat.files.magnet import Magnet
from p2pchat.files.sealed import seal, unseal
from p2pchat.files.session import FileSession
from p2pchat.files.tracker import Signal, Tracker

_PEER = b"the-one-other-peer!!"


def _say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


def _said(signal: Signal) -> None:
    offer_id = base64.b64encode(signal.offer_id).decode()
    _say(signal={"kind": signal.kind, "offer_id": offer_id, "sdp": signal.sdp})


async def _hear(tracker: Tracker, info_hash: bytes) -> None:
    reader = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        fields = json.loads(line)["signal"]
        offer_id = base64.b64decode(fields["offer_id"])
        await tracker.deliver(Signal(_PEER, info_hash, fields["kind"], offer_id, fields["sdp"]))


async def _main(role: str, folder: Path, what: str, upload_rate: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    changed = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with (
        Tracker.open(
            _said,
            lambda info_hash: session.reannounce(info_hash),  # noqa: PLW0108  (not there yet)
            "token",
            loop.time,
        ) as tracker,
        # TCP listens on loopback alone, so what crosses to the other host is WebRTC.
        FileSession.open(
            "127.0.0.1:0", "", changed.set, rtc=True, upload_rate=upload_rate
        ) as session,
    ):
        if role == "seed":
            content = folder / "content"
            key = os.urandom(32)
            data = os.urandom(1 << 20)
            with content.open("wb") as file:
                for _ in range(int(what)):
                    file.write(data)
            sealed = await asyncio.to_thread(seal, [content], folder / "sealed", key)
            info_hash = await session.make(folder, folder / "torrent")
            await session.add(info_hash, folder, folder / "torrent", tracker.url)
            digest = hashlib.sha256(data * int(what)).hexdigest()
            magnet = Magnet(info_hash, "content", sealed.sealed_size, key)
            _say(magnet=magnet.text(), digest=digest)
            await _hear(tracker, info_hash)
            return
        magnet = Magnet.parse(what)
        begun = time.monotonic()
        await session.add(magnet.info_hash, folder, folder / "torrent", tracker.url)
        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(_hear(tracker, magnet.info_hash))
            if tracker.swarms.add(magnet.info_hash, _PEER, loop.time()):
                session.reannounce(magnet.info_hash)
            await tracker.flush()
            transports: set[str] = set()
            moving = None
            while True:
                await changed.wait()
                changed.clear()
                torrent = session.torrents.get(magnet.info_hash)
                if torrent is None:
                    continue
                transports |= {peer.transport for peer in torrent.peers}
                if torrent.done and moving is None:
                    moving = time.monotonic()
                _say(state=torrent.state, done=torrent.done, error=torrent.error)
                if torrent.state == "seeding":
                    break
            arrived = time.monotonic()
            paths = await asyncio.to_thread(unseal, folder / "sealed", magnet.key, folder / "out")
            digest = hashlib.sha256(paths[0].read_bytes()).hexdigest()
            _say(
                complete=True,
                digest=digest,
                transports=sorted(transports),
                seconds=arrived - begun,
                moving=arrived - (moving or arrived),
            )
            hearing.cancel()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(*sys.argv[4:])))
