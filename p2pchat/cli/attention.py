"""Tells the node that somebody sits at the chat: keys, what they are writing, what they have seen.

Told now and then, not for each key; a node that does not answer costs the chat nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import msgspec

from p2pchat import events
from p2pchat.api.client import NotRunning
from p2pchat.api.routes.presence import PresenceRequest, ReadRequest, TypingRequest
from p2pchat.errors import Error

__all__ = ["Attention"]

_ACTIVE_S = 30.0
_AWAY_S = 1.0
_TYPING_S = 3.0


class _Client(Protocol):
    def ask(
        self, route: str, request: msgspec.Struct | None = None
    ) -> AsyncIterator[events.Event]: ...


class Attention:
    """`refresh` is called, between the rest, for rooms whose marks have moved."""

    def __init__(self, client: _Client, refresh: Callable[[str], Awaitable[None]]) -> None:
        self._client = client
        self._refresh = refresh
        self._wake = asyncio.Event()
        self._active_at = self._typed_at = -1e9
        self._writing: str | None = None
        """the room in which something stands on the prompt"""
        self._told: str | None = None
        """the room in which others were told that we are writing"""
        self._keyed = False
        self._away = False
        self._shown: dict[str, str | None] = {}
        """room -> the last message shown there, None: all that is there"""
        self._moved: set[str] = set()

    def keyed(self, room: str, text: str) -> None:
        """What stands on the prompt has changed."""
        self._writing = room if text.strip() and not text.startswith(("/", "!")) else None
        self._keyed = True
        self._wake.set()

    def shown(self, room: str, message: str | None) -> None:
        """Messages were shown, up to this one; they are read once somebody is there."""
        self._shown[room] = message
        self._wake.set()

    def away(self, away: bool) -> None:  # noqa: FBT001  (its state)
        self._away = away
        if away:
            # The keys that said so are no sign of anybody who is back.
            self._keyed = False
        self._wake.set()

    def moved(self, room: str) -> None:
        """Somebody has, or has read, more of a room."""
        self._moved.add(room)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            with suppress(Error, NotRunning):
                await self._tell(asyncio.get_running_loop().time())
            # Keys come faster than anybody has to hear of them.
            await asyncio.sleep(0.05)

    async def _tell(self, now: float) -> None:
        if self._told is not None and self._told != self._writing:
            room, self._told = self._told, None
            await self._ask("typing", TypingRequest(room=room, typing=False))
        if self._writing is not None and (self._told is None or now - self._typed_at >= _TYPING_S):
            self._told, self._typed_at = self._writing, now
            await self._ask("typing", TypingRequest(room=self._writing))
        elif self._keyed and now - self._active_at >= (_AWAY_S if self._away else _ACTIVE_S):
            self._active_at = now
            await self._ask("presence", PresenceRequest())
        self._keyed = False
        if not self._away:
            shown, self._shown = self._shown, {}
            for room, message in shown.items():
                await self._ask("reads", ReadRequest(room=room, upto=message))
        moved, self._moved = self._moved, set()
        for room in moved:
            await self._refresh(room)

    async def _ask(self, route: str, request: msgspec.Struct) -> None:
        async for _ in self._client.ask(route, request):
            pass
