"""Joins: from somebody's blob to a contact, however long it takes them to answer.

A `Pursuit` is one join: the carriers and the reply blob race, and the first proven link wins. It is
waited for for a while; where the node lives on, it is then kept in the store and goes on until the
invite expires, across restarts, and whoever listens to the node's events hears how it ended.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from p2pchat import errors
from p2pchat.core.handshake import Proven
from p2pchat.core.identity import id_text
from p2pchat.core.invite import inviter_mailbox, inviter_name
from p2pchat.events import Event, Note, ReplyReady, Waiting
from p2pchat.events import Peer as PeerEvent
from p2pchat.net.transport import ConnectFailed, Transport
from p2pchat.node.door import Door
from p2pchat.node.outcome import expired, mapped, result_of, settle
from p2pchat.node.password import OneTry, Turn, key_of
from p2pchat.node.peers import LinkRefused, Purpose
from p2pchat.node.session import Session
from p2pchat.node.trail import Trail
from p2pchat.node.waiting import waiting_row
from p2pchat.store import pursuits as table
from p2pchat.store.database import Connection
from signaling.carriers import Carrier, Registration, paste
from signaling.envelope import SlotKeys
from signaling.invite import EXPIRY_TOLERANCE_S, Invite

__all__ = ["Pursuit", "Pursuits"]

_log = logging.getLogger(__name__)
_FIRST_S = 2.0
"""How long a join hopes for the carriers before it offers a paste as well."""
_PATIENCE_S = 120.0
"""How long somebody waits at a terminal for a join that goes on without them anyway."""
_PASTE_S = 3_600.0
"""How long a reply is waited for beyond that; it holds a socket."""
_KEPT_MAX = 32
"""Joins that go on in the background: each looks on every carrier."""
_FINAL = frozenset(
    {
        "invite-used", "invite-expired", "invite-withdrawn", "invite-locked", "password-wrong",
        "not-expected",
    }
)  # fmt: skip


class Pursuit:
    """One join under way: `outcome` is the session, or a refusal that is final."""

    def __init__(
        self,
        invite: Invite,
        key: bytes | None,
        admit: Callable[[Proven], "asyncio.Future[None]"],
        carriers: Sequence[Carrier],
        tell: Callable[[Event], None],
    ) -> None:
        self.invite = invite
        self.key = key
        self.name = inviter_name(invite.app)
        self.trail = Trail(self.name, carriers)
        self.tell = tell
        self.outcome: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        # It may end while nobody waits.
        self.outcome.add_done_callback(lambda one: one.cancelled() or one.exception())
        self.registrations: list[Registration] = []
        self.watching: asyncio.Task[None] | None = None
        self._admit = admit
        self._turn = Turn()

    @property
    def wanted(self) -> bool:
        return not self.outcome.done()

    def purpose(self, via: str) -> Purpose:
        """Of a link that comes about on one of the ways."""
        if via != "paste":
            self.trail.found(via)
        inviter = self.invite.inviter
        self.tell(PeerEvent(peer=id_text(inviter), name=self.name, state="connecting", via=via))
        attempt = None if self.key is None else OneTry(self.key, self._turn)

        async def admit(proven: Proven) -> str | None:
            await self._admit(proven)
            return None

        def settled(result: Session | Exception) -> None:
            if attempt is not None:
                attempt.over()
            if isinstance(result, ConnectFailed):
                self.trail.no_path(via, str(result))
            elif isinstance(result, LinkRefused):
                self.trail.refused(via, result.code)
            # A link that failed on its way leaves the others in the race; a refusal is final.
            if isinstance(result, Session) or (
                isinstance(result, LinkRefused) and result.code in _FINAL
            ):
                settle(self.outcome, result)

        return Purpose(
            "a",
            self.invite.psk,
            inviter,
            via,
            admit,
            settled,
            attempt,
            answered=partial(self.trail.answered, via),
        )

    def close(self) -> None:
        for registration in self.registrations:
            registration.close()
        self.outcome.cancel()


class Pursuits:
    """All joins of a node that has a network. `came` hears of a kept one that has worked."""

    def __init__(self, door: Door, came: Callable[[Session, Invite], None]) -> None:
        self._door = door
        self._came = came
        self._kept: dict[bytes, Pursuit] = {}

    # -- joining -------------------------------------------------------------------------------

    async def join(
        self,
        text: str,
        timeout: float | None,
        on_event: Callable[[Event], None],
        password: str | None = None,
        *,
        keep: bool = False,
    ) -> Session:
        """Go to whoever made this invite; `password` is used where it needs one.

        With `keep` it goes on after `timeout`, or a while, and `join-waiting` says so. Raises
        errors.BadInput, errors.Refused, errors.Unreachable, errors.Usage.
        """
        invite, key = self._checked(text, password)
        # One that waits already goes on in any case; this looks on for a while.
        waited = await self.stop(invite.id)
        keep = keep or waited
        pursuit = self._begin(invite, key, on_event)
        kept = False
        try:
            return await self._wait(pursuit, timeout, keep=keep)
        except TimeoutError:
            kept = keep and self._left(invite) > 0
            if kept and len(self._kept) >= _KEPT_MAX:
                kept = False
                text = (
                    f"{_KEPT_MAX} joins go on in the background already, so this one does not; "
                    "p2pchat cancel N gives one up"
                )
                on_event(Note(text=text))
            for attempt in pursuit.trail.attempts():
                on_event(attempt)
            if not kept:
                raise pursuit.trail.error(self._limit(invite, timeout, keep=keep)) from None
            on_event(await self._keep(pursuit))
            raise errors.Unreachable(
                "join-waiting",
                f"no answer yet: {pursuit.trail.summary()}",
                "it goes on in the background until the invite expires; p2pchat status shows it, "
                "p2pchat cancel gives it up",
            ) from None
        except asyncio.CancelledError:
            if waited:
                kept = True
                self._watch(pursuit)
            raise
        finally:
            if not kept:
                pursuit.close()
                await self._door.database.write(lambda tx: table.drop(tx, invite.id))

    def _left(self, invite: Invite) -> float:
        return invite.expires + EXPIRY_TOLERANCE_S - self._door.wall()

    def _limit(self, invite: Invite, timeout: float | None, *, keep: bool) -> float:
        if timeout is None and keep:
            timeout = _PATIENCE_S
        left = max(0.0, self._left(invite))
        return left if timeout is None else min(left, timeout)

    async def _wait(self, pursuit: Pursuit, timeout: float | None, *, keep: bool) -> Session:
        limit = self._limit(pursuit.invite, timeout, keep=keep)
        # A reply that was given out may come back after we have ceased to wait for it.
        lasts = max(limit, min(_PASTE_S, self._left(pursuit.invite))) if keep else limit
        async with asyncio.timeout(limit):
            if pursuit.registrations:
                done, _ = await asyncio.wait({pursuit.outcome}, timeout=_FIRST_S)
                if done:
                    return await result_of(pursuit.outcome)
            await self._paste(pursuit, lasts)
            return await result_of(pursuit.outcome)

    def _checked(self, text: str, password: str | None) -> tuple[Invite, bytes | None]:
        with mapped():
            invite = Invite.parse(text, self._door.wall())
        if invite.inviter == self._door.identity().person:
            raise errors.Refused(
                "invite-own",
                "this invite is your own",
                "send it to your friend, who runs: p2pchat join BLOB",
            )
        if self._door.peers.refuses(invite.inviter):
            raise errors.Refused(
                "peer-blocked",
                "this invite is of somebody whom you have blocked",
                "take that back first: p2pchat unblock PEER",
            )
        if invite.password and password is None:
            raise errors.Usage(
                "password-missing",
                "this invite needs a password, which your friend tells you",
                "run it in a terminal, or give P2PCHAT_PASSWORD or --password-file FILE",
            )
        return invite, key_of(password) if invite.password else None

    def _begin(self, invite: Invite, key: bytes | None, tell: Callable[[Event], None]) -> Pursuit:
        mailbox = inviter_mailbox(invite.app)
        also = self._door.mailboxes.named(mailbox)

        def admit(proven: Proven) -> "asyncio.Future[None]":
            def write(tx: Connection) -> None:
                self._door.admit(tx, proven, invite)
                if also:
                    self._door.mailboxes.remember(tx, proven.certificate.person, mailbox)

            return self._door.database.submit(write)

        pursuit = Pursuit(invite, key, admit, [*self._door.peers.carriers, *also], tell)
        pursuit.registrations = self._door.peers.seek(
            SlotKeys.derive(invite.slot_secret),
            pursuit.purpose,
            wanted=lambda: pursuit.wanted,
            also=also,
        )
        return pursuit

    async def _paste(self, pursuit: Pursuit, lasts_s: float) -> None:
        invite, alone = pursuit.invite, not pursuit.registrations
        if invite.description is None:
            if alone:
                raise errors.Unreachable(
                    "unreachable",
                    "no connection: this invite has no address in it and discovery is off",
                    "set lan.enabled=true, or name a mailbox; p2pchat doctor BLOB tells more",
                )
            return
        transport = await Transport.answering(self._door.peers.settings, invite.description)
        reply = paste.make_reply(
            invite, transport.description, now=self._door.wall(), random=self._door.random
        )
        text = "paste this reply back to your friend, who pastes it where the invite waits"
        if not alone:
            text = (
                f"still looking for {pursuit.name}; if that takes too long, this reply helps, "
                "too: your friend pastes it where the invite waits"
            )
        pursuit.trail.pasting()
        pursuit.tell(Note(text=text))
        pursuit.tell(ReplyReady(blob=reply.text()))
        self._door.peers.begin(transport, pursuit.purpose("paste"), timeout_s=max(1.0, lasts_s))

    # -- what goes on --------------------------------------------------------------------------

    async def resume(self) -> None:
        """Go on with what earlier runs have left."""
        for row in await self._door.database.read(table.kept):
            with mapped():
                invite = Invite.parse(row.blob, 0.0)
            if self._left(invite) <= 0 or self._door.peers.refuses(invite.inviter):
                await self._end(invite, expired() if self._left(invite) <= 0 else None)
                continue
            self._watch(self._begin(invite, row.password, self._door.publish))

    async def _keep(self, pursuit: Pursuit) -> Waiting:
        invite = pursuit.invite
        now = self._door.wall()

        def write(tx: Connection) -> table.Row:
            until = self._left(invite) + now
            table.keep(tx, invite.id, invite.text(), pursuit.key, until, now)
            return next(row for row in table.kept(tx) if row.id == invite.id)

        row = await self._door.database.write(write)
        self._watch(pursuit)
        return waiting_row(row, pursuit.trail.summary())

    def _watch(self, pursuit: Pursuit) -> None:
        pursuit.tell = self._door.publish
        self._kept[pursuit.invite.id] = pursuit
        pursuit.watching = self._door.tasks.create_task(self._follow(pursuit))

    async def _follow(self, pursuit: Pursuit) -> None:
        invite = pursuit.invite
        ended: errors.Error | None = None
        session: Session | None = None
        try:
            async with asyncio.timeout(max(0.0, self._left(invite))):
                session = await result_of(pursuit.outcome)
        except TimeoutError:
            ended = expired()
        except errors.Error as error:
            ended = error
        finally:
            pursuit.close()
            if self._kept.get(invite.id) is pursuit:
                del self._kept[invite.id]
        await self._end(invite, ended)
        if session is not None:
            self._came(session, invite)

    async def _end(self, invite: Invite, why: errors.Error | None) -> None:
        await self._door.database.write(lambda tx: table.drop(tx, invite.id))
        if why is not None:
            text = f"the join by the invite of {inviter_name(invite.app)} has ended: {why.message}"
            self._door.publish(Note(text=text, code=why.code, invite=invite.id.hex()))

    def told(self, invite_id: bytes) -> str | None:
        """How far a kept join has come."""
        pursuit = self._kept.get(invite_id)
        return pursuit.trail.summary() if pursuit is not None else None

    async def stop(self, invite_id: bytes) -> bool:
        """Look for whoever made this invite no more; what is on disk stays. Whether we did."""
        pursuit = self._kept.pop(invite_id, None)
        if pursuit is None or pursuit.watching is None:
            return False
        pursuit.watching.cancel()
        await asyncio.wait({pursuit.watching})
        return True

    async def close(self) -> None:
        for invite_id in list(self._kept):
            await self.stop(invite_id)
