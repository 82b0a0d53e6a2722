"""A link: two channels as one, with a heartbeat, and an end that is noticed.

aiortc notices a lost peer after 27 to 33 s (consent, RFC 7675); a person notices after 15. So each
side says something every 3 s, and 10 s of silence end the link. After 5 s, or when the machine has
slept or moved, the link is *doubtful*: it still stands, and another may be made beside it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from p2pchat.net.channel import ChannelClosed
from p2pchat.net.transport import Transport

__all__ = ["DEAD_S", "DOUBT_S", "HEARTBEAT_S", "Link", "LinkClosed"]

_log = logging.getLogger(__name__)
HEARTBEAT_S = 3.0
DEAD_S = 10.0
DOUBT_S = 5.0
"""Longer than a heartbeat that was lost three times takes, at 20% loss."""
_LATE_S = 1.0
"""Whoever wakes so much later than asked for was away itself, and cannot say that others were."""
_HEARTBEAT = b"\x00"
_WAITING_BYTES_MAX = 8 * 1024 * 1024
"""Frames that arrived and were not read; credit keeps an honest peer's below 3 MiB."""
_FRAME_COST = 128
"""What a frame costs beside its bytes: without it, frames of one byte would come nearly free."""
_GOODBYE_S = 0.5


class LinkClosed(Exception):
    """The link has ended. `reason`: ours, or `lost` if the peer went away without a word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Link:
    """Over an opened transport. Whoever makes it runs `run` in a task of its own."""

    def __init__(
        self,
        transport: Transport,
        *,
        heartbeat_s: float = HEARTBEAT_S,
        dead_s: float = DEAD_S,
        doubt_s: float = DOUBT_S,
    ) -> None:
        self._transport = transport
        self._heartbeat_s = heartbeat_s
        self._dead_s = dead_s
        self._doubt_s = min(doubt_s, dead_s)
        self._frames: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._reason: str | None = None
        self._ended = asyncio.Event()
        self._heard = self._said = asyncio.get_running_loop().time()
        self._stirred = asyncio.Event()
        self._excused = False
        self.doubtful = False
        self.on_doubt: Callable[[], None] | None = None
        self._live, self._bulk = transport.live, transport.bulk
        self._live.attach(self._deliver)
        self._bulk.attach(self._deliver)
        transport.on_closed = self._lost
        if transport.ended:
            self._lost()

    async def send(self, frame: bytes, *, bulk: bool = False) -> None:
        """Queue a frame, once there is room. Raises LinkClosed. Safe to cancel."""
        if self._reason is not None:
            raise LinkClosed(self._reason)
        try:
            await (self._bulk if bulk else self._live).send(frame)
        except ChannelClosed:
            self._end("lost")
            assert self._reason is not None
            raise LinkClosed(self._reason) from None
        self._said = asyncio.get_running_loop().time()

    async def receive(self) -> bytes:
        """The next frame; what arrived before the end is still given. Raises LinkClosed."""
        while not self._frames:
            if self._reason is not None:
                raise LinkClosed(self._reason)
            self._wake.clear()
            await self._wake.wait()
        return self._take()

    def receive_nowait(self) -> bytes | None:
        """The next frame, if it is there already."""
        return self._take() if self._frames else None

    async def run(self) -> None:
        """Heartbeat and watch, until the link has ended."""
        loop = asyncio.get_running_loop()
        while self._reason is None:
            now = loop.time()
            silent_at, doubt_at = self._heard + self._dead_s, self._heard + self._doubt_s
            due = self._said + self._heartbeat_s
            if now >= silent_at:
                self._end("lost")
                break
            if now >= doubt_at and not self.doubtful:
                self.doubt()
                continue
            wake_at = silent_at if self.doubtful else min(silent_at, doubt_at)
            self._stirred.clear()
            try:
                if now >= due:
                    async with asyncio.timeout_at(wake_at):
                        await self.send(_HEARTBEAT)
                else:
                    wake_at = min(wake_at, due)
                    async with asyncio.timeout_at(wake_at):
                        await self._stirred.wait()
            except TimeoutError:
                self._excuse(wake_at)
            except LinkClosed:
                break
        await self._transport.aclose()

    def doubt(self) -> None:
        """Something speaks against this link: unless the peer is heard soon, it is lost."""
        if self._reason is not None:
            return
        now = asyncio.get_running_loop().time()
        self._heard = min(self._heard, now - self._doubt_s)
        # Its answer comes within a heartbeat; and ours is one for a peer that doubts as well.
        self._said = min(self._said, now - self._heartbeat_s)
        self._stirred.set()
        if not self.doubtful:
            self.doubtful = True
            if self.on_doubt is not None:
                self.on_doubt()

    def _excuse(self, wake_at: float) -> None:
        """If we were away ourselves, hear first what has come meanwhile: once in a silence."""
        now = asyncio.get_running_loop().time()
        if now - wake_at > _LATE_S and not self._excused:
            self._excused = True
            self._heard = max(self._heard, now - self._doubt_s)

    async def close(self, reason: str) -> None:
        """End it; what was sent is given half a second to arrive. May be called again."""
        if self._reason is None:
            await self._transport.drained(_GOODBYE_S)
            self._end(reason)
        await self._transport.aclose()

    async def closed(self) -> str:
        """Wait for the end; the reason."""
        await self._ended.wait()
        assert self._reason is not None
        return self._reason

    @property
    def reason(self) -> str | None:
        """Why it ended; None while it stands."""
        return self._reason

    def _take(self) -> bytes:
        frame = self._frames.popleft()
        self._waiting_bytes -= len(frame) + _FRAME_COST
        return frame

    def _deliver(self, frame: bytes) -> None:
        self._heard = asyncio.get_running_loop().time()
        self.doubtful = self._excused = False
        if frame == _HEARTBEAT or self._reason is not None:
            return
        if self._waiting_bytes + len(frame) + _FRAME_COST > _WAITING_BYTES_MAX:
            _log.warning("a peer sent more than its credit")
            self._drop()
            return
        self._waiting_bytes += len(frame) + _FRAME_COST
        self._frames.append(frame)
        self._wake.set()

    def _lost(self) -> None:
        if self._transport.abused:
            self._drop()
        else:
            self._end("lost")

    def _drop(self) -> None:
        """End it for a fault of the peer's, and forget what it had said."""
        if self._reason is None:
            self._frames.clear()
            self._waiting_bytes = 0
        self._end("bad-frame")

    def _end(self, reason: str) -> None:
        if self._reason is None:
            self._reason = reason
        self._live.close()
        self._bulk.close()
        self._ended.set()
        self._stirred.set()
        self._wake.set()
