import asyncio

import pytest

from p2pchat import errors, events
from p2pchat.api.routes.working import drain, until


async def test_what_happens_meanwhile_comes_before_what_came_of_it() -> None:
    told: asyncio.Queue[events.Event] = asyncio.Queue()
    heard = asyncio.Event()

    async def work() -> events.Event:
        told.put_nowait(events.Note(text="meanwhile"))
        await heard.wait()
        return events.Note(text="done")

    texts = []
    async with asyncio.timeout(20):
        async for event in until(drain(told), work):
            assert isinstance(event, events.Note)
            texts.append(event.text)
            heard.set()
    assert texts == ["meanwhile", "done"]


async def test_an_error_comes_out_as_it_is() -> None:
    async def work() -> events.Event:
        raise errors.BadInput("room-unknown", "no such room", "make it")

    with pytest.raises(errors.BadInput, match="no such room"):
        [_ async for _ in until(drain(asyncio.Queue()), work)]


async def test_whoever_goes_away_ends_the_work() -> None:
    told: asyncio.Queue[events.Event] = asyncio.Queue()
    heard, ended = asyncio.Event(), asyncio.Event()

    async def work() -> events.Event:
        told.put_nowait(events.Note(text="meanwhile"))
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async def answer() -> None:
        async for _ in until(drain(told), work):
            heard.set()

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        answering = tasks.create_task(answer())
        await heard.wait()
        answering.cancel()
        await ended.wait()
