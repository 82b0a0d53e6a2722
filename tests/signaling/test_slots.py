import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest

from signaling.carriers import slots as module
from signaling.carriers.lines import Line
from signaling.carriers.slots import SLOT_BYTES, VALUE_MAX, SlotLines
from signaling.pairing import FRAME_MAX
from signaling.tasks import owned_tasks

WAIT_S = 5.0


class Shelf:
    """Slots in memory, the last value wins; drops the first `lost` values."""

    name = "shelf"

    def __init__(self, lost: int = 0) -> None:
        self.values: dict[bytes, bytes] = {}
        self._watchers: defaultdict[bytes, list[asyncio.Queue[bytes]]] = defaultdict(list)
        self._lost = lost

    async def put(self, slot: bytes, value: bytes) -> None:
        assert len(slot) == SLOT_BYTES
        assert len(value) <= VALUE_MAX
        if self._lost:
            self._lost -= 1
            raise OSError("lost")
        self.values[slot] = value
        for watcher in self._watchers[slot]:
            watcher.put_nowait(value)

    async def watch(self, slot: bytes) -> AsyncGenerator[bytes, None]:
        arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self._watchers[slot].append(arrived)
        if slot in self.values:
            yield self.values[slot]
        while True:
            yield await arrived.get()


@asynccontextmanager
async def lines(shelf: Shelf) -> AsyncIterator[SlotLines]:
    async with asyncio.timeout(WAIT_S), owned_tasks() as tasks:
        yield SlotLines(shelf, tasks, os.urandom)


async def following(values: AsyncGenerator[bytes, None]) -> bytes:
    """The next value, as a task of its own."""
    return await anext(values)


class Ends:
    """A host that answers each frame with its reverse, twice, and a guest that asks two."""

    def __init__(self) -> None:
        self.done: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()
        self.talks = 0

    async def host(self, line: Line) -> None:
        self.talks += 1
        for _ in range(2):
            await line.send((await line.receive())[::-1])

    async def guest(self, line: Line) -> None:
        await line.send(b"ab")
        first = await line.receive()
        await line.send(b"cd")
        self.done.put_nowait((first, await line.receive()))


@pytest.mark.parametrize("guest_first", [False, True])
async def test_two_talk_in_turn_over_slots(guest_first: bool) -> None:
    ends = Ends()
    async with lines(Shelf()) as line:
        if guest_first:
            line.call(7, ends.guest)
            await asyncio.sleep(0)
        line.listen(7, ends.host)
        if not guest_first:
            line.call(7, ends.guest)
        assert await ends.done.get() == (b"ba", b"dc")


async def test_two_guests_at_once_have_lines_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0.05)
    ends = Ends()
    async with lines(Shelf()) as line:
        line.listen(7, ends.host)
        line.call(7, ends.guest)
        line.call(7, ends.guest)
        for _ in range(2):
            assert await ends.done.get() == (b"ba", b"dc")


async def test_a_call_that_is_written_over_is_put_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0.05)
    ends, shelf = Ends(), Shelf()
    async with lines(shelf) as line:
        line.call(7, ends.guest)
        while not shelf.values:
            await asyncio.sleep(0)
        (slot,) = shelf.values
        shelf.values[slot] = b"\0" * 50
        line.listen(7, ends.host)
        assert await ends.done.get() == (b"ba", b"dc")


async def test_a_call_that_could_not_be_put_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0.05)
    ends = Ends()
    async with lines(Shelf(lost=1)) as line:
        line.listen(7, ends.host)
        line.call(7, ends.guest)
        assert await ends.done.get() == (b"ba", b"dc")


async def test_attempts_at_once_are_bounded_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0.05)
    monkeypatch.setattr(module, "_ATTEMPT_S", 0.3)
    ends, shelf = Ends(), Shelf()
    async with lines(shelf) as line:
        line.call(7, ends.guest).close()
        listening = line.listen(7, ends.host)
        line.call(7, ends.guest)
        await ends.done.get()
        (slot,) = (slot for slot, value in shelf.values.items() if len(value) == 16 + 2)
        for number in range(40):
            await shelf.put(slot, bytes((number,)) * 16 + b"x")
            await asyncio.sleep(0)
        await shelf.put(slot, b"y" * (VALUE_MAX - 1))
        await shelf.put(slot, b"short")
        await asyncio.sleep(0.05)
        assert ends.talks == 1 + 8
        line.call(7, ends.guest)  # gets its turn once the others have had their time
        assert await ends.done.get() == (b"ba", b"dc")
        listening.close()


async def test_a_frame_too_long_ends_the_line() -> None:
    shelf, ended = Shelf(), asyncio.Event()

    async def host(line: Line) -> None:
        await line.receive()
        attempt = next(value[:16] for value in shelf.values.values())
        await shelf.put(module._slot(7, attempt, 2), bytes(FRAME_MAX + 1))
        await asyncio.Event().wait()

    async def guest(line: Line) -> None:
        await line.send(b"ab")
        try:
            await line.receive()
        except ValueError:
            ended.set()

    async with lines(shelf) as line:
        line.listen(7, host)
        line.call(7, guest)
        await ended.wait()
