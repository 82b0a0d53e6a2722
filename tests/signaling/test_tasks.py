import asyncio

import pytest

from signaling.tasks import owned_tasks


async def test_tasks_end_with_their_owner() -> None:
    ended = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with owned_tasks() as tasks:
        tasks.create_task(forever())
        await asyncio.sleep(0)
    assert ended.is_set()


async def test_what_the_body_raises_comes_out_unwrapped() -> None:
    async def own() -> None:
        async with owned_tasks() as tasks:
            tasks.create_task(asyncio.Event().wait())
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await own()


async def test_a_failing_task_ends_the_body() -> None:
    async def fail() -> None:
        raise OSError("gone")

    async def own() -> None:
        async with owned_tasks() as tasks:
            tasks.create_task(fail())
            await asyncio.Event().wait()

    with pytest.raises(BaseException) as caught:  # noqa: PT011
        await own()
    assert _leaf(caught.value, OSError)


async def test_cancelling_the_owner_cancels_its_tasks() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def own() -> None:
        async with owned_tasks() as tasks:
            tasks.create_task(forever())
            started.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        owner = group.create_task(own())
        await started.wait()
        await asyncio.sleep(0)
        owner.cancel()
    assert owner.cancelled()
    assert ended.is_set()


def _leaf(error: BaseException, kind: type[BaseException]) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(_leaf(inner, kind) for inner in error.exceptions)
    return isinstance(error, kind)


async def test_a_cancellation_that_comes_while_it_ends_is_not_lost() -> None:
    ending = asyncio.Event()

    async def slow_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await asyncio.sleep(0)

    async def owner() -> None:
        async with owned_tasks() as tasks:
            tasks.create_task(slow_to_end())
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(owner())
        await ending.wait()
        task.cancel()
    assert task.cancelled()
