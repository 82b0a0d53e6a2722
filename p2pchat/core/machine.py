"""The one shape of all machines, and the four things they may ask for.

A machine decides and touches nothing. Frames and the time go in, outputs come out in order;
`node/runner.py` carries them out, committing every `Persist` that stands before a `Send` first.
A peer's fault is `Close(code)`, never an exception; an exception out of a machine is our bug.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Close", "Emit", "Machine", "Output", "Persist", "Send"]


@dataclass(frozen=True, slots=True)
class Persist:
    """Commit `record` before anything later in the list may leave."""

    record: object


@dataclass(frozen=True, slots=True)
class Send:
    """Give `frame` to the peer; `bulk` frames wait behind credit and capped buffers."""

    frame: bytes
    bulk: bool = False


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell `node/` a fact that it may turn into events or calls."""

    fact: object


@dataclass(frozen=True, slots=True)
class Close:
    """End the link. `code` is from the registry in docs/protocol.md."""

    code: str


Output = Persist | Send | Emit | Close


class Machine(Protocol):
    def receive(self, frame: bytes, now: float) -> None:
        """Take one whole frame from the peer."""

    def handle_timer(self, now: float) -> None:
        """Act on whatever is due at `now` (seconds, the runner's clock)."""

    def next_timer(self) -> float | None:
        """When `handle_timer` wants to be called, or None."""

    def outputs(self) -> Iterator[Output]:
        """Drain what is to be done, in order."""
