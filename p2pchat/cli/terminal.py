"""Lines that a person (or a pipe) gives while something else goes on."""

import asyncio
import io
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing

__all__ = ["blobs", "lines"]

_BLOB_MAX = 2_048
_READ = 65_536


async def lines() -> AsyncGenerator[str, None]:
    """Lines of stdin until its end. Nothing is read any more once this is closed.

    So not in a thread: one blocked in a read would take the first line from whoever reads next.
    """
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    def read() -> None:
        # Here, where the loop has just seen that it will not block.
        data = os.read(descriptor, _READ)
        arrived.put_nowait(data)
        if not data:
            loop.remove_reader(descriptor)

    try:
        descriptor = sys.stdin.fileno()
        loop.add_reader(descriptor, read)
    except (io.UnsupportedOperation, PermissionError):
        # A file, or /dev/null: there is nothing to wait for.
        for line in sys.stdin:
            yield line
        return
    held = b""
    try:
        while True:
            data = await arrived.get()
            if not data:
                break
            held += data
            *whole, held = held.split(b"\n")
            for raw in whole:
                yield raw.decode(errors="replace") + "\n"
        if held:
            yield held.decode(errors="replace")
    finally:
        loop.remove_reader(descriptor)


async def blobs() -> AsyncGenerator[str, None]:
    """What looks like whole blobs: lines joined until they decode, or an empty line ends them."""
    from signaling.blob import decode
    from signaling.errors import SignalingError

    held = ""
    async with aclosing(lines()) as given:
        async for line in given:
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
