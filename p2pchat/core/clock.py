"""The hybrid logical clock: wall time where it can be, rising while the wall does.

A value is Unix milliseconds << 16 | counter (48 + 16 bits). Remote values pull ours ahead, but
never more than `CLOCK_PULL_MS` beyond the wall, so that one wrong clock cannot move the others.
Nor does our own of yesterday: once the wall is set back it counts, or a minute with a wrong clock
would make all that we ever write wrong. (Kulkarni et al., Logical Physical Clocks, 2014.)
"""

from p2pchat.core.bounds import CLOCK_PULL_MS, TIME_MAX_MS, TIME_MIN_MS

__all__ = ["HybridClock", "in_bounds", "milliseconds", "seconds", "stamp"]


def stamp(wall_s: float) -> int:
    """The clock value of a wall time, kept within the years that entries may name."""
    return min(max(int(wall_s * 1000), TIME_MIN_MS), TIME_MAX_MS - 1) << 16


def milliseconds(time: int) -> int:
    return time >> 16


def seconds(time: int) -> float:
    return (time >> 16) / 1000


def in_bounds(time: int) -> bool:
    return TIME_MIN_MS <= time >> 16 < TIME_MAX_MS


class HybridClock:
    """One node's clock. `last` is the greatest value given out or taken in."""

    def __init__(self, last: int = 0) -> None:
        self.last = last

    def next(self, wall_s: float) -> int:
        """The time of a new entry of ours."""
        now = stamp(wall_s)
        if milliseconds(self.last) > milliseconds(now) + CLOCK_PULL_MS:
            self.last = now  # the wall was ahead, and was set
        self.last = max(now, self.last + 1)
        return self.last

    def witness(self, time: int, wall_s: float) -> None:
        """Take a remote value in."""
        limit = stamp(wall_s) + (CLOCK_PULL_MS << 16)
        self.last = max(self.last, min(time, limit))
