"""Lines: how the two ends of a spoken code come to talk, before they share a secret.

A carrier *listens* at a nameplate for whoever made the code, and *calls* it for whoever was told
it. A nameplate is public, so anybody may be at the other end: what is said on a line has to be safe
with strangers (`pairing`). Carriers with slots for values get their lines from `slots`.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

__all__ = ["Line", "Lines", "Listening", "Talk"]


class Line(Protocol):
    """Frames, in turn, of at most `pairing.FRAME_MAX` bytes.

    Both raise OSError or EOFError when the other end has gone, ValueError when it talks rubbish.
    """

    @property
    def source(self) -> str:
        """What rates are counted for: where the other end is, empty if the carrier cannot tell."""

    async def send(self, frame: bytes) -> None: ...

    async def receive(self) -> bytes: ...


Talk = Callable[[Line], Awaitable[None]]
"""Called with each line that comes about; the line ends with it. May be cancelled."""


class Listening(Protocol):
    def close(self) -> None: ...


class Lines(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def nameplates(self) -> int:
        """From how many to choose, so that two who are in each other's reach rarely choose one."""

    def listen(self, nameplate: int, talk: Talk) -> Listening: ...

    def call(self, nameplate: int, talk: Talk) -> Listening:
        """Until closed: again where no line came about, and with others who listen there."""
