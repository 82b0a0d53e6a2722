"""`p2pchat-signal` in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["SIGNAL", "signal_server"]

SIGNAL = (sys.executable, "-m", "signaling.server")


@contextmanager
def signal_server(*arguments: str, port: int = 0) -> Iterator[str]:
    """Its address, once it listens."""
    process = subprocess.Popen(
        [*SIGNAL, "--port", str(port), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on "), process.communicate()
        yield line.split()[-1]
    finally:
        process.terminate()
        process.communicate(timeout=10)
