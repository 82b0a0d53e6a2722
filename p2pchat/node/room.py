"""One room as the library shows it: write, read, and know who has it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec

from p2pchat import errors, events
from p2pchat.core.bounds import TEXT_BYTES_MAX
from p2pchat.core.entry import MESSAGE, Entry, MessageBody
from p2pchat.core.group import Group
from p2pchat.core.identity import id_text
from p2pchat.node.bus import Subscription
from p2pchat.node.moderation import Moderation
from p2pchat.node.rooms import Rooms

__all__ = ["Room"]


class _Node(Protocol):
    @property
    def peer_id(self) -> str: ...
    def online(self) -> set[str]: ...
    @property
    def moderation(self) -> Moderation: ...
    def group(self, room: bytes) -> Group: ...
    async def requests(self, room: bytes) -> list[events.JoinRequest]: ...
    def members_of(self, room: bytes) -> list[events.Member]: ...
    def holders(self, room: bytes, entry: Entry) -> set[str]: ...
    async def write(self, room: bytes, kind: int, body: msgspec.Struct) -> Entry: ...
    def events(self) -> Subscription: ...


class Room:
    """Made by `Node.room`. `key` is the room id as bytes, `id` as text."""

    def __init__(self, node: _Node, rooms: Rooms, key: bytes, name: str) -> None:
        self._node = node
        self._rooms = rooms
        self.key = key
        self.id = id_text(key)
        self.name = name

    async def send(self, text: str, *, reply_to: str | None = None) -> events.Message:
        """Write a message; it is on disk when this returns.

        Raises errors.BadInput: `text-empty`, `text-too-long`, `entry-unknown`.
        """
        # A lone surrogate, as a terminal in the wrong encoding gives, has no UTF-8.
        text = text.encode("utf-8", "replace").decode()
        if not text.strip():
            raise errors.BadInput("text-empty", "the message is empty", "write something")
        if len(text.encode()) > TEXT_BYTES_MAX:
            raise errors.BadInput(
                "text-too-long",
                f"the message is longer than {TEXT_BYTES_MAX} bytes",
                "send it as a file: p2pchat share FILE --room ROOM",
            )
        answered = await self._rooms.find(self.key, reply_to) if reply_to is not None else None
        entry = await self._node.write(self.key, MESSAGE, MessageBody(text, answered))
        event = self._rooms.event(entry)
        assert isinstance(event, events.Message)
        return event

    async def history(
        self, *, last: int | None = 50, since: float | None = None, search: str | None = None
    ) -> AsyncIterator[events.Message]:
        """The newest `last` messages since `since` (Unix seconds), oldest first.

        `search`: words that they have, `pre*` for the beginning of one, "a phrase" in quotes.
        Raises errors.BadInput `search-empty`.
        """
        found: Sequence[events.Message | events.Share] = await self._rooms.history(
            self.key, last=last, since_s=since, kinds=(MESSAGE,), words=search
        )
        for event in found:
            if isinstance(event, events.Message):
                yield event

    async def members(self) -> list[events.Member]:
        return self._node.members_of(self.key)

    # -- of rooms of many: all raise errors.BadInput `room-direct` elsewhere -------------------

    def group(self) -> Group:
        return self._node.group(self.key)

    async def requests(self) -> list[events.JoinRequest]:
        """Who asks to be let in."""
        return await self._node.requests(self.key)

    async def approve(self, reference: str) -> events.Member:
        """Let somebody in who asked.

        Raises errors.Refused: `not-a-member`, `not-allowed`; errors.BadInput: `request-unknown`,
        `peer-ambiguous`.
        """
        return await self._node.moderation.approve(self.group(), reference)

    async def deny(self, reference: str) -> events.JoinRequest:
        """Turn somebody away who asked. Raises as `approve`."""
        return await self._node.moderation.deny(self.group(), reference)

    async def remove(self, reference: str) -> None:
        """Make somebody no member any more. Only admins may.

        Raises errors.Refused: `not-a-member`, `not-allowed`; errors.BadInput: `peer-unknown`,
        `peer-ambiguous`.
        """
        await self._node.moderation.remove(self.group(), reference)

    async def set_role(self, reference: str, role: str) -> events.Member:
        """Make somebody `admin` or `member`. Raises as `remove`."""
        return await self._node.moderation.set_role(self.group(), reference, role)

    async def set(self, key: str, value: str) -> None:
        """Change `name`, `topic`, `admit`, `history` or `timer`.

        Raises errors.Refused as `remove`; errors.BadInput: `setting-unknown`, `setting-value`.
        """
        await self._node.moderation.set(self.group(), key, value)

    async def leave(self) -> None:
        """Be no member any more. Raises errors.Refused `not-a-member`."""
        await self._node.moderation.leave(self.group())

    async def delivered(
        self, message_id: str, *, timeout: float = 30
    ) -> AsyncIterator[events.Delivered]:
        """Who has the message on disk, until every member online has it.

        Where none is online, waits for one. Raises errors.BadInput `entry-unknown`,
        errors.Unreachable `not-delivered`.
        """
        id_ = await self._rooms.find(self.key, message_id)
        entry = self._rooms.recent.entry(id_) or await self._rooms.entry(id_)
        others = {member.peer for member in self._node.members_of(self.key) if not member.me}
        told: set[str] = set()
        with self._node.events() as feed:
            deadline = asyncio.get_running_loop().time() + timeout
            while True:
                for peer in sorted(self._node.holders(self.key, entry) - told):
                    told.add(peer)
                    yield events.Delivered(room=self.id, id=message_id, peer=peer)
                if told and not (others & self._node.online()) - told:
                    return
                try:
                    async with asyncio.timeout_at(deadline):
                        await anext(feed)
                except TimeoutError:
                    break
        raise errors.Unreachable(
            "not-delivered",
            f"not every member confirmed the message within {timeout:.0f} s",
            "it is kept, and goes out as soon as they are online",
        )
