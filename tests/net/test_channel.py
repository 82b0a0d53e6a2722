"""Framing, backpressure and bounds, over a data channel that is only a queue."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from aiortc.exceptions import InvalidStateError
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.net.channel import FRAME_MAX, LIVE_MAX, MESSAGE_MAX, Channel, ChannelClosed


class Queue:
    """Stands for an RTCDataChannel: holds what was sent until `drain`."""

    def __init__(self) -> None:
        self.readyState = "open"
        self.bufferedAmountLowThreshold = 0
        self.sent: list[bytes] = []
        self.bufferedAmount = 0
        self.peak = 0
        self._handlers: dict[str, Callable[..., None]] = {}

    def on(self, event: str, handler: Callable[..., None]) -> None:
        self._handlers[event] = handler

    def send(self, message: bytes) -> None:
        if self.readyState != "open":
            raise InvalidStateError
        self.sent.append(message)
        self.bufferedAmount += len(message)
        self.peak = max(self.peak, self.bufferedAmount)

    def drain(self, amount: int) -> None:
        before = self.bufferedAmount
        self.bufferedAmount -= min(amount, before)
        if before > self.bufferedAmountLowThreshold >= self.bufferedAmount:
            self._handlers["bufferedamountlow"]()

    def arrive(self, message: bytes) -> None:
        self._handlers["message"](message)


class End:
    def __init__(self, *, cut: bool, attached: bool = True) -> None:
        self.queue = Queue()
        self.frames: list[bytes] = []
        self.abuses: list[str] = []
        self.channel = Channel(cast(Any, self.queue), self.abuses.append, cut=cut)
        if attached:
            self.channel.attach(self.frames.append)


async def turns(count: int = 5) -> None:
    """Let other tasks come to where they wait."""
    for _ in range(count):
        await asyncio.sleep(0)


@given(st.lists(st.integers(1, FRAME_MAX), min_size=1, max_size=4))
def test_frames_of_any_size_arrive_whole_and_in_order(sizes: list[int]) -> None:
    async def carry() -> None:
        ours, theirs = End(cut=True), End(cut=True)
        for number, size in enumerate(sizes):
            sending = asyncio.gather(ours.channel.send(bytes([number]) * size))
            while not sending.done():
                await turns(2)
                ours.queue.drain(MESSAGE_MAX)
            await sending
        for message in ours.queue.sent:
            assert len(message) <= MESSAGE_MAX
            theirs.queue.arrive(message)
        assert theirs.frames == [bytes([n]) * size for n, size in enumerate(sizes)]
        assert theirs.abuses == []

    asyncio.run(carry())


async def test_bulk_never_queues_more_than_its_cap_and_half_a_message() -> None:
    end = End(cut=True)
    sending = asyncio.gather(*(end.channel.send(bytes(FRAME_MAX)) for _ in range(3)))
    while not sending.done():
        await turns(3)
        end.queue.drain(5_000)
    assert end.queue.peak <= 65_536 + MESSAGE_MAX // 2
    assert sum(map(len, end.queue.sent)) > 3 * FRAME_MAX


async def test_on_a_slow_path_the_cap_shrinks_to_what_drains_in_50_ms() -> None:
    end = End(cut=True)
    for _ in range(8):
        end.channel._adapt(drained=20_000, seconds=0.5)
    assert end.channel._cap == MESSAGE_MAX
    for _ in range(8):
        end.channel._adapt(drained=32_768, seconds=0.001)
    assert end.channel._cap == pytest.approx(65_536, rel=0.01)


async def test_a_wait_with_a_shrunken_cap_ends_when_the_queue_drains() -> None:
    end = End(cut=True)
    for _ in range(8):
        end.channel._adapt(drained=1, seconds=1)
    sending = asyncio.gather(end.channel.send(bytes(FRAME_MAX)))
    for _ in range(4 * FRAME_MAX // 1_000):
        await turns(2)
        end.queue.drain(1_000)
    assert sending.done()


async def test_the_largest_live_frame_waits_and_goes() -> None:
    end = End(cut=False)
    await end.channel.send(bytes(LIVE_MAX))
    second = asyncio.gather(end.channel.send(bytes(LIVE_MAX)))
    await turns()
    assert not second.done()
    end.queue.drain(LIVE_MAX)
    await second


async def test_a_cancelled_send_leaves_no_half_frame() -> None:
    ours, theirs = End(cut=True), End(cut=True)
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(ours.channel.send(b"a" * FRAME_MAX))
        await turns()
        assert 0 < len(ours.queue.sent) < FRAME_MAX // MESSAGE_MAX
        first.cancel()
    ours.queue.drain(1 << 20)
    await ours.channel.send(b"b")
    for message in ours.queue.sent:
        theirs.queue.arrive(message)
    assert theirs.frames == [b"a" * FRAME_MAX, b"b"]


async def test_a_send_cancelled_when_the_channel_has_just_failed_is_cancelled() -> None:
    end = End(cut=True)
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(end.channel.send(b"a" * FRAME_MAX))
        await turns()
        end.queue.readyState = "closed"
        sending.cancel()
    assert sending.cancelled()


async def test_a_send_cancelled_before_its_first_message_sends_nothing() -> None:
    end = End(cut=False)
    await end.channel.send(bytes(LIVE_MAX))
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(end.channel.send(b"x" * 100))
        await turns()
        waiting.cancel()
    end.queue.drain(LIVE_MAX)
    assert len(end.queue.sent) == 1


async def test_concurrent_senders_keep_their_order() -> None:
    end = End(cut=False)
    await end.channel.send(bytes(LIVE_MAX))
    sending = asyncio.gather(*(end.channel.send(bytes([n])) for n in range(1, 20)))
    await turns()
    end.queue.drain(LIVE_MAX)
    await sending
    assert end.queue.sent[1:] == [bytes([n]) for n in range(1, 20)]


async def test_frames_of_concurrent_senders_are_not_mixed() -> None:
    ours, theirs = End(cut=True), End(cut=True)
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(ours.channel.send(b"a" * FRAME_MAX))
        await turns()
        assert not first.done()
        # The newcomer's turn comes before that of whoever the drained queue wakes.
        second = tasks.create_task(ours.channel.send(b"b" * FRAME_MAX))
        while not (first.done() and second.done()):
            ours.queue.drain(1 << 20)
            await turns(3)
    for message in ours.queue.sent:
        theirs.queue.arrive(message)
    assert theirs.frames == [b"a" * FRAME_MAX, b"b" * FRAME_MAX]


async def test_who_waits_to_send_is_told_of_the_end() -> None:
    end = End(cut=True)
    sending = asyncio.gather(end.channel.send(bytes(FRAME_MAX)), return_exceptions=True)
    await turns()
    end.channel.close()
    (outcome,) = await sending
    assert isinstance(outcome, ChannelClosed)


async def test_sending_on_what_aiortc_has_closed_is_the_end_too() -> None:
    end = End(cut=False)
    end.queue.readyState = "closed"
    with pytest.raises(ChannelClosed):
        await end.channel.send(b"x")


@pytest.mark.parametrize(
    "message",
    [b"", b"\x00", b"\x01", b"\x02x", b"\x00" + bytes(MESSAGE_MAX)],
    ids=["nothing", "empty piece", "empty last piece", "unknown mark", "too large"],
)
async def test_a_bulk_message_out_of_bounds_is_abuse(message: bytes) -> None:
    end = End(cut=True)
    end.queue.arrive(message)
    assert end.abuses
    assert end.frames == []


async def test_an_endless_bulk_frame_is_abuse_before_it_costs_memory() -> None:
    end = End(cut=True)
    piece = b"\x00" + bytes(MESSAGE_MAX - 1)
    for _ in range(FRAME_MAX // (MESSAGE_MAX - 1)):
        end.queue.arrive(piece)
    assert not end.abuses
    end.queue.arrive(piece)
    assert end.abuses
    assert len(end.channel._part) <= FRAME_MAX


@pytest.mark.parametrize("message", [b"", bytes(LIVE_MAX + 1)], ids=["nothing", "too large"])
async def test_a_live_message_out_of_bounds_is_abuse(message: bytes) -> None:
    end = End(cut=False)
    end.queue.arrive(message)
    assert end.abuses
    assert end.frames == []


@given(st.lists(st.binary(max_size=40), max_size=30))
def test_any_messages_are_frames_or_abuse(messages: list[bytes]) -> None:
    async def feed() -> None:
        end = End(cut=True)
        for message in messages:
            end.queue.arrive(message)
        assert sum(map(len, end.frames)) <= sum(map(len, messages))

    asyncio.run(feed())


async def test_frames_that_come_before_anybody_listens_are_kept_in_order() -> None:
    end = End(cut=False, attached=False)
    for number in range(1, 4):
        end.queue.arrive(bytes([number]))
    end.channel.attach(end.frames.append)
    end.queue.arrive(b"\x04")
    assert end.frames == [b"\x01", b"\x02", b"\x03", b"\x04"]


async def test_frames_that_nobody_listens_to_are_bounded() -> None:
    end = End(cut=False, attached=False)
    for _ in range(1_000):
        end.queue.arrive(b"x")
    assert end.abuses
    assert len(end.channel._early) <= 64
