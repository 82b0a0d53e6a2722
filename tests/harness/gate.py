"""A store whose jobs run, and whose outcomes come, when a test says so: every interleaving of the
loop with the store's threads can be had, and had again.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from p2pchat.store.database import Database

__all__ = ["Gate"]


class Gate:
    """Holds all that is asked of `database` from now on, until `open`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._put = database._put
        self._held: dict[int, deque[tuple[Any, Any, Any]]] = {}
        self._done: dict[int, deque[Callable[[], None]]] = {}
        for jobs in (database._writes, database._reads):
            self._held[id(jobs)], self._done[id(jobs)] = deque(), deque()
        database._put = self._hold  # type: ignore[method-assign]

    def _hold(self, jobs: Any, work: Any, settle: Any) -> None:
        self._held[id(jobs)].append((jobs, work, settle))

    async def step(self, choose: random.Random) -> bool:
        """Run a job, or tell of one that has run; whether there was any."""
        some = [queue for queue in (*self._held.values(), *self._done.values()) if queue]
        if not some:
            return False
        queue = choose.choice(some)
        if any(queue is one for one in self._done.values()):
            queue.popleft()()
            return True
        jobs, work, settle = queue.popleft()
        ran: asyncio.Future[tuple[Any, Any]] = asyncio.get_running_loop().create_future()
        self._put(jobs, work, lambda value, error: ran.set_result((value, error)))
        outcome = await ran
        self._done[id(jobs)].append(lambda: settle(*outcome))
        return True

    async def open(self, choose: random.Random) -> None:
        """Let all go, and hold nothing more."""
        self._database._put = self._put  # type: ignore[method-assign]
        while await self.step(choose):
            await asyncio.sleep(0)
