"""Two transports, and two links, joined over 127.0.0.1."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import pytest

from p2pchat.net.link import Link
from p2pchat.net.transport import Settings, Transport

LOOPBACK = Settings(interfaces=("lo",))
OPEN_S = 20.0

Join = Callable[..., AbstractAsyncContextManager[tuple[Link, Link]]]


async def _connect(stack: AsyncExitStack) -> tuple[Transport, Transport]:
    offering = await Transport.offering(LOOPBACK)
    stack.push_async_callback(offering.aclose)
    answering = await Transport.answering(LOOPBACK, offering.description)
    stack.push_async_callback(answering.aclose)
    await offering.accept(answering.description)
    await asyncio.gather(offering.opened(OPEN_S), answering.opened(OPEN_S))
    return offering, answering


@pytest.fixture
def loopback() -> Settings:
    return LOOPBACK


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Transport, Transport]]:
    async with AsyncExitStack() as stack:
        yield await _connect(stack)


@pytest.fixture
def join() -> Join:
    """Makes two links that run for as long as the context."""

    @asynccontextmanager
    async def joined(
        heartbeat_s: float = 3.0, dead_s: float = 10.0, doubt_s: float = 5.0
    ) -> AsyncIterator[tuple[Link, Link]]:
        async with AsyncExitStack() as stack:
            transports = await _connect(stack)
            near, far = (
                Link(t, heartbeat_s=heartbeat_s, dead_s=dead_s, doubt_s=doubt_s) for t in transports
            )
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(link.run()) for link in (near, far)]
                try:
                    yield near, far
                finally:
                    for task in running:
                        task.cancel()

    return joined
