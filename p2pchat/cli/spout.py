"""What a node writes to a file, on our stdout: a pipe with a name, which it can open by that.

Nothing of it touches the disk, so it may go on into another program that encrypts it.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from p2pchat.cli.streams import lost

__all__ = ["spout"]

_READ = 65_536


@asynccontextmanager
async def spout() -> AsyncIterator[Path]:
    """The path to have written. Raises as Output does where stdout takes nothing."""
    with tempfile.TemporaryDirectory(prefix="p2pchat-") as folder:
        path = Path(folder) / "stdout"
        os.mkfifo(path, 0o600)
        reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(reading, True)
        # Ours, so that there is no end of it before the node has opened it.
        writing = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        copying = asyncio.get_running_loop().run_in_executor(None, _copy, reading)
        try:
            yield path
        finally:
            os.close(writing)
            # Where it failed, that is why the node could not write.
            await copying


def _copy(source: int) -> None:
    try:
        while data := os.read(source, _READ):
            sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise lost(error, "") from error
    finally:
        with suppress(OSError):
            os.close(source)
