"""What the DHT carrier needs of a DHT: mutable items (BEP 44), found by the key that signs them.

Whoever has a DHT at hand implements it; this package brings none of its own.
"""

from dataclasses import dataclass
from typing import Protocol

__all__ = ["DhtNode", "DhtUnavailable", "Item"]


class DhtUnavailable(Exception):
    """The DHT cannot be asked just now; the next time it may."""


@dataclass(frozen=True, slots=True)
class Item:
    """What stands under a key. `value` is anybody's bytes until it is opened."""

    value: bytes
    seq: int


class DhtNode(Protocol):
    @property
    def nodes(self) -> int:
        """Other nodes that are known to answer."""
        ...

    async def ready(self) -> None:
        """Until other nodes are known."""

    async def get(self, key: bytes, newer_than: int) -> Item | None:
        """An item under a public key, signed by it, with a greater seq; the first that is found.

        Raises DhtUnavailable.
        """
        ...

    async def put(self, seed: bytes, value: bytes) -> int:
        """Replace the item under the key of this seed; how many nodes have taken it.

        Raises DhtUnavailable.
        """
        ...
