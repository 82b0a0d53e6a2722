"""How fast a source may do something, and what ends when. No I/O; time is handed in."""

import heapq
from collections.abc import Hashable, Iterator
from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar

__all__ = ["Admission", "Deadlines", "Rate", "source_of"]

K = TypeVar("K", bound=Hashable)


def source_of(address: str) -> str:
    """What counts as one source: an IPv4 address, or the /64 that one IPv6 customer has.

    What is no address is a source by its text (a Unix socket has an empty one).
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> 64 << 64)) + "/64"


class Rate(Generic[K]):
    """Token buckets. Going over is first made up for by waiting, then refused.

    A source may owe as much as its burst; whoever would owe more is flooding.
    """

    def __init__(self, burst: float, per_s: float, sources_max: int = 65_536) -> None:
        self._burst = burst
        self._per_s = per_s
        self._sources_max = sources_max
        # Per source: what is left of its burst (negative: owed), and when that was counted.
        self._left: dict[K, tuple[float, float]] = {}

    def take(self, source: K, now: float, cost: float = 1.0) -> float | None:
        """Seconds to wait before the next thing is done for `source`; None: refuse it."""
        left, counted = self._left.pop(source, (self._burst, now))
        # A wall clock may be set back.
        left = min(self._burst, left + max(0.0, now - counted) * self._per_s)
        granted = left - cost >= -self._burst
        if granted:
            left -= cost
        # Put back at the end, so that the one unheard of for longest is forgotten first.
        self._left[source] = (left, now)
        if len(self._left) > self._sources_max:
            del self._left[next(iter(self._left))]
        return max(0.0, -left / self._per_s) if granted else None

    def __len__(self) -> int:
        return len(self._left)


class Admission:
    """How many connections there are, how many of them one source has, and how fast it makes them.

    `entered` is the number of connections now.
    """

    BURST = 128.0
    PER_S = 2.0

    def __init__(self, total: int, each: int) -> None:
        self._total = total
        self._each = each
        self._of: dict[str, int] = {}
        self._arrivals: Rate[str] = Rate(self.BURST, self.PER_S)
        self.entered = 0

    def enter(self, source: str, now: float) -> int | None:
        """Why not, as an HTTP status; None: come in, and `leave` must follow."""
        if self._of.get(source, 0) >= self._each or self._arrivals.take(source, now) != 0:
            return 429
        if self.entered >= self._total:
            return 503
        self._of[source] = self._of.get(source, 0) + 1
        self.entered += 1
        return None

    def leave(self, source: str) -> None:
        self.entered -= 1
        self._of[source] -= 1
        if not self._of[source]:
            del self._of[source]


class Deadlines(Generic[K]):
    """Keys, each with a time at which it is over."""

    def __init__(self) -> None:
        self._at: dict[K, float] = {}
        # Entries whose time was changed stay in the heap until they come up.
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0

    def set(self, key: K, at: float) -> None:
        self._at[key] = at
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, key))
        if len(self._heap) > 2 * len(self._at) + 1_024:
            self._heap = [(at, number, key) for number, (key, at) in enumerate(self._at.items())]
            self._count = len(self._heap)
            heapq.heapify(self._heap)

    def drop(self, key: K) -> bool:
        return self._at.pop(key, None) is not None

    def at(self, key: K) -> float | None:
        return self._at.get(key)

    def next_timer(self) -> float | None:
        while self._heap:
            at, _, key = self._heap[0]
            if self._at.get(key) == at:
                return at
            heapq.heappop(self._heap)
        return None

    def over(self, now: float) -> Iterator[K]:
        """Take out what is over by now, the soonest first."""
        while (at := self.next_timer()) is not None and at <= now:
            key = heapq.heappop(self._heap)[2]
            del self._at[key]
            yield key

    def soonest(self) -> K:
        """The key that will be over first. There has to be one."""
        assert self.next_timer() is not None
        return self._heap[0][2]

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, key: object) -> bool:
        return key in self._at
