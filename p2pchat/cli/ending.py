"""The end of a node that stops: in bounded time, whatever its disk or its libraries do.

What is acknowledged is on the disk before; all that is lost is politeness. Knows nothing of nodes.
"""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["ending_in_time"]

_log = logging.getLogger(__name__)
_END_S = 25.0
"""From the wish to end: shorter than `down` waits."""


@contextmanager
def ending_in_time() -> Iterator[None]:
    """Once this is left, the process ends, if need be by force."""
    try:
        yield
    finally:
        # A thread, since what hangs may be the loop; it keeps no process that ends by itself.
        timer = threading.Timer(_END_S, _end)
        timer.daemon = True
        timer.start()


def _end() -> None:
    _log.error("the node did not end by itself, and is ended")
    logging.shutdown()
    os._exit(1)
