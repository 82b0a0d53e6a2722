"""The law of the runner: on disk before anything about it leaves."""

import asyncio
from collections.abc import Iterator

import pytest

from p2pchat.core.machine import Close, Emit, Output, Persist, Send
from p2pchat.errors import Error
from p2pchat.node.runner import Runner


class _Machine:
    """Gives out what a test queues."""

    def __init__(self, *outputs: Output) -> None:
        self.queued = list(outputs)

    def outputs(self) -> Iterator[Output]:
        while self.queued:
            yield self.queued.pop(0)


class _World:
    """The pipe, the disk and the listener of a runner; keeps what happens in its order."""

    def __init__(self, machine: _Machine) -> None:
        self.machine = machine
        self.seen: list[object] = []
        self.full = False
        self.bulk_may_leave = asyncio.Event()
        self.bulk_left = asyncio.Event()
        self.live_left = asyncio.Event()
        self.runner = Runner(self, machine.outputs, self.commit, self.tell)

    async def send(self, frame: bytes, *, bulk: bool = False) -> None:
        if bulk:
            await self.bulk_may_leave.wait()
            self.bulk_left.set()
        else:
            self.live_left.set()
        self.seen.append(frame)

    async def close(self, reason: str) -> None:
        self.seen.append(("closed", reason))

    async def commit(self, records: list[object]) -> None:
        if self.full:
            raise Error("disk-full", "the disk is full", "free some space")
        self.seen.append(("disk", records))

    async def tell(self, fact: object) -> None:
        self.seen.append(("told", fact))
        if fact == "more":
            self.machine.queued.append(Send(b"answer"))


def _never() -> float | None:
    return None


async def test_every_record_of_a_round_is_on_disk_before_a_frame_of_it_leaves() -> None:
    world = _World(_Machine(Persist("a"), Send(b"1"), Persist("b"), Send(b"2")))
    await world.runner.flush()
    assert world.seen == [("disk", ["a", "b"]), b"1", b"2"]


async def test_a_failing_commit_lets_no_frame_and_no_fact_out() -> None:
    world = _World(_Machine(Send(b"1"), Persist("a"), Send(b"2"), Emit("fact")))
    world.full = True
    with pytest.raises(Error, match="disk is full"):
        await world.runner.flush()
    assert world.seen == []


async def test_what_a_fact_makes_the_machine_say_goes_out_in_the_same_flush() -> None:
    world = _World(_Machine(Emit("more"), Send(b"first")))
    await world.runner.flush()
    assert world.seen == [("told", "more"), b"first", b"answer"]


async def test_nothing_leaves_after_a_close() -> None:
    world = _World(_Machine(Close("bad-frame"), Send(b"late")))
    await world.runner.flush()
    world.machine.queued.append(Send(b"later"))
    await world.runner.flush()
    assert world.seen == [("closed", "bad-frame")]
    assert world.runner.closed


async def test_bulk_that_waits_for_room_does_not_hold_up_live_frames() -> None:
    world = _World(_Machine(Send(b"bulk", bulk=True)))
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.runner.run(_never, lambda: None))
        await world.runner.flush()
        world.machine.queued.append(Send(b"live"))
        world.runner.wake()
        await world.live_left.wait()
        assert not world.bulk_left.is_set()
        world.bulk_may_leave.set()
        await world.bulk_left.wait()
        running.cancel()
    assert world.seen == [b"live", b"bulk"]


async def test_a_due_timer_ticks_and_its_outputs_leave() -> None:
    world = _World(_Machine())
    due: list[float] = [asyncio.get_running_loop().time()]

    def tick() -> None:
        due.clear()
        world.machine.queued.append(Send(b"ticked"))

    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.runner.run(lambda: due[0] if due else None, tick))
        await world.live_left.wait()
        running.cancel()
    assert world.seen == [b"ticked"]
