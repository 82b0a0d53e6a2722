"""Invites of ours: from a blob to a contact.

They lie in the store (open -> claimed -> used | dead), and their slots are served as long as they
live; used and withdrawn ones are still answered, so that a second comer hears "already used" and
not silence. The guest's side is `pursuits`.
"""

import asyncio
import dataclasses
import logging
from dataclasses import dataclass
from functools import partial

from p2pchat import errors
from p2pchat.core.handshake import Proven
from p2pchat.core.identity import id_text
from p2pchat.core.invite import app_bytes
from p2pchat.events import Note
from p2pchat.net.transport import ConnectFailed, Transport
from p2pchat.node.door import Door
from p2pchat.node.outcome import expired, locked, mapped, result_of, settle, tries, unreachable
from p2pchat.node.password import Guarded, key_of
from p2pchat.node.peers import Purpose
from p2pchat.node.session import Session
from p2pchat.store import invites as table
from p2pchat.store.database import Connection
from p2pchat.store.groups import invite_room, set_invite_room
from signaling.carriers import Registration, paste
from signaling.code import Code
from signaling.envelope import SlotKeys
from signaling.invite import Invite, Reply

__all__ = ["Invites"]

_log = logging.getLogger(__name__)
_OFFERS_MAX = 16
"""Pasted invites that wait at once, each with its own socket."""
_LATE_S = 300.0
_REMEMBERED_S = 30 * 86_400.0
"""How long after its expiry an invite is kept: nobody is answered any more by then, even where the
clock was set meanwhile."""


@dataclass(slots=True)
class _Hosted:
    """An invite of ours that is being served; `password` is the key of its password, if any."""

    invite: Invite
    password: bytes | None
    registrations: list[Registration]
    offer: Transport | None
    outcome: "asyncio.Future[Session]"
    over: bool = False
    """whether it was used or taken back in an earlier run: who comes is told so"""


