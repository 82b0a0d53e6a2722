"""Frames over one data channel, with backpressure that aiortc does not give.

aiortc's `send` only queues, and one FIFO serves all channels of a link: what keeps a live message
fast is how little the bulk channel has queued (64 KiB: 14 ms on loopback; without a cap 1.6 s).
"""

import asyncio
from collections.abc import Callable

from aiortc import RTCDataChannel
from aiortc.exceptions import InvalidStateError

__all__ = ["FRAME_MAX", "LIVE_MAX", "Channel", "ChannelClosed"]

LIVE_MAX = 65_536
FRAME_MAX = 262_144
_MESSAGE = 16_384
"""Bulk messages: larger ones are faster alone, but hold up live ones longer."""
_CAP = 65_536
_MORE, _LAST = b"\x00", b"\x01"


class ChannelClosed(Exception):
    """The channel is not open any more."""


class Channel:
    """`deliver` is called, synchronously and in order, with each whole frame.

    `abuse` is called with a sentence when the peer breaks a bound.
    """

    def __init__(
        self,
        channel: RTCDataChannel,
        deliver: Callable[[bytes], None],
        abuse: Callable[[str], None],
        *,
        cut: bool,
    ) -> None:
        self._channel = channel
        self._deliver = deliver
        self._abuse = abuse
        self._cut = cut
        self._parts: list[bytes] = []
        self._size = 0
        self._low = asyncio.Event()
        self._turn = asyncio.Lock()
        self._closed = False
        channel.bufferedAmountLowThreshold = _CAP // 2
        channel.on("bufferedamountlow", self._low.set)
        channel.on("message", self._on_message)

    async def send(self, frame: bytes) -> None:
        """Queue a frame, once there is room. Raises ChannelClosed."""
        if not self._cut:
            assert len(frame) <= LIVE_MAX
            await self._put(frame)
            return
        assert len(frame) <= FRAME_MAX
        async with self._turn:
            size = _MESSAGE - 1
            for start in range(0, len(frame), size):
                mark = _LAST if start + size >= len(frame) else _MORE
                await self._put(mark + frame[start : start + size])

    def close(self) -> None:
        """Let whoever waits to send know that it is over."""
        self._closed = True
        self._low.set()

    async def _put(self, message: bytes) -> None:
        while not self._closed and self._channel.bufferedAmount > _CAP - len(message) // 2:
            self._low.clear()
            await self._low.wait()
        try:
            if self._closed:
                raise ChannelClosed
            self._channel.send(message)
        except (InvalidStateError, ConnectionError) as error:
            raise ChannelClosed from error

    def _on_message(self, message: bytes) -> None:
        if self._closed:
            return
        if not self._cut:
            if len(message) > LIVE_MAX:
                self._abuse("a live message above 64 KiB")
            else:
                self._deliver(message)
            return
        self._size += len(message) - 1
        if len(message) > _MESSAGE or self._size > FRAME_MAX or message[:1] not in (_MORE, _LAST):
            self._abuse("a bulk frame out of bounds")
            return
        self._parts.append(message[1:])
        if message[:1] == _LAST:
            frame = b"".join(self._parts)
            self._parts, self._size = [], 0
            self._deliver(frame)
