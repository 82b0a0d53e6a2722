"""Notices that this machine has slept, or has other addresses than before.

There is no event for either that all systems have, so it looks every second. Sleep: a clock that
goes on meanwhile has gone further than the loop's. A process that was merely stopped, or whose
virtual machine was, has missed as much: its own next look comes late.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from p2pchat.net import aiortc_compat

__all__ = ["Change", "changes"]

_LOOK_S = 1.0
_SLEPT_S = 4.0
"""More than a busy machine is late, and less than the 10 s after which peers give us up."""


@dataclass(frozen=True, slots=True)
class Change:
    """`slept`: links may have died unnoticed. `addresses`: those that we have now."""

    slept: bool
    addresses: frozenset[str]


def _clock() -> float:
    """Seconds, those asleep included; a wall clock may also be set, which does no harm here."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.time() if boot is None else time.clock_gettime(boot)


async def changes(
    interfaces: Sequence[str],
    *,
    clock: Callable[[], float] = _clock,
    look_s: float = _LOOK_S,
) -> AsyncIterator[Change]:
    """Each change, for ever; `interfaces` as in `transport.Settings`."""
    loop = asyncio.get_running_loop()
    addresses = _addresses(interfaces)
    looked, read = loop.time(), clock()
    while True:
        await asyncio.sleep(look_s)
        now, shown, found = loop.time(), clock(), _addresses(interfaces)
        away = max(now - looked, shown - read) - look_s
        looked, read = now, shown
        if away > _SLEPT_S or found != addresses:
            addresses = found
            yield Change(away > _SLEPT_S, found)


def _addresses(interfaces: Sequence[str]) -> frozenset[str]:
    token = aiortc_compat.interfaces.set(tuple(interfaces))
    try:
        return frozenset(aiortc_compat.host_addresses(use_ipv4=True, use_ipv6=True))
    finally:
        aiortc_compat.interfaces.reset(token)
