"""Tasks that end with their owner."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["owned_tasks"]


class _Over(Exception):
    pass


@asynccontextmanager
async def owned_tasks() -> AsyncIterator[asyncio.TaskGroup]:
    """A TaskGroup whose tasks are cancelled when the body ends.

    What the body raises comes out as it is, not wrapped in a group; a task that fails ends the body
    as in any TaskGroup.
    """
    owner = asyncio.current_task()
    assert owner is not None
    cancelled = owner.cancelling()
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            try:
                yield group
            except BaseException as error:  # noqa: BLE001  (raised again below)
                failure = error
            raise _Over
    except* _Over:
        pass
    if owner.cancelling() > cancelled and not isinstance(failure, asyncio.CancelledError):
        # A TaskGroup of Python 3.11 that is ending anyway swallows it (python/cpython#116720).
        raise asyncio.CancelledError from failure
    if failure is not None:
        raise failure
