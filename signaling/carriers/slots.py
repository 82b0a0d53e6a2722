"""Lines over a carrier that keeps values in slots: a mailbox, the DHT.

A guest's first frame goes to the slot of the nameplate, which all guests share and where the last
one to write wins, so it is put again until it is answered. All further frames have slots of their
own, named by a random attempt. Who knows a nameplate can flood its slot and so keep two people
apart; that is seen, and gives no guess. Bounded: attempts at once, and for how long.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Protocol

from signaling.carriers.lines import Talk
from signaling.pairing import FRAME_MAX
from signaling.tasks import owned_tasks

__all__ = ["SLOT_BYTES", "VALUE_MAX", "SlotLines", "Slots"]

_log = logging.getLogger(__name__)
SLOT_BYTES = 16
_ATTEMPT = 16
VALUE_MAX = _ATTEMPT + FRAME_MAX
_OPEN_MAX = 8
"""Attempts at once: a friend's, and some of somebody's who is in the way."""
_ATTEMPT_S = 90.0
"""Four frames, each a put and a lookup in the DHT away."""
_HEARD_MAX = 1_024
_AGAIN_S = 10.0
Random = Callable[[int], bytes]


class Slots(Protocol):
    """What a carrier has to offer for this. Slots are SLOT_BYTES, values at most VALUE_MAX bytes.

    A value may vanish after some minutes. Both may raise OSError.
    """

    @property
    def name(self) -> str: ...

    async def put(self, slot: bytes, value: bytes) -> None: ...

    def watch(self, slot: bytes) -> AsyncGenerator[bytes, None]:
        """The value that is there, if any, and each that comes; any may come more than once."""


def _slot(nameplate: int, attempt: bytes, step: int) -> bytes:
    name = b"p2pchat/1/pairing/slot" + nameplate.to_bytes(2, "big") + attempt + bytes((step,))
    return hashlib.sha256(name).digest()[:SLOT_BYTES]


class _SlotLine:
    """Odd steps are the guest's, even ones the host's; step 1 lies where all guests' do."""

    def __init__(self, slots: Slots, nameplate: int, attempt: bytes, first: bytes | None) -> None:
        self._slots = slots
        self._nameplate = nameplate
        self._attempt = attempt
        self._first = first
        self.source = ""
        self._step = 1 if first is None else 0
        self.answered = asyncio.Event()

    async def send(self, frame: bytes) -> None:
        if self._step == 1:
            self._first = frame
            await self.call()
        else:
            await self._slots.put(_slot(self._nameplate, self._attempt, self._step), frame)
        self._step += 1

    async def call(self) -> None:
        if self._first is not None:
            await self._slots.put(_slot(self._nameplate, b"", 1), self._attempt + self._first)

    async def receive(self) -> bytes:
        if self._step == 0:
            assert self._first is not None
            self._step = 2
            return self._first
        async with aclosing(
            self._slots.watch(_slot(self._nameplate, self._attempt, self._step))
        ) as values:
            async for value in values:
                self.answered.set()
                self._step += 1
                if len(value) > FRAME_MAX:
                    raise ValueError("a frame too long")
                return value
        raise EOFError("the slot is watched no more")


class _Open:
    """A task that can be closed."""

    def __init__(self, task: "asyncio.Task[None]") -> None:
        self._task = task

    def close(self) -> None:
        self._task.cancel()


class SlotLines:
    nameplates = 9_999
    """The whole world shares these."""

    def __init__(self, slots: Slots, tasks: asyncio.TaskGroup, random: Random) -> None:
        self._slots = slots
        self._tasks = tasks
        self._random = random

    @property
    def name(self) -> str:
        return self._slots.name

    def listen(self, nameplate: int, talk: Talk) -> _Open:
        return _Open(self._tasks.create_task(self._listen(nameplate, talk)))

    def call(self, nameplate: int, talk: Talk) -> _Open:
        return _Open(self._tasks.create_task(self._call(nameplate, talk)))

    async def _listen(self, nameplate: int, talk: Talk) -> None:
        heard: dict[bytes, None] = {}
        open_: set[asyncio.Task[None]] = set()
        async with owned_tasks() as tasks:
            while True:
                try:
                    async with aclosing(self._slots.watch(_slot(nameplate, b"", 1))) as values:
                        async for value in values:
                            attempt, frame = value[:_ATTEMPT], value[_ATTEMPT:]
                            if attempt in heard or not frame or len(value) > VALUE_MAX:
                                continue
                            if len(open_) >= _OPEN_MAX:
                                continue  # it is put again
                            heard[attempt] = None
                            if len(heard) > _HEARD_MAX:
                                del heard[next(iter(heard))]
                            line = _SlotLine(self._slots, nameplate, attempt, frame)
                            task = tasks.create_task(self._talk(talk, line))
                            open_.add(task)
                            task.add_done_callback(open_.discard)
                except OSError as error:
                    _log.debug("%s: %r", self.name, error)
                await asyncio.sleep(_AGAIN_S)

    async def _call(self, nameplate: int, talk: Talk) -> None:
        while True:
            line = _SlotLine(self._slots, nameplate, self._random(_ATTEMPT), None)
            async with owned_tasks() as tasks:
                tasks.create_task(self._repeat(line))
                await self._talk(talk, line)
            await asyncio.sleep(_AGAIN_S)

    async def _repeat(self, line: _SlotLine) -> None:
        while not line.answered.is_set():
            await asyncio.sleep(_AGAIN_S)
            try:
                if not line.answered.is_set():
                    await line.call()
            except OSError as error:
                _log.debug("%s: %r", self.name, error)

    async def _talk(self, talk: Talk, line: _SlotLine) -> None:
        try:
            async with asyncio.timeout(_ATTEMPT_S):
                await talk(line)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            _log.debug("%s: a line ended: %r", self.name, error)
        except Exception:  # noqa: BLE001  (a task's edge: one line must not end others)
            _log.exception("talking on a line")
