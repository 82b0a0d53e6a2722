"""Ways in which an offer finds its answer. Each moves sealed envelopes and learns nothing.

A `Carrier` brings together whoever *seeks* in a slot (makes the offer) with whoever *serves* it
(answers). The node races all carriers that are configured; the first that leads to a proven link
wins.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from signaling.envelope import SlotKeys
from signaling.sdp import Description

__all__ = ["Answer", "Attempt", "Carrier", "Offer", "Reach", "Registration"]


class Attempt(Protocol):
    """One offer of ours that has found somebody."""

    @property
    def description(self) -> Description: ...

    async def accept(self, answer: Description) -> None: ...

    async def abandon(self) -> None:
        """No answer came."""


Offer = Callable[[], Awaitable[Attempt | None]]
"""Called when a counterpart was found; None: not wanted now."""
Answer = Callable[[Description], Awaitable[Description | None]]
"""Called with an offer of the slot; answers it, or None: not now."""


class Registration(Protocol):
    """One slot on one carrier."""

    def close(self) -> None: ...

    def retry(self) -> None:
        """Look again at once: the link that was found here is gone."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a carrier itself has come; it says nothing of any slot.

    `others`: how many it could ask just now: neighbours, nodes of the DHT, 1 for a server that is
    connected. `place`: the server's address.
    """

    others: int
    place: str = ""


class Carrier(Protocol):
    @property
    def name(self) -> str: ...

    def reach(self) -> Reach: ...

    def serve(self, slot: SlotKeys, answer: Answer) -> Registration: ...

    def seek(self, slot: SlotKeys, offer: Offer) -> Registration: ...
