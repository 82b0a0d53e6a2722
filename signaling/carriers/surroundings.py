"""Notices that this machine has slept, or has other addresses than before.

There is no event for either that all systems have, so it looks every second. Sleep: a clock that
goes on meanwhile has gone further than the loop's. A process that was merely stopped, or whose
virtual machine was, has missed as much: its own next look comes late.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from signaling.carriers.interfaces import host_of, interfaces_of

__all__ = ["Change", "Surroundings"]

_LOOK_S = 1.0
"""Less than a millisecond each time, and the same on every system."""
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


class Surroundings:
    """Of the interfaces named (all, if none is named), as they were when this was made."""

    def __init__(
        self,
        interfaces: Sequence[str],
        *,
        clock: Callable[[], float] = _clock,
        look_s: float = _LOOK_S,
    ) -> None:
        self._names = interfaces
        self._clock = clock
        self._look_s = look_s
        self._own = interfaces_of(interfaces)

    async def changes(self) -> AsyncIterator[Change]:
        """Each change, for ever."""
        loop = asyncio.get_running_loop()
        looked, read = loop.time(), self._clock()
        while True:
            await asyncio.sleep(self._look_s)
            now, shown, own = loop.time(), self._clock(), interfaces_of(self._names)
            away = max(now - looked, shown - read) - self._look_s
            looked, read = now, shown
            if away > _SLEPT_S or own != self._own:
                self._own = own
                yield Change(away > _SLEPT_S, frozenset(map(host_of, own)))
