"""Lines that a person (or a pipe) gives while something else goes on."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator

__all__ = ["blobs", "lines"]

_BLOB_MAX = 2_048


async def lines() -> AsyncIterator[str]:
    """Lines of stdin until its end. Read in a daemon thread: nothing can interrupt a read."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str | None] = asyncio.Queue()

    def put(line: str | None) -> None:
        try:
            loop.call_soon_threadsafe(queue.put_nowait, line)
        except RuntimeError:
            return  # the loop is gone

    def read() -> None:
        try:
            for line in sys.stdin:
                put(line)
        except (OSError, ValueError):
            pass  # closed under us
        put(None)

    threading.Thread(target=read, daemon=True, name="stdin").start()
    while (line := await queue.get()) is not None:
        yield line


async def blobs() -> AsyncIterator[str]:
    """What looks like whole blobs: lines joined until they decode, or an empty line ends them."""
    from signaling.blob import decode
    from signaling.errors import SignalingError

    held = ""
    async for line in lines():
        if not line.strip():
            if held:
                yield held
            held = ""
            continue
        held += line
        try:
            decode(held)
        except SignalingError as error:
            if error.code == "blob-damaged" and len(held) < _BLOB_MAX:
                continue  # wrapped: the rest may be on the next line
        yield held
        held = ""
    if held:
        yield held
