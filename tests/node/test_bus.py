"""Readers of the bus: each in order, each for itself, and bounded."""

import asyncio

import pytest

from p2pchat.events import Note
from p2pchat.node import bus as module
from p2pchat.node.bus import Bus


async def test_a_reader_sees_in_order_what_came_after_it_subscribed() -> None:
    bus = Bus()
    bus.publish(Note(text="before"))
    with bus.subscribe() as feed:
        bus.publish(Note(text="one"))
        bus.publish(Note(text="two"))
        assert [await anext(feed), await anext(feed)] == [Note(text="one"), Note(text="two")]


async def test_a_waiting_reader_is_woken() -> None:
    bus = Bus()
    with bus.subscribe() as feed:
        async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(anext(feed))
            tasks.create_task(asyncio.to_thread(lambda: None)).add_done_callback(
                lambda _: bus.publish(Note(text="late"))
            )
        assert reading.result() == Note(text="late")


async def test_a_reader_that_falls_behind_reads_what_it_has_and_then_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_WAITING_MAX", 3)
    bus = Bus()
    slow, quick = bus.subscribe(), bus.subscribe()
    read = []
    for number in range(5):
        bus.publish(Note(text=str(number)))
        read.append(await anext(quick))
    async with asyncio.timeout(5):
        assert [event async for event in slow] == [Note(text=str(number)) for number in range(3)]
    assert read == [Note(text=str(number)) for number in range(5)]


async def test_closing_the_bus_ends_every_reader() -> None:
    bus = Bus()
    feeds = [bus.subscribe(), bus.subscribe()]
    bus.publish(Note(text="last"))
    bus.close()
    bus.publish(Note(text="after"))
    async with asyncio.timeout(5):
        for feed in feeds:
            assert [event async for event in feed] == [Note(text="last")]
