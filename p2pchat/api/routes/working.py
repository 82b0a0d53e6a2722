"""Answers to what takes a while: what happens meanwhile, then what came of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from p2pchat import errors, events
from p2pchat.api.routes.asking import Stream

__all__ = [
    "drain",
    "until",
]


async def drain(queue: "asyncio.Queue[events.Event]") -> Stream:
    while True:
        yield await queue.get()


async def until(
    feed: AsyncIterator[events.Event], work: Callable[[], Awaitable[events.Event]]
) -> Stream:
    """What `feed` says until `work` is done, then what it answered; what it raises is raised."""
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(_outcome(work))
        reading = tasks.create_task(_next(feed))
        try:
            while True:
                done, _ = await asyncio.wait(
                    {working, reading}, return_when=asyncio.FIRST_COMPLETED
                )
                if reading in done:
                    event = reading.result()
                    if event is None:
                        break
                    yield event
                    reading = tasks.create_task(_next(feed))
                if working in done:
                    break
        finally:
            reading.cancel()
            if not working.done():
                working.cancel()
    result = working.result()
    if isinstance(result, errors.Error):
        raise result
    yield result


async def _next(feed: AsyncIterator[events.Event]) -> events.Event | None:
    return await anext(feed, None)


async def _outcome(
    work: Callable[[], Awaitable[events.Event]],
) -> events.Event | errors.Error:
    """Errors as values: a TaskGroup would wrap them."""
    try:
        return await work()
    except errors.Error as error:
        return error
