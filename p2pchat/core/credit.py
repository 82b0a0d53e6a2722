"""Runs on their way to a peer: how much may still be sent, and what gives it back.

The peer's `have` follows its commit, so it is the credit for more. What is declined counts as had,
what is forgotten with its room does not count, and what was never answered returns after a minute.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from p2pchat.core.bounds import OUTSTANDING_BYTES

__all__ = ["Credit"]


@dataclass(frozen=True, slots=True)
class _Flight:
    """A run on its way."""

    room: bytes
    chain: bytes
    last: int
    size_bytes: int
    bulk: bool
    minute: int


class Credit:
    """Of one link, over all its rooms."""

    def __init__(self) -> None:
        self._flight: list[_Flight] = []
        self._outstanding = 0
        self._minute = 0

    def left(self, aside: int = 0) -> bool:
        """Whether more may be sent; `aside`: bytes beyond what a backlog may have out."""
        return self._outstanding < OUTSTANDING_BYTES + aside

    def carries(self, chain: bytes, *, bulk: bool = False) -> bool:
        """Whether a run of this chain is on its way; `bulk`: on that channel."""
        return any(one.chain == chain and (one.bulk or not bulk) for one in self._flight)

    def spend(self, room: bytes, chain: bytes, last: int, size_bytes: int, *, bulk: bool) -> None:
        """A run of `chain` up to `last` was sent."""
        self._flight.append(_Flight(room, chain, last, size_bytes, bulk, self._minute))
        self._outstanding += size_bytes

    def return_(self, room: bytes, had: Mapping[bytes, int]) -> None:
        """The peer has these chains up to there, or takes no more of them."""
        self._keep(
            [one for one in self._flight if one.room != room or one.last > had.get(one.chain, -1)]
        )

    def forget(self, room: bytes) -> None:
        """Nothing of this room will be answered any more."""
        self._keep([one for one in self._flight if one.room != room])

    def tick(self) -> None:
        """A minute is over: what was sent before it, and not answered, was not taken (a fork)."""
        self._keep([one for one in self._flight if one.minute >= self._minute])
        self._minute += 1

    def _keep(self, flight: list[_Flight]) -> None:
        self._flight = flight
        self._outstanding = sum(one.size_bytes for one in flight)
