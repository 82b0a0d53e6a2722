"""A lock that can say whether taking it would wait."""

import asyncio

__all__ = ["Turn"]


class Turn:
    """`async with` it, or `take` it and `end` it elsewhere."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._users = 0
        """who has it, and who waits: a lock that was given up for a waiter is unlocked as well"""

    @property
    def free(self) -> bool:
        """Whether nobody has it or waits for it: then `take` waits for nothing."""
        return not self._users

    async def take(self) -> None:
        self._users += 1
        try:
            await self._lock.acquire()
        except BaseException:
            self._users -= 1
            raise

    def end(self) -> None:
        self._lock.release()
        self._users -= 1

    async def __aenter__(self) -> None:
        await self.take()

    async def __aexit__(self, *exc: object) -> None:
        self.end()
