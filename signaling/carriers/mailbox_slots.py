"""Slots for values at a mailbox: what the lines of spoken codes are made of (`slots`).

A slot is a name at the server, and a value lies there openly, since whoever knows a nameplate knows
its slot. Bounded by the server: values under one name, and for how long.
"""

import asyncio
from collections.abc import AsyncGenerator

from signaling.carriers.mailbox import MailboxCarrier
from signaling.mailbox import Item

__all__ = ["MailboxSlots"]

_STANDS_S = 120
"""Longer than an attempt lasts."""
_CONNECT_S = 10.0
_WAITING_MAX = 64
"""Values that wait to be looked at: eight lie under one name, and each may be told again."""


class MailboxSlots:
    """`signaling.carriers.slots.Slots` over one mailbox, connected to while there is need."""

    name = "mailbox"

    def __init__(self, carrier: MailboxCarrier) -> None:
        self._carrier = carrier

    async def put(self, slot: bytes, value: bytes) -> None:
        """Raises OSError where the server does not answer."""
        try:
            async with asyncio.timeout(_CONNECT_S):
                await self._carrier.put(slot, value, _STANDS_S)
        except TimeoutError as error:
            raise OSError("the mailbox is not there") from error

    async def watch(self, slot: bytes) -> AsyncGenerator[bytes, None]:
        arrived: asyncio.Queue[bytes] = asyncio.Queue(_WAITING_MAX)

        def heard(item: Item) -> None:
            if item.ttl_s and not arrived.full():
                arrived.put_nowait(item.data)

        watching = self._carrier.watch(slot, heard)
        try:
            while True:
                yield await arrived.get()
        finally:
            watching.close()
