"""Carries out what machines decide, in their order, with one law:

every `Persist` that stands before a `Send` is committed before that `Send` leaves.

So "nothing acknowledged is lost" is a property of this file. All outputs of one round are committed
in one transaction; that commits some records earlier than asked, never later.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

from p2pchat.core.machine import Close, Emit, Output, Persist, Send

__all__ = ["Pipe", "Runner"]

_log = logging.getLogger(__name__)


class Pipe(Protocol):
    """Where frames go: a link."""

    async def send(self, frame: bytes, *, bulk: bool = False) -> None: ...

    async def close(self, reason: str) -> None: ...


class Runner:
    """Drains one machine's outputs onto one pipe.

    `commit` puts records on disk, or raises; `tell` takes facts, in order, and may call the machine
    again. Bulk frames leave through a task of their own (`run`), so that a slow bulk channel holds
    up no live frame; they are bounded by the machine's credit, not here.
    """

    def __init__(
        self,
        pipe: Pipe,
        outputs: Callable[[], Iterator[Output]],
        commit: Callable[[list[object]], Awaitable[None]],
        tell: Callable[[object], Awaitable[None]],
    ) -> None:
        self._pipe = pipe
        self._outputs = outputs
        self._commit = commit
        self._tell = tell
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._bulk: deque[bytes] = deque()
        self._bulk_wake = asyncio.Event()
        self.closed = False

    def wake(self) -> None:
        """The machine was called from outside a frame: have its outputs carried out soon."""
        self._wake.set()

    async def flush(self) -> None:
        """Carry out everything that is due. Whoever calls at the same time waits its turn."""
        async with self._turn:
            while not self.closed:
                batch = list(self._outputs())
                if not batch:
                    return
                records = [output.record for output in batch if isinstance(output, Persist)]
                if records:
                    await self._commit(records)
                for output in batch:
                    await self._carry_out(output)

    async def _carry_out(self, output: Output) -> None:
        if self.closed:
            return
        match output:
            case Send(frame, bulk=False):
                await self._pipe.send(frame)
            case Send(frame):
                self._bulk.append(frame)
                self._bulk_wake.set()
            case Emit(fact):
                await self._tell(fact)
            case Close(code):
                _log.debug("machine closes the link", extra={"code": code})
                self.closed = True
                await self._pipe.close(code)
            case Persist():
                pass  # on disk already

    async def run(self, next_timer: Callable[[], float | None], tick: Callable[[], None]) -> None:
        """Until cancelled: outputs made outside of frames, due timers, and bulk frames."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._run_bulk())
            while True:
                due = next_timer()
                loop = asyncio.get_running_loop()
                try:
                    async with asyncio.timeout_at(due):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                self._wake.clear()
                if due is not None and loop.time() >= due:
                    tick()
                await self.flush()

    async def _run_bulk(self) -> None:
        while True:
            while self._bulk:
                await self._pipe.send(self._bulk.popleft(), bulk=True)
            self._bulk_wake.clear()
            await self._bulk_wake.wait()
