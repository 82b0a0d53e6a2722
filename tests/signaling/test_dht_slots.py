"""Values in slots over a DHT in memory."""

import asyncio
import os
from contextlib import aclosing

import pytest

from signaling.carriers import dht_slots as module
from signaling.carriers.dht_slots import DhtSlots
from signaling.carriers.slots import SLOT_BYTES, VALUE_MAX, SlotLines
from signaling.tasks import owned_tasks
from tests.signaling.test_dht import Memory
from tests.signaling.test_slots import Ends, following

SLOT, OTHER = bytes(SLOT_BYTES), b"\x01" * SLOT_BYTES


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EAGER_LOOK_S", 0.01)
    monkeypatch.setattr(module, "_EACH_S", 0.0)
    monkeypatch.setattr(module, "_PUT_AGAIN_S", 0.01)


async def test_a_value_is_seen_once_each_time_that_it_is_put_and_in_its_slot_alone() -> None:
    memory = Memory()
    async with asyncio.timeout(10), owned_tasks() as tasks:
        one, two = DhtSlots(memory, tasks), DhtSlots(memory, tasks)
        await one.put(OTHER, b"elsewhere")
        await one.put(SLOT, b"x" * VALUE_MAX)
        async with aclosing(two.watch(SLOT)) as values:
            assert await anext(values) == b"x" * VALUE_MAX
            await one.put(SLOT, b"next")
            assert await anext(values) == b"next"
            gets = memory.gets
            nothing = tasks.create_task(following(values))
            while memory.gets < gets + 5:
                await asyncio.sleep(0)
            assert not nothing.done()
            nothing.cancel()
            await asyncio.wait({nothing})


async def test_what_no_value_may_be_is_passed_over() -> None:
    memory = Memory()
    async with asyncio.timeout(10), owned_tasks() as tasks:
        slots = DhtSlots(memory, tasks)
        await slots.put(SLOT, b"first")
        async with aclosing(slots.watch(SLOT)) as values:
            assert await anext(values) == b"first"
            (key,) = memory.items
            for rubbish in (b"", b"x" * (VALUE_MAX + 1)):
                memory.put_raw(key, rubbish)
            nothing = tasks.create_task(following(values))
            await asyncio.wait({nothing}, timeout=0.1)
            assert not nothing.done()
            memory.put_raw(key, b"last")
            assert await nothing == b"last"


async def test_a_dht_that_is_away_for_a_while_loses_nothing_and_the_last_value_wins() -> None:
    memory = Memory()
    memory.down = True
    async with asyncio.timeout(10), owned_tasks() as tasks:
        slots = DhtSlots(memory, tasks)
        await slots.put(SLOT, b"old")
        await asyncio.sleep(0)
        await slots.put(SLOT, b"new")
        async with aclosing(slots.watch(SLOT)) as values:
            coming = tasks.create_task(following(values))
            await asyncio.wait({coming}, timeout=0.03)
            memory.down = False
            assert await coming == b"new"


async def test_a_value_that_nobody_takes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TRIES_MAX", 2)
    memory = Memory()
    memory.down = True
    async with asyncio.timeout(10), owned_tasks() as tasks:
        slots = DhtSlots(memory, tasks)
        await slots.put(SLOT, b"x")
        while slots._writers:
            await asyncio.sleep(0.01)
        memory.down = False
        await slots.put(SLOT, b"y")
        while slots._writers:
            await asyncio.sleep(0.01)
        assert [item.value for item in memory.items.values()] == [b"y"]


async def test_many_watches_look_no_more_often_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EACH_S", 0.1)
    memory = Memory()
    async with asyncio.timeout(10), owned_tasks() as tasks:
        slots = DhtSlots(memory, tasks)

        async def watch(number: int) -> None:
            async for _ in slots.watch(bytes((number,)) * SLOT_BYTES):
                pass

        for number in range(20):
            tasks.create_task(watch(number))
        while memory.gets < 20:
            await asyncio.sleep(0)
        await asyncio.sleep(0.3)
        # All at once at the start, in steps of a pause that grew with each; then 2 s for each.
        assert memory.gets <= 60


async def test_two_talk_on_a_line_over_a_dht() -> None:
    memory, ends = Memory(), Ends()
    async with asyncio.timeout(10), owned_tasks() as tasks:
        SlotLines(DhtSlots(memory, tasks), tasks, os.urandom).listen(7, ends.host)
        SlotLines(DhtSlots(memory, tasks), tasks, os.urandom).call(7, ends.guest)
        assert await ends.done.get() == (b"ba", b"dc")
