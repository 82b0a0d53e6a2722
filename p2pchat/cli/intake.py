"""What comes in on stdin, for a node to read: a pipe with a name, which it can open by that.

Nothing of it touches the disk, and no more of it is held than a pipe holds. The node reads it once,
from its beginning; where it stops early, so do we, though more may come.
"""

import asyncio
import os
import select
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from p2pchat.cli.interrupt import unwinding
from p2pchat.errors import BadInput

__all__ = ["beginning", "intake"]

_READ = 65_536


def beginning(size: int) -> bytes:
    """The first bytes of stdin, at least `size` if there are as many; Ctrl-C ends it at once.

    Raises errors.BadInput `file-missing`.
    """
    found = b""
    try:
        with unwinding():
            # Not by `sys.stdin.buffer`: what that holds back would be lost.
            while len(found) < size and (data := os.read(sys.stdin.fileno(), select.PIPE_BUF)):
                found += data
    except OSError as error:
        raise BadInput("file-missing", "stdin cannot be read", "check the path") from error
    return found


@asynccontextmanager
async def intake(begun: bytes) -> AsyncIterator[Path]:
    """The path to have read: what has `begun`, and the rest of stdin."""
    with tempfile.TemporaryDirectory(prefix="p2pchat-") as folder:
        path = Path(folder) / "stdin"
        os.mkfifo(path, 0o600)
        # Ours, so that what is written before the node has opened it is kept.
        reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        writing = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        over, end = os.pipe()
        copying = asyncio.get_running_loop().run_in_executor(None, _copy, begun, writing, over)
        try:
            yield path
        finally:
            os.close(end)
            try:
                await copying
            finally:
                os.close(reading)
                os.close(over)


def _copy(begun: bytes, target: int, over: int) -> None:
    """Until stdin ends, or `over` does."""
    source, rest = sys.stdin.fileno(), memoryview(begun)
    try:
        while True:
            while rest:
                ready, writable, _ = select.select([over], [target], [])
                if ready:
                    return
                if writable:
                    rest = rest[os.write(target, rest) :]
            ready, _, _ = select.select([over, source], [], [])
            if over in ready:
                return
            if not (data := os.read(source, _READ)):
                return
            rest = memoryview(data)
    finally:
        os.close(target)
