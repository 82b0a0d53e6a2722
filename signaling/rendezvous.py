"""When to look again: the machine of one seeker towards one instance.

    state      input        next
    idle       found        waiting    due at once
    waiting    due          offering
    offering   answered     resting    the link that follows is watched elsewhere
    offering   unwanted     resting    no offer was made; due at once if retried meanwhile
    offering   failed       waiting    2 s, doubling to 60 s, with jitter
    resting    due          offering   after 45 s: a seek that still stands has no proven link
    waiting    found|retry  waiting    due at once, backoff starts again
    resting    retry        waiting    due at once: the link is gone
    offering   retry        offering   backoff starts again, and `unwanted` is no answer to it

Time and jitter are handed in. Who no longer seeks drops the machine.
"""

from typing import Literal

__all__ = ["Rendezvous"]

_FIRST_S = 2.0
_LONGEST_S = 60.0
_REST_S = 45.0
"""Longer than a link takes to come up or fail (20 s to open, 10 s to shake hands)."""
State = Literal["idle", "waiting", "offering", "resting"]


class Rendezvous:
    """Call `due(now)` to learn whether to offer; tell what came of it.

    `first_s`: the shortest wait after a failure, where an attempt costs little.
    """

    def __init__(self, first_s: float = _FIRST_S) -> None:
        self.state: State = "idle"
        self._first_s = self._wait_s = first_s
        self._at = 0.0
        self._again = False

    def found(self, now: float) -> None:
        """The instance is there."""
        if self.state in ("idle", "waiting"):
            self.state, self._at, self._wait_s = "waiting", now, self._first_s

    def next_timer(self) -> float | None:
        return self._at if self.state in ("waiting", "resting") else None

    def due(self, now: float) -> bool:
        """Whether to offer now; if so the state is `offering` until answered or failed."""
        if self.state in ("waiting", "resting") and now >= self._at:
            self.state, self._again = "offering", False
            return True
        return False

    def answered(self, now: float) -> None:
        """An answer came."""
        if self.state == "offering":
            self.state, self._at, self._wait_s = "resting", now + _REST_S, self._first_s

    def unwanted(self, now: float) -> None:
        """No offer was wanted when it was asked for."""
        again = self._again
        self.answered(now)
        if again:
            self.retry(now)

    def failed(self, now: float, jitter: float) -> None:
        """`jitter` in [0, 1)."""
        if self.state == "offering":
            self.state, self._at = "waiting", now + self._wait_s * (0.75 + jitter / 2)
            self._wait_s = min(_LONGEST_S, self._wait_s * 2)

    def retry(self, now: float) -> None:
        self._wait_s = self._first_s
        self._again = self.state == "offering"
        if self.state in ("resting", "waiting"):
            self.state, self._at = "waiting", now
