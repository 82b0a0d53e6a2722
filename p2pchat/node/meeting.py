"""Meeting people, and coming into rooms, as it is asked for: invites, codes, joins and knocks.

How either end does it is `invites`, `pursuits`, `codes` and `nearby`; here it is decided which of
them, what somebody who has come is let into, and what is told of it.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from p2pchat import errors, events
from p2pchat.core.handshake import Proven
from p2pchat.core.identity import id_text
from p2pchat.core.invite import inviter_name, leads_into_room
from p2pchat.node.directory import Directory
from p2pchat.node.parts import Parts
from p2pchat.node.waiting import find_row, waiting_row
from p2pchat.store import pursuits as pursued
from p2pchat.store.database import Connection
from p2pchat.store.groups import invite_room
from signaling.code import is_code

if TYPE_CHECKING:
    from p2pchat.node.session import Session
    from signaling.code import Code
    from signaling.invite import Invite

__all__ = ["Invitation", "Meeting"]

_KNOCKER_S = 600.0
"""How long the invite lives that an accepted knock brings: whoever has it waits for it."""


class Invitation:
    """An invite that waits. The node keeps serving it whether or not anybody calls `wait`."""

    def __init__(
        self,
        meeting: "Meeting",
        invite: "Invite",
        room: bytes | None = None,
        code: "Code | None" = None,
    ) -> None:
        self._meeting = meeting
        self._invite = invite
        self.id = invite.id.hex()
        self.blob = invite.text()
        self.code = code.text() if code else None
        self.event = events.InviteReady(
            blob=self.blob,
            code=self.code,
            expires=events.rfc3339(invite.expires),
            invite=self.id,
            room=id_text(room) if room is not None else None,
        )

    async def wait(self) -> events.Joined | events.JoinRequest:
        """Until a friend has come by it; a request where the room's members have to approve.

        Raises errors.Refused: `invite-expired`, `invite-withdrawn`.
        """
        return await self._meeting.come_by(self._invite.id)


class Meeting:
    def __init__(self, parts: Parts, directory: Directory) -> None:
        self._parts = parts
        self._directory = directory

    # -- host ----------------------------------------------------------------------------------

    async def invite(
        self,
        room: str | None,
        expires_s: float,
        password: str | None,
        *,
        ask: bool,
        code: bool,
    ) -> Invitation:
        """A one-time invite, as `Node.invite` has it."""
        group = None
        if room is not None:
            key = (await self._directory.find(room)).key
            self._parts.moderation.check_member(key)
            group = self._parts.groups.get(key)
        into = (group.room, ask) if group is not None else None
        if code and password is not None:
            raise errors.Usage(
                "usage", "a code is a password already", "give either --code or --password"
            )
        leads_to = group.room if group is not None else None
        if code:
            coded, words = await self._parts.network.codes.create(expires_s, into)
            return Invitation(self, coded, leads_to, words)
        invite = await self._parts.network.invites.create(expires_s, into, password)
        return Invitation(self, invite, leads_to)

    async def withdraw(self, invite_id: str) -> None:
        """Make an open invite worthless. Raises errors.Refused `invite-unknown`."""
        try:
            wanted = bytes.fromhex(invite_id)
        except ValueError:
            wanted = b""
        await self._parts.network.invites.withdraw(wanted)

    async def reply(self, blob: str) -> events.Joined:
        """Take the reply blob that a guest sent back; returns when the link stands."""
        session = await self._parts.network.invites.reply(blob)
        return self._directory.joined(session.peer)

    async def come_by(self, invite_id: bytes) -> events.Joined | events.JoinRequest:
        """Wait until somebody comes by an invite of ours: into its room, or asking to be let in."""
        session = await self._parts.network.invites.joined(invite_id)
        person, name = session.peer, self._parts.people.name_of(session.peer)
        into = await self._parts.database.read(lambda tx: invite_room(tx, invite_id))
        group = self._parts.groups.get(into[0]) if into is not None else None
        if group is None:
            return self._directory.joined(person, invite=invite_id.hex())
        if person in group.members:
            return events.Joined(
                room=id_text(group.room),
                name=name,
                members=sorted(map(id_text, group.members)),
                kind="group",
                invite=invite_id.hex(),
            )
        return events.JoinRequest(room=id_text(group.room), peer=id_text(person), name=name)

    def admit(self, tx: Connection, proven: Proven, invite: "Invite") -> None:
        """Somebody came by an invite of ours, or we by theirs: maybe into a room."""
        self._parts.people.admit(tx, proven)
        if invite.inviter == self._parts.owner.person:
            self._parts.joining.brought(tx, invite.id, proven.certificate)
        elif leads_into_room(invite.app):
            host = proven.certificate.person
            self._parts.joining.invited_by(tx, host, inviter_name(invite.app))

    # -- guest ---------------------------------------------------------------------------------

    async def join(
        self,
        blob: str,
        timeout: float | None,
        on_event: Callable[[events.Event], None] | None,
        password: str | None,
        *,
        approval: bool,
        keep: bool,
    ) -> events.Joined | events.Pending:
        """Go to whoever made this invite, or code, as `Node.join` has it."""
        network, tell = self._parts.network, on_event or self._parts.bus.publish
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        if is_code(blob):
            blob = await network.codes.fetch(blob, timeout, tell)
            if deadline is not None:
                timeout = deadline - asyncio.get_running_loop().time()
        session = await network.pursuits.join(blob, timeout, tell, password, keep=keep)
        clash = self._parts.people.name_clash(session.peer)
        if on_event is not None and clash is not None:
            on_event(clash)
        if not self._parts.joining.is_expected(session.peer):
            return self._directory.joined(session.peer)
        outcome = await self._let_in(session, deadline)
        if isinstance(outcome, events.Pending) and approval:
            tell(outcome)
            outcome = await self._let_in(session, deadline)
        return outcome

    async def _let_in(
        self, session: "Session", deadline: float | None
    ) -> events.Joined | events.Pending:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._parts.joining.outcome(session.peer)
        except TimeoutError:
            raise errors.Unreachable(
                "not-approved",
                "nobody has let you in yet",
                "it goes on in the background while p2pchat up runs; see p2pchat rooms",
            ) from None

    def arrived(self, session: "Session", invite: "Invite") -> None:
        """A join that went on in the background has worked; a room's is told by `joining`."""
        if not self._parts.joining.is_expected(session.peer):
            joined = self._directory.joined(session.peer, invite=invite.id.hex())
            self._parts.bus.publish(joined)

    async def waiting(self) -> list[events.Waiting]:
        """Joins whose inviter has not answered yet."""
        online = self._parts.online
        told = online.pursuits.told if online is not None else lambda _: None
        return [
            waiting_row(row, told(row.id)) for row in await self._parts.database.read(pursued.kept)
        ]

    async def cancel(self, reference: str) -> events.Waiting:
        """Give up a join that waits, by its number. Raises errors.BadInput `join-unknown`."""
        row = find_row(await self._parts.database.read(pursued.kept), reference)
        if self._parts.online is not None:
            await self._parts.online.pursuits.stop(row.id)
        await self._parts.database.write(lambda tx: pursued.drop(tx, row.id))
        return waiting_row(row, None)

    # -- knocks --------------------------------------------------------------------------------

    async def invite_knocker(self, room: bytes | None) -> "Invite":
        """What somebody gets who knocked and was let in; into a room its members have to agree."""
        if room is not None:
            self._parts.moderation.check_member(room)
        into = (room, True) if room is not None else None
        return await self._parts.network.invites.create(_KNOCKER_S, into, offer=False)

    def answer_knock(self, reference: str, *, accept: bool) -> events.Knock:
        """Let somebody in who knocks, or not.

        Raises errors.BadInput: `knock-unknown`, `peer-ambiguous`.
        """
        if self._parts.online is None:
            raise errors.BadInput(
                "knock-unknown",
                "nobody can knock while no p2pchat runs here",
                "run p2pchat nearby --visible, or p2pchat up with lan.visible=true",
            )
        return self._parts.online.nearby.answer(reference, accept=accept)

    async def knock(
        self,
        name: str,
        timeout: float | None,
        on_event: Callable[[events.Event], None] | None,
    ) -> events.Joined | events.Pending:
        """Ask somebody, or a room, that is visible on this network to let us in, and go there."""
        tell = on_event or self._parts.bus.publish
        answered = await self._parts.network.nearby.knock(name, timeout, tell)
        assert answered.blob is not None
        return await self.join(answered.blob, timeout, on_event, None, approval=True, keep=False)
