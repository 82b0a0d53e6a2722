"""What Ctrl-C does. Imports nothing that takes time: it has to be in force before anything else is.

While a command starts and once it is over, `leave`: nothing is begun, or nothing is left to end, so
the process goes at once. While it runs, `unwinding`: what was opened is closed first.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["EXIT_CODE", "leave", "unwinding", "watch"]

EXIT_CODE = 130


def watch() -> None:
    """Leave on Ctrl-C from now on; who started us to ignore it is obeyed."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, leave)


def leave(number: int = signal.SIGINT, frame: FrameType | None = None) -> None:
    """End the process, telling so as every command does."""
    del number, frame
    message, hint = "interrupted", "run it again to go on"
    with suppress(OSError):
        os.write(2, f"p2pchat: {message}\nhint: {hint}\n".encode())
    if "--json" in sys.argv:
        error = (
            f'{{"v":1,"event":"error","code":"{message}","message":"{message}","hint":"{hint}"}}'
        )
        done = f'{{"v":1,"event":"done","ok":false,"exit":{EXIT_CODE}}}'
        with suppress(OSError):
            os.write(1, f"{error}\n{done}\n".encode())
    os._exit(EXIT_CODE)


@contextmanager
def unwinding() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt in here, out of a read that blocks, too."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
