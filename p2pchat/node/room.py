"""One room as the library shows it: write, read, and know who has it."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from p2pchat import errors, events
from p2pchat.core.bounds import LIFETIME_S_MAX, REACTION_BYTES_MAX, TEXT_BYTES_MAX
from p2pchat.core.entry import (
    DELETE,
    EDIT,
    MESSAGE,
    PIN,
    REACTION,
    DeleteBody,
    EditBody,
    Entry,
    MessageBody,
    PinBody,
    ReactionBody,
)
from p2pchat.core.group import Group
from p2pchat.core.identity import id_text
from p2pchat.core.talk import is_reaction
from p2pchat.node.parts import Parts
from p2pchat.text import is_blank, printable

__all__ = ["Room"]


def _checked(text: str) -> str:
    # A lone surrogate, as a terminal in the wrong encoding gives, has no UTF-8.
    text = text.encode("utf-8", "replace").decode()
    if is_blank(text):
        raise errors.BadInput("text-empty", "the message is empty", "write something")
    if len(text.encode()) > TEXT_BYTES_MAX:
        raise errors.BadInput(
            "text-too-long",
            f"the message is longer than {TEXT_BYTES_MAX} bytes",
            "send it as a file: p2pchat share FILE --room ROOM",
        )
    return text


class Room:
    """Made by `Node.room`. `key` is the room id as bytes, `id` as text."""

    def __init__(self, parts: Parts, key: bytes, name: str) -> None:
        self._parts = parts
        self._rooms = parts.rooms
        self.key = key
        self.id = id_text(key)
        self.name = name

    async def send(
        self, text: str, *, reply_to: str | None = None, lifetime_s: int | None = None
    ) -> events.Message:
        """Write a message; it is on disk when this returns.

        `lifetime_s`: after so many seconds it disappears everywhere; None: as the room has it, 0:
        it stays. Raises errors.BadInput: `text-empty`, `text-too-long`, `entry-unknown`,
        `lifetime-malformed`.
        """
        text = _checked(text)
        if lifetime_s is None:
            lifetime_s = self._rooms.timer_s(self.key)
        if not 0 <= lifetime_s <= LIFETIME_S_MAX:
            raise errors.BadInput(
                "lifetime-malformed",
                f"a message cannot live {lifetime_s} seconds",
                f"give 1 second to {LIFETIME_S_MAX // 86_400} days, or 0: it stays",
            )
        answered = await self._rooms.find(self.key, reply_to) if reply_to is not None else None
        body = MessageBody(text, answered, lifetime_s or None)
        entry = await self._parts.write(self.key, MESSAGE, body)
        # Nothing was said of it yet; when it disappears, the store knows.
        shown = self._rooms.written(entry) if body.lifetime_s is None else None
        return shown if isinstance(shown, events.Message) else await self._shown(entry)

    async def edit(self, message_id: str, text: str) -> events.Message:
        """Give one of our messages another text; answers it as it reads now.

        Raises errors.BadInput: `text-empty`, `text-too-long`, `entry-unknown`; errors.Refused:
        `not-yours`, `message-deleted`.
        """
        text = _checked(text)
        target, shown = await self._found(message_id)
        if shown.author != self._parts.owner.id:
            raise errors.Refused(
                "not-yours",
                f"that message is of {printable(shown.name)}: only its author may edit it",
                "answer it instead: p2pchat send ROOM TEXT --reply-to ID",
            )
        await self._parts.write(self.key, EDIT, EditBody(target.id, text))
        return await self._shown(target)

    async def delete(self, message_id: str) -> events.Message:
        """Delete a message here and with every honest member; answers what remains.

        One of ours; in a room of many, where we are an admin, anybody's.

        Raises errors.BadInput `entry-unknown`; errors.Refused: `not-yours`, `message-deleted`.
        """
        target, shown = await self._found(message_id)
        if not self._rooms.may_delete(target):
            many = isinstance(self._rooms.get(self.key), Group)
            raise errors.Refused(
                "not-yours",
                f"that message is of {printable(shown.name)}: only its author may delete it"
                + (", or an admin of the room" if many else ""),
                "ask an admin to" if many else "ask its author to",
            )
        await self._parts.write(self.key, DELETE, DeleteBody(target.id))
        return await self._shown(target)

    async def react(
        self, message_id: str, reaction: str, *, on: bool | None = None
    ) -> events.Message:
        """React to a message, or take it back (None: whichever it is not now).

        Raises errors.BadInput: `entry-unknown`, `reaction-malformed`; errors.Refused
        `message-deleted`.
        """
        reaction = reaction.strip()
        if not is_reaction(reaction):
            raise errors.BadInput(
                "reaction-malformed",
                "a reaction is one emoji, or a word or two",
                f"give at most {REACTION_BYTES_MAX} bytes",
            )
        target, shown = await self._found(message_id)
        if on is None:
            mine = [one.text for one in shown.reactions or () if self._parts.owner.id in one.peers]
            on = reaction not in mine
        await self._parts.write(self.key, REACTION, ReactionBody(target.id, reaction, on))
        return await self._shown(target)

    async def pin(self, message_id: str, *, on: bool = True) -> events.Message:
        """Pin a message for all members, or unpin it.

        Raises errors.BadInput `entry-unknown`; errors.Refused `message-deleted`.
        """
        target, _ = await self._found(message_id)
        await self._parts.write(self.key, PIN, PinBody(target.id, on))
        return await self._shown(target)

    async def pins(self) -> list[events.Message]:
        """The room's pinned messages, the one pinned last first."""
        return await self._rooms.pinned(self.key)

    async def versions(self, message_id: str) -> list[events.Message]:
        """All texts that a message has had, the first one first.

        Raises errors.BadInput `entry-unknown`; errors.Refused `message-deleted`.
        """
        target, _ = await self._found(message_id)
        return await self._rooms.versions(target)

    async def _found(self, prefix: str) -> tuple[Entry, events.Message]:
        entry = await self._rooms.entry(await self._rooms.find(self.key, prefix))
        shown = await self._shown(entry)
        if shown.deleted:
            raise errors.Refused(
                "message-deleted", "that message is deleted", "nothing of it is left to work on"
            )
        return entry, shown

    async def _shown(self, entry: Entry) -> events.Message:
        event = (await self._rooms.events(self.key, [entry]))[0]
        if not isinstance(event, events.Message):
            raise errors.BadInput(
                "entry-unknown",
                "that message cannot be read here",
                "it may have disappeared, or be of a newer p2pchat",
            )
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
        rows = await self._parts.marks.members(self.key, self._members())
        return await self._parts.clocks.members(self.key, rows)

    def _members(self) -> list[events.Member]:
        chains = self._rooms.get(self.key)
        assert chains is not None
        return self._parts.people.members(chains, self._parts.linked())

    async def mark_read(self, message_id: str | None = None) -> events.Read:
        """We have read all that is here, or what came no later than a message.

        Raises errors.BadInput `entry-unknown`.
        """
        id_ = await self._rooms.find(self.key, message_id) if message_id is not None else None
        return await self._parts.marks.mark(self.key, id_)

    # -- of rooms of many: all raise errors.BadInput `room-direct` elsewhere -------------------

    def group(self) -> Group:
        """What we know of its membership."""
        group = self._parts.groups.get(self.key)
        if group is None:
            raise errors.BadInput(
                "room-direct",
                "this is a conversation of two",
                "make a room with p2pchat room create NAME",
            )
        return group

    async def requests(self) -> list[events.JoinRequest]:
        """Who asks to be let in; nobody, into a conversation of two."""
        group = self._parts.groups.get(self.key)
        waiting = await self._parts.joining.waiting(group) if group is not None else []
        return [
            events.JoinRequest(
                room=self.id,
                peer=id_text(request.person),
                name=request.certificate.safe_name(),
            )
            for request in waiting
        ]

    async def approve(self, reference: str) -> events.Member:
        """Let somebody in who asked.

        Raises errors.Refused: `not-a-member`, `not-allowed`; errors.BadInput: `request-unknown`,
        `peer-ambiguous`.
        """
        return await self._parts.moderation.approve(self.group(), reference)

    async def deny(self, reference: str) -> events.JoinRequest:
        """Turn somebody away who asked. Raises as `approve`."""
        return await self._parts.moderation.deny(self.group(), reference)

    async def remove(self, reference: str) -> None:
        """Make somebody no member any more. Only admins may.

        Raises errors.Refused: `not-a-member`, `not-allowed`; errors.BadInput: `peer-unknown`,
        `peer-ambiguous`.
        """
        await self._parts.moderation.remove(self.group(), reference)

    async def set_role(self, reference: str, role: str) -> events.Member:
        """Make somebody `admin` or `member`. Raises as `remove`."""
        return await self._parts.moderation.set_role(self.group(), reference, role)

    async def set(self, key: str, value: str) -> None:
        """Change `name`, `topic`, `admit`, `history` or `timer`.

        Raises errors.Refused as `remove`; errors.BadInput: `setting-unknown`, `setting-value`.
        """
        await self._parts.moderation.set(self.group(), key, value)

    async def leave(self) -> None:
        """Be no member any more. Raises errors.Refused `not-a-member`."""
        await self._parts.moderation.leave(self.group())

    async def delivered(
        self, message_id: str, *, timeout: float = 30
    ) -> AsyncIterator[events.Delivered]:
        """Who has the message on disk, until every member online has it.

        Where none is online, waits for one. Raises errors.BadInput `entry-unknown`,
        errors.Unreachable `not-delivered`.
        """
        id_ = await self._rooms.find(self.key, message_id)
        entry = self._rooms.recent.entry(id_) or await self._rooms.entry(id_)
        others = {member.peer for member in self._members() if not member.me}
        told: set[str] = set()
        with self._parts.bus.subscribe() as feed:
            deadline = asyncio.get_running_loop().time() + timeout
            while True:
                holders = {
                    id_text(one): self._parts.people.name_of(one)
                    for one in self._parts.marks.holders(self.key, entry)
                }
                for peer in sorted(holders.keys() - told):
                    told.add(peer)
                    yield events.Delivered(
                        room=self.id, id=message_id, peer=peer, name=holders[peer]
                    )
                if told and not (others & self._parts.linked()) - told:
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