class Invites:
    def __init__(self, door: Door) -> None:
        self._door = door
        self._hosted: dict[bytes, _Hosted] = {}

    # -- host ----------------------------------------------------------------------------------

    async def resume(self) -> None:
        """Serve the invites that an earlier run left behind."""
        await self._door.database.write(self._forget)
        for row in await self._door.database.read(table.living):
            if row.expires > self._door.wall():
                invite = Invite(
                    self._door.identity().person, row.secret, int(row.expires), b"", None
                )
                hosted = self._host(invite, None, None if row.nameplate else row.password)
                hosted.over = row.state != "open"

    def _forget(self, tx: Connection) -> None:
        table.forget_expired(tx, self._door.wall() - _REMEMBERED_S)

    async def coded(self) -> list[tuple[Invite, int, bytes]]:
        """Invites that nobody has come by, with the nameplate and secret of their code."""
        identity = self._door.identity()

        def read(tx: Connection) -> list[tuple[Invite, int, bytes]]:
            return [
                (
                    Invite(
                        identity.person,
                        row.secret,
                        int(row.expires),
                        app_bytes(
                            identity.certificate.name,
                            self._door.mailboxes.own,
                            room=invite_room(tx, row.id) is not None,
                        ),
                    ),
                    row.nameplate,
                    row.password,
                )
                for row in table.living(tx)
                if row.nameplate and row.password and row.state == "open"
            ]

        return [
            found for found in await self._door.database.read(read) if found[0].id in self._hosted
        ]

    async def create(
        self,
        expires_s: float,
        into: tuple[bytes, bool] | None = None,
        password: str | None = None,
        code: Code | None = None,
        *,
        offer: bool = True,
    ) -> Invite:
        """A new invite, on disk and served; `into` a room, and whether its members are asked.

        With `code` it is to be delivered by that alone. `offer`: fit to be pasted.

        Raises errors.Usage `password-missing`.
        """
        key = key_of(password)
        transport: Transport | None = None
        # Who comes by a code has found us on a carrier, and needs nothing to paste.
        if (
            offer
            and code is None
            and sum(hosted.offer is not None for hosted in self._hosted.values()) < _OFFERS_MAX
        ):
            transport = await Transport.offering(self._door.peers.settings)
        identity = self._door.identity()
        invite = Invite(
            identity.person,
            self._door.random(16),
            int(self._door.wall() + expires_s),
            app_bytes(identity.certificate.name, self._door.mailboxes.own, room=into is not None),
            transport.description if transport else None,
            password=key is not None,
        )
        try:

            def add(tx: Connection) -> None:
                self._forget(tx)
                table.add(
                    tx,
                    invite.id,
                    invite.secret,
                    float(invite.expires),
                    code.secret if code else key,
                    code.nameplate if code else None,
                )
                if into is not None:
                    set_invite_room(tx, invite.id, into[0], ask=into[1])

            await self._door.database.write(add)
        except BaseException:
            if transport is not None:
                await transport.aclose()
            raise
        self._host(invite, transport, key)
        return invite

    def _host(self, invite: Invite, transport: Transport | None, password: bytes | None) -> _Hosted:
        outcome: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        # Nobody need wait for it.
        outcome.add_done_callback(lambda future: future.cancelled() or future.exception())
        hosted = _Hosted(invite, password, [], transport, outcome)
        hosted.registrations = self._door.peers.serve(
            SlotKeys.derive(invite.slot_secret), lambda via: self._host_purpose(hosted, via)
        )
        self._hosted[invite.id] = hosted
        self._door.tasks.create_task(self._expire(hosted))
        if transport is not None:
            self._door.tasks.create_task(transport.keep_alive())
        return hosted

    async def _expire(self, hosted: _Hosted) -> None:
        await asyncio.sleep(max(0.0, hosted.invite.expires + _LATE_S - self._door.wall()))
        await self._stop(hosted, expired())

    async def _stop(self, hosted: _Hosted, why: Exception) -> None:
        if not hosted.outcome.done():
            hosted.outcome.set_exception(why)
        for registration in hosted.registrations:
            registration.close()
        if hosted.offer is not None:
            await hosted.offer.aclose()
            hosted.offer = None
        self._hosted.pop(hosted.invite.id, None)

    def _host_purpose(self, hosted: _Hosted, via: str) -> Purpose:
        invite = hosted.invite

        async def admit(proven: Proven) -> str | None:
            if proven.certificate.person == self._door.identity().person:
                return "not-expected"
            if self._door.wall() > invite.expires:
                return "invite-expired"

            def claim(tx: Connection) -> str | None:
                refusal = table.claim(tx, invite.id, proven.certificate.device)
                if refusal is None:
                    self._door.admit(tx, proven, invite)
                return refusal

            refusal = await self._door.database.write(claim)
            if refusal == "invite-used":
                _log.warning(
                    "an invite was tried by a second device: its blob leaked",
                    extra={"peer": id_text(proven.certificate.person)},
                )
            return refusal

        def settled(result: Session | Exception) -> None:
            if isinstance(result, Session):
                self._door.tasks.create_task(self._used(hosted, result))

        password = None
        if hosted.password is not None:
            password = Guarded(
                hosted.password, invite.id, self._door.database, partial(self.guessed, invite.id)
            )
        return Purpose("b", invite.psk, None, via, admit, settled, password)

    def guessed(self, invite_id: bytes, left: int, what: str = "password") -> None:
        """Somebody who has the blob, or knows the nameplate, tried a wrong password, or code."""
        text = f"somebody tried a wrong {what} on your invite: {tries(left)}"
        if left == 0:
            text = f"the third wrong {what} was tried on your invite: it is dead now"
        self._door.publish(
            Note(text=text, code="password-wrong", invite=invite_id.hex(), left=left)
        )
        hosted = self._hosted.get(invite_id)
        if left == 0 and hosted is not None and not hosted.outcome.done():
            hosted.outcome.set_exception(
                locked("make a new one, and give it to your friend only", what)
            )

    async def _used(self, hosted: _Hosted, session: Session) -> None:
        await self._door.database.write(lambda tx: table.use(tx, hosted.invite.id))
        if not hosted.outcome.done():
            hosted.outcome.set_result(session)
        if hosted.offer is not None and session.via != "paste":
            await hosted.offer.aclose()
        hosted.offer = None

    async def joined(self, invite_id: bytes) -> Session:
        """Wait until somebody has come by this invite.

        Raises errors.Refused: `invite-expired`, `invite-withdrawn`.
        """
        hosted = self._hosted.get(invite_id)
        if hosted is None:
            raise expired()
        left = hosted.invite.expires - self._door.wall()
        try:
            async with asyncio.timeout(max(0.0, left)):
                return await asyncio.shield(hosted.outcome)
        except TimeoutError:
            raise expired() from None

    async def over(self, invite: Invite) -> None:
        """Wait until nobody can come by this invite any more, whatever it is asked."""
        try:
            await self.joined(invite.id)
        except errors.Refused as refused:
            if refused.code == "invite-locked":
                # Whoever asks is still told so.
                await asyncio.sleep(max(0.0, invite.expires - self._door.wall()))

    async def withdraw(self, invite_id: bytes) -> None:
        """Nobody can come by it any more. Raises errors.Refused `invite-unknown`."""
        known = await self._door.database.write(lambda tx: table.withdraw(tx, invite_id))
        if not known:
            raise errors.Refused(
                "invite-unknown", "there is no open invite of that id", "see p2pchat status"
            )
        hosted = self._hosted.get(invite_id)
        if hosted is not None and hosted.offer is not None:
            await hosted.offer.aclose()
            hosted.offer = None
        if hosted is not None and not hosted.outcome.done():
            hosted.outcome.set_exception(
                errors.Refused(
                    "invite-withdrawn",
                    "the invite was withdrawn",
                    "make a new one with p2pchat invite",
                )
            )

    async def reply(self, text: str) -> Session:
        """Take the reply blob that a guest pasted back; answers the session that came of it.

        Raises errors.BadInput, errors.Refused, errors.Unreachable.
        """
        with mapped():
            reply = Reply.parse(text)
        hosted = self._hosted.get(reply.invite_id)
        if hosted is None or hosted.invite.description is None:
            raise errors.Refused(
                "invite-unknown",
                "this reply belongs to no invite that waits here",
                "paste it where p2pchat invite was run, while it waits; or make a new invite",
            )
        if hosted.offer is None and hosted.outcome.done():
            raise errors.Refused(
                "invite-used", "this invite is used already", "make a new one for each friend"
            )
        if hosted.offer is None:
            raise unreachable("this invite's waiting offer was answered before, and failed")
        with mapped():
            answer = paste.open_reply(hosted.invite, reply)
        transport, hosted.offer = hosted.offer, None
        outcome: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        purpose = self._host_purpose(hosted, "paste")

        def settled(result: Session | Exception) -> None:
            purpose.settled(result)
            settle(outcome, result)

        try:
            await transport.accept(answer)
        except ConnectFailed as failed:
            await transport.aclose()
            raise unreachable(str(failed)) from failed
        self._door.peers.begin(
            transport,
            dataclasses.replace(purpose, settled=settled),
        )
        return await result_of(outcome)

    @property
    def waiting(self) -> int:
        """Invites that nobody has come by yet."""
        return sum(not (hosted.over or hosted.outcome.done()) for hosted in self._hosted.values())

    async def close(self) -> None:
        for hosted in list(self._hosted.values()):
            if not hosted.outcome.done():
                hosted.outcome.cancel()
            for registration in hosted.registrations:
                registration.close()
            if hosted.offer is not None:
                await hosted.offer.aclose()
        self._hosted.clear()
