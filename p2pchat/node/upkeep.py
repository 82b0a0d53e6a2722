"""Brings links back when the machine has slept or moved, before silence would tell.

Links that may have died are doubted: their peers have five seconds to be heard, and whoever seeks
dials anew beside them at once, by whatever carrier there is. The older link goes when the new one
is proven. Waits between attempts, made for peers who are away, are cut short.
"""

import logging
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from signaling.carriers.surroundings import Change

if TYPE_CHECKING:
    from p2pchat.node.peers import Peers

__all__ = ["keep_up"]

_log = logging.getLogger(__name__)


async def keep_up(
    changes: AsyncIterator[Change], peers: "Peers", reconnect: Callable[[], None]
) -> None:
    """For ever. `reconnect`: servers that carriers speak to may be gone, too."""
    async for change in changes:
        _log.info("this machine has %s", "slept" if change.slept else "other addresses")
        reconnect()
        for session in list(peers.sessions()):
            if change.slept or session.local_address not in change.addresses:
                session.doubt()
        peers.retry()
