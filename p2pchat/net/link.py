"""A link: two channels as one, with a heartbeat, and an end that is noticed.

aiortc notices a lost peer after 27 to 33 s (consent, RFC 7675); a person notices after 15. So each
side says something every 3 s, and 10 s of silence end the link.
"""

import asyncio
from collections import deque

from p2pchat.net.channel import Channel, ChannelClosed
from p2pchat.net.transport import Transport

__all__ = ["DEAD_S", "HEARTBEAT_S", "Link", "LinkClosed"]

HEARTBEAT_S = 3.0
DEAD_S = 10.0
_HEARTBEAT = b"\x00"
_WAITING_BYTES_MAX = 8 * 1024 * 1024
"""Frames that arrived and were not read; credit keeps an honest peer's below 1 MiB."""
_GOODBYE_S = 0.5


class LinkClosed(Exception):
    """The link has ended. `reason`: ours, or `lost` if the peer went away without a word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Link:
    """Over an opened transport. Whoever makes it runs `run` in a task of its own."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._frames: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._reason: str | None = None
        self._ended = asyncio.Event()
        self._heard = self._said = asyncio.get_running_loop().time()
        self._live = Channel(transport.live, self._deliver, self._abuse, cut=False)
        self._bulk = Channel(transport.bulk, self._deliver, self._abuse, cut=True)
        transport.on_closed = self._lost
        if transport.abused:
            self._abuse(transport.abused)

    async def send(self, frame: bytes, *, bulk: bool = False) -> None:
        """Queue a frame, once there is room. Raises LinkClosed."""
        if self._reason is not None:
            raise LinkClosed(self._reason)
        if not bulk:
            self._said = asyncio.get_running_loop().time()
        try:
            await (self._bulk if bulk else self._live).send(frame)
        except ChannelClosed:
            self._end("lost")
            assert self._reason is not None
            raise LinkClosed(self._reason) from None

    async def receive(self) -> bytes:
        """The next frame; what arrived before the end is still given. Raises LinkClosed."""
        while not self._frames:
            if self._reason is not None:
                raise LinkClosed(self._reason)
            self._wake.clear()
            await self._wake.wait()
        return self._take()

    def waiting(self, most: int = 64) -> list[bytes]:
        """Frames that are there already, without waiting."""
        return [self._take() for _ in range(min(most, len(self._frames)))]

    def _take(self) -> bytes:
        frame = self._frames.popleft()
        self._waiting_bytes -= len(frame)
        return frame

    async def run(self) -> None:
        """Heartbeat and watch, until the link has ended."""
        loop = asyncio.get_running_loop()
        while self._reason is None:
            now = loop.time()
            if now - self._heard >= DEAD_S:
                self._end("lost")
                break
            if now - self._said >= HEARTBEAT_S:
                try:
                    await asyncio.wait_for(self.send(_HEARTBEAT), DEAD_S)
                except (LinkClosed, TimeoutError):
                    self._end("lost")
                    break
            due = min(self._said + HEARTBEAT_S, self._heard + DEAD_S)
            try:
                async with asyncio.timeout_at(due):
                    await self._ended.wait()
            except TimeoutError:
                continue
        await self._transport.aclose()

    async def close(self, reason: str) -> None:
        """End it; what was sent is given half a second to arrive. May be called again."""
        if self._reason is None:
            await self._transport.drained(_GOODBYE_S)
            self._end(reason)
        await self._transport.aclose()

    @property
    def reason(self) -> str | None:
        """Why it ended; None while it stands."""
        return self._reason

    def _deliver(self, frame: bytes) -> None:
        self._heard = asyncio.get_running_loop().time()
        if frame == _HEARTBEAT or self._reason is not None:
            return
        self._waiting_bytes += len(frame)
        if self._waiting_bytes > _WAITING_BYTES_MAX:
            self._abuse("more than its credit")
            return
        self._frames.append(frame)
        self._wake.set()

    def _abuse(self, why: str) -> None:
        del why
        self._frames.clear()
        self._waiting_bytes = 0
        self._end("bad-frame")

    def _lost(self) -> None:
        self._end("bad-frame" if self._transport.abused else "lost")

    def _end(self, reason: str) -> None:
        if self._reason is None:
            self._reason = reason
        self._live.close()
        self._bulk.close()
        self._ended.set()
        self._wake.set()
