"""Slots for values in the DHT: what the lines of spoken codes are made of (`slots`).

A slot is a mutable item (BEP 44) under a key that follows from its name, so whoever knows a
nameplate may read and write there; the last to write wins. Nobody is called, so who waits looks
again and again: often at first, then less, and never more often in all than a fixed rate.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signaling.carriers.slots import VALUE_MAX
from signaling.dhtnode import DhtNode, DhtUnavailable
from signaling.envelope import derive

__all__ = ["DhtSlots"]

_log = logging.getLogger(__name__)
_EAGER_S = 120.0
_EAGER_LOOK_S, _LOOK_S = 0.5, 10.0
_EACH_S = 0.5
"""Added for each watch, so that the sum is bounded."""
_PUT_AGAIN_S = 5.0
_TRIES_MAX = 8
"""Puts of one value that no node has taken; by then nobody waits for it."""


class DhtSlots:
    """`signaling.carriers.slots.Slots` over a DHT. Nothing waits for a put to end."""

    name = "dht"

    def __init__(self, node: DhtNode, tasks: asyncio.TaskGroup) -> None:
        self._node = node
        self._tasks = tasks
        self._saying: dict[bytes, bytes] = {}
        self._writers: dict[bytes, asyncio.Task[None]] = {}
        self._watches = 0

    async def put(self, slot: bytes, value: bytes) -> None:
        self._saying[slot] = value
        if slot not in self._writers:
            self._writers[slot] = self._tasks.create_task(self._write(slot))

    async def _write(self, slot: bytes) -> None:
        """One put after the other: two at once would sign different values with one seq."""
        tries = 0
        try:
            while (value := self._saying.get(slot)) is not None and tries < _TRIES_MAX:
                nodes = 0
                try:
                    await self._node.ready()
                    nodes = await self._node.put(_seed(slot), value)
                except DhtUnavailable as error:
                    _log.debug("DHT: %s", error)
                if nodes and self._saying.get(slot) == value:
                    return
                tries = 0 if nodes else tries + 1
                if not nodes:
                    await asyncio.sleep(_PUT_AGAIN_S)
        finally:
            del self._writers[slot]
            self._saying.pop(slot, None)

    async def watch(self, slot: bytes) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        public = Ed25519PrivateKey.from_private_bytes(_seed(slot)).public_key().public_bytes_raw()
        eager_until, seen = loop.time() + _EAGER_S, -1
        self._watches += 1
        try:
            while True:
                item = None
                try:
                    await self._node.ready()
                    item = await self._node.get(public, seen)
                except DhtUnavailable as error:
                    _log.debug("DHT: %s", error)
                if item is not None and item.seq > seen:
                    seen = item.seq
                    if 0 < len(item.value) <= VALUE_MAX:
                        yield item.value
                least = _EAGER_LOOK_S if loop.time() < eager_until else _LOOK_S
                await asyncio.sleep(max(least, _EACH_S * self._watches))
        finally:
            self._watches -= 1


def _seed(slot: bytes) -> bytes:
    """Of the key that the slot's item stands under."""
    return derive(slot, b"p2pchat/1/pairing/dht")
