"""Carriers on 127.0.0.1, and what a neighbour of any kind may announce there."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from zeroconf import IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from signaling.carriers import discovery
from signaling.carriers.lan import LanCarrier
from signaling.sdp import Description


def lan() -> AbstractAsyncContextManager[LanCarrier]:
    return LanCarrier.open(["lo"], random=os.urandom, wall=time.time)


class Attempt:
    """An offer that remembers what became of it."""

    def __init__(self, description: Description) -> None:
        self.description = description
        self.answer: asyncio.Future[Description] = asyncio.get_running_loop().create_future()
        self.abandoned = asyncio.Event()

    async def accept(self, answer: Description) -> None:
        self.answer.set_result(answer)

    async def abandon(self) -> None:
        self.abandoned.set()


@asynccontextmanager
async def announced(
    port: int,
    properties: Mapping[str, str | bytes],
    *,
    addresses: tuple[str, ...] = ("127.0.0.1",),
    label: str | None = None,
) -> AsyncIterator[AsyncServiceInfo]:
    """A neighbour's announcement, whatever it says."""
    zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"], ip_version=IPVersion.V4Only)
    info = AsyncServiceInfo(
        discovery.SERVICE,
        f"{label or os.urandom(8).hex()}.{discovery.SERVICE}",
        port=port,
        parsed_addresses=list(addresses),
        properties=dict(properties),
        server=f"{os.urandom(8).hex()}.local.",
    )
    try:
        await zeroconf.async_register_service(info, cooperating_responders=True)
        yield info
    finally:
        await zeroconf.async_close()
