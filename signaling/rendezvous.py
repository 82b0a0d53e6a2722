"""When to look again: the machine of one seeker towards one instance.

    state      input        next
    idle       found        offering   an offer is due at once
    offering   answered     resting    until `retry`; the link itself is watched elsewhere
    offering   failed       waiting    2 s, doubling to 60 s, with jitter
    waiting    due          offering
    any        lost         gone
    resting    retry        offering   the link is gone
    waiting    retry        offering

Time and jitter are handed in.
"""

from typing import Literal

__all__ = ["Rendezvous"]

_FIRST_S = 2.0
_LONGEST_S = 60.0
State = Literal["idle", "offering", "waiting", "resting", "gone"]


class Rendezvous:
    """Call `due(now)` to learn whether to offer; tell what came of it."""

    def __init__(self) -> None:
        self.state: State = "idle"
        self._wait_s = _FIRST_S
        self._at = 0.0

    def found(self, now: float) -> None:
        """The instance is there (again)."""
        if self.state in ("idle", "gone", "waiting"):
            self.state, self._at, self._wait_s = "waiting", now, _FIRST_S

    def next_timer(self) -> float | None:
        return self._at if self.state == "waiting" else None

    def due(self, now: float) -> bool:
        """Whether to offer now; if so the state is `offering` until answered or failed."""
        if self.state == "waiting" and now >= self._at:
            self.state = "offering"
            return True
        return False

    def answered(self) -> None:
        if self.state == "offering":
            self.state, self._wait_s = "resting", _FIRST_S

    def failed(self, now: float, jitter: float) -> None:
        """`jitter` in [0, 1)."""
        if self.state == "offering":
            self.state, self._at = "waiting", now + self._wait_s * (0.75 + jitter / 2)
            self._wait_s = min(_LONGEST_S, self._wait_s * 2)

    def retry(self, now: float) -> None:
        if self.state in ("resting", "waiting"):
            self.state, self._at, self._wait_s = "waiting", now, _FIRST_S

    def lost(self) -> None:
        self.state = "gone"
