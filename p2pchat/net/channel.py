"""Frames over one data channel, with backpressure that aiortc does not give.

aiortc's `send` only queues, and one FIFO serves all channels of a link: what keeps a live message
fast is how little the bulk channel has queued (64 KiB: 14 ms on loopback; without a cap 1.6 s).
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from p2pchat.core.bounds import FRAME_BYTES_MAX, LIVE_BYTES_MAX
from p2pchat.net.aiortc_compat import InvalidStateError, RTCDataChannel

__all__ = ["FRAME_MAX", "LIVE_MAX", "MESSAGE_MAX", "Channel", "ChannelClosed"]

LIVE_MAX = LIVE_BYTES_MAX
FRAME_MAX = FRAME_BYTES_MAX
MESSAGE_MAX = 16_384
"""Bulk messages: larger ones are faster alone, but hold up live ones longer."""
_CAP_MAX = 65_536
_CAP_S = 0.05
"""On a slow path a live message waits cap / bandwidth, so the cap shrinks with the bandwidth."""
_EARLY_MAX = 64
"""Frames kept until somebody listens; before the handshake a peer has three to say."""
_MORE, _LAST = b"\x00", b"\x01"


class ChannelClosed(Exception):
    """The channel is not open any more."""


class Channel:
    """`abuse` is called with a sentence when the peer breaks a bound. `cut`: bulk's framing.

    Listens from its first moment: a frame that comes right behind the last packet of the SCTP
    handshake arrives before anybody has been told that the channel is open.
    """

    def __init__(self, channel: RTCDataChannel, abuse: Callable[[str], None], *, cut: bool) -> None:
        self._channel = channel
        self._abuse = abuse
        self._cut = cut
        self._deliver: Callable[[bytes], None] | None = None
        self._early: list[bytes] = []
        self._part = bytearray()
        self._cap = _CAP_MAX
        self._low = asyncio.Event()
        self._turn = asyncio.Lock()
        self._closed = False
        channel.on("bufferedamountlow", self._low.set)
        channel.on("message", self._on_message)

    @property
    def is_open(self) -> bool:
        return self._channel.readyState == "open"

    def attach(self, deliver: Callable[[bytes], None]) -> None:
        """Call `deliver` with each whole frame, synchronously and in order, early ones first."""
        self._deliver = deliver
        early, self._early = self._early, []
        for frame in early:
            deliver(frame)

    async def send(self, frame: bytes) -> None:
        """Queue a frame, once there is room. Raises ChannelClosed. Safe to cancel."""
        assert 0 < len(frame) <= (FRAME_MAX if self._cut else LIVE_MAX)
        messages = _cut(frame) if self._cut else [frame]
        async with self._turn:
            for index, message in enumerate(messages):
                try:
                    await self._room(len(message))
                except asyncio.CancelledError:
                    # Half a frame would be taken for the head of the next one, so the rest goes
                    # out above the cap: at most one frame, and only when somebody is cancelled.
                    if index:
                        with suppress(ChannelClosed):
                            for rest in messages[index:]:
                                self._queue(rest)
                    raise
                self._queue(message)

    def close(self) -> None:
        """Let whoever waits to send know that it is over; nothing more is delivered."""
        self._closed = True
        self._early.clear()
        self._part.clear()
        self._low.set()

    async def _room(self, size: int) -> None:
        # Half a message over the cap is let through: then what has to drain always crosses half
        # the cap, where the event fires. It does not fire for amounts that never were above.
        loop = asyncio.get_running_loop()
        while not self._closed and self._channel.bufferedAmount > self._cap - size // 2:
            self._low.clear()
            self._channel.bufferedAmountLowThreshold = self._cap // 2
            before, since = self._channel.bufferedAmount, loop.time()
            await self._low.wait()
            if self._cut:
                self._adapt(before - self._channel.bufferedAmount, loop.time() - since)

    def _adapt(self, drained: int, seconds: float) -> None:
        """Move the cap half way to what this path drains in 50 ms."""
        wanted = _CAP_S * drained / max(seconds, 1e-6)
        self._cap = int(min(_CAP_MAX, max(MESSAGE_MAX, (self._cap + wanted) / 2)))

    def _queue(self, message: bytes) -> None:
        if self._closed:
            raise ChannelClosed
        try:
            self._channel.send(message)
        except (InvalidStateError, ConnectionError) as error:
            raise ChannelClosed from error

    def _on_message(self, message: bytes) -> None:
        if self._closed:
            return
        if not self._cut:
            if 0 < len(message) <= LIVE_MAX:
                self._give(message)
            else:
                self._abuse("a live message out of bounds")
            return
        mark = message[:1]
        # An empty piece is refused as well: a frame could be made of endlessly many.
        if (
            not 1 < len(message) <= MESSAGE_MAX
            or mark not in (_MORE, _LAST)
            or len(self._part) + len(message) - 1 > FRAME_MAX
        ):
            self._abuse("a bulk frame out of bounds")
            return
        self._part += message[1:]
        if mark == _LAST:
            frame = bytes(self._part)
            self._part.clear()
            self._give(frame)

    def _give(self, frame: bytes) -> None:
        if self._deliver is not None:
            self._deliver(frame)
        elif len(self._early) < _EARLY_MAX:
            self._early.append(frame)
        else:
            self._abuse("frames before anybody listened")


def _cut(frame: bytes) -> list[bytes]:
    size = MESSAGE_MAX - 1
    return [
        (_LAST if start + size >= len(frame) else _MORE) + frame[start : start + size]
        for start in range(0, len(frame), size)
    ]
