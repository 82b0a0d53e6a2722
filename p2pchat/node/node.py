"""The library: one running node on one profile.

    async with p2pchat.Node.open(home) as node:
        room = await node.room("@ann")
        await room.send("hi")

Opens the parts, holds them as long as it is open, and hands each call to the part whose matter it
is. With `online=False` nothing of the network is imported or started, so that reading and writing
the journal stays quick.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from p2pchat import config as configuration
from p2pchat import events
from p2pchat.core.entry import Entry
from p2pchat.core.identity import Identity
from p2pchat.node import history, magnets
from p2pchat.node.bus import Bus, Subscription
from p2pchat.node.directory import Directory
from p2pchat.node.meeting import Invitation, Meeting
from p2pchat.node.opening import open_journal
from p2pchat.node.parts import Parts
from p2pchat.node.room import Room
from p2pchat.node.status import status
from p2pchat.node.sync import sync, sync_rows
from p2pchat.store.keyfile import Passphrase
from p2pchat.store.profile import Profile, default_home
from p2pchat.text import checked_name

if TYPE_CHECKING:
    from p2pchat.node.online import Online

__all__ = ["Node"]


class Node:
    """Made by `Node.open` alone."""

    def __init__(self, parts: Parts, key: bytes) -> None:
        self.profile = parts.profile
        self.home = parts.profile.home
        self.config = parts.config
        self.people = parts.people
        self.moderation = parts.moderation
        self.marks = parts.marks
        self.clocks = parts.clocks
        self.presence = parts.presence
        self._parts = parts
        self._directory = Directory(parts)
        self._meeting = Meeting(parts, self._directory)
        self._key = key
        self.only_read = parts.database.only_read
        self._started = time.monotonic()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        home: Path | str | None = None,
        *,
        config: configuration.Config | None = None,
        name: str | None = None,
        online: bool = True,
        passphrase: str | Passphrase | None = None,
        only_read: bool = False,
    ) -> AsyncIterator["Node"]:
        """Lock the profile (made if it is not there) and run a node on it.

        `only_read`: without a network, and where the disk is full, what is there can be read; the
        node has `only_read` then, and what is written with it is lost.

        `name` is used where an identity has to be made; `passphrase`, or what a call of it answers,
        where the profile is locked by one. Raises errors.Busy `home-in-use`, `home-locked`;
        errors.Refused `passphrase-wrong`; errors.Error `home-unwritable`, `home-damaged`,
        `home-newer`, `disk-full`; errors.BadInput for a bad name.
        """
        chosen = checked_name(name) if name is not None else None
        async with AsyncExitStack() as stack:
            profile = Profile.open(Path(home) if home is not None else default_home())
            stack.callback(profile.close)
            if config is None:
                config = configuration.load(profile.config_path)
            given = passphrase if callable(passphrase) else lambda: passphrase
            key = await asyncio.to_thread(profile.key, os.urandom, given)
            profile.check_database()
            database, owner, incarnation = await open_journal(
                profile, key, chosen, reading=only_read and not online
            )
            stack.push_async_callback(database.aclose)
            bus = Bus()
            stack.callback(bus.close)
            parts = await Parts.load(profile, config, database, bus, owner, incarnation)
            node = cls(parts, key)
            if not database.only_read:
                stack.push_async_callback(parts.marks.save)
            if online:
                # Here, so that an offline command does not pay for aiortc, zeroconf and libtorrent.
                from p2pchat.node.online import networked

                network = networked(parts, node._directory, node._meeting)
                await stack.enter_async_context(network)
            yield node

    @property
    def online_parts(self) -> "Online":
        """Raises errors.Error `not-running` where the node has no network."""
        return self._parts.network

    # -- identity ------------------------------------------------------------------------------

    @property
    def identity(self) -> Identity:
        return self._parts.owner.identity

    @property
    def created(self) -> bool:
        """Whether the identity was made by this opening."""
        return self._parts.owner.created

    @property
    def peer_id(self) -> str:
        return self._parts.owner.id

    @property
    def name(self) -> str:
        return self._parts.owner.name

    def identity_row(self) -> events.Identity:
        return self._parts.owner.row(str(self.home))

    async def rename(self, name: str) -> events.Identity:
        """Show oneself under another name from now on. Raises errors.BadInput."""
        await self._parts.owner.rename(name)
        return self.identity_row()

    # -- people --------------------------------------------------------------------------------

    def online(self) -> set[str]:
        """Ids of the people that are linked now."""
        return self._parts.linked()

    def name_of(self, person: bytes) -> str:
        return self.people.name_of(person)

    async def peers(self) -> list[events.Peer]:
        """All contacts, with whether and how they are linked, and what we know of them."""
        return self.people.rows()

    async def block(self, person: bytes, *, blocked: bool = True) -> events.Peer:
        """Show nothing more of somebody, and take no link; or do so again."""
        await self.people.block(person, blocked=blocked)
        contact, online = self.people.contact(person), self._parts.online
        if online is not None and blocked:
            await online.peers.drop(person)
        elif online is not None and contact is not None:
            online.peers.contact(person, contact.secret)
        return self.people.row(person)

    # -- meeting -------------------------------------------------------------------------------

    async def invite(
        self,
        room: str | None = None,
        *,
        expires_s: float = 86_400,
        ask: bool = False,
        password: str | None = None,
        code: bool = False,
    ) -> Invitation:
        """A one-time invite to talk with us, and into `room`, at once or (`ask`) when approved.

        With `password` only for who knows that too; `code`: to be said, not sent, and with words of
        its own in place of a password. Raises errors.BadInput, errors.Refused `not-a-member`,
        errors.Usage, errors.Unreachable, errors.Error.
        """
        return await self._meeting.invite(room, expires_s, password, ask=ask, code=code)

    async def withdraw(self, invite_id: str) -> None:
        """Make an open invite worthless. Raises errors.Refused `invite-unknown`."""
        await self._meeting.withdraw(invite_id)

    async def reply(self, blob: str) -> events.Joined:
        """Take the reply blob that a guest sent back; returns when the link stands.

        Raises errors.BadInput, errors.Refused, errors.Unreachable.
        """
        return await self._meeting.reply(blob)

    async def join(
        self,
        blob: str,
        *,
        timeout: float | None = None,
        on_event: Callable[[events.Event], None] | None = None,
        approval: bool = True,
        password: str | None = None,
        keep: bool = False,
    ) -> events.Joined | events.Pending:
        """Go to whoever made this invite, or code; `on_event` hears of a reply blob to paste back.

        Where an invite leads into a room whose members have to approve, waits for that, or
        (`approval=False`) until they are asked. `password`: used where the invite needs one.
        `keep`: where there is no answer in time, go on until the invite expires.
        Raises errors.BadInput, errors.Unreachable, errors.Usage `password-missing`, errors.Refused,
        `join-denied` among them.
        """
        return await self._meeting.join(
            blob, timeout, on_event, password, approval=approval, keep=keep
        )

    async def waiting(self) -> list[events.Waiting]:
        """Joins whose inviter has not answered yet."""
        return await self._meeting.waiting()

    async def cancel_join(self, reference: str) -> events.Waiting:
        """Give up a join that waits, by its number. Raises errors.BadInput `join-unknown`."""
        return await self._meeting.cancel(reference)

    async def knock(
        self,
        name: str,
        *,
        timeout: float | None = None,
        on_event: Callable[[events.Event], None] | None = None,
    ) -> events.Joined | events.Pending:
        """Ask somebody, or a room, that is visible on this network to let us in.

        `on_event` hears of the three words that both sides have to compare. Raises as
        `Nearby.knock` and `join` do.
        """
        return await self._meeting.knock(name, timeout, on_event)

    def answer_knock(self, reference: str, *, accept: bool) -> events.Knock:
        """Let somebody in who knocks, or not; `reference` is a name, the words, or an id.

        Raises errors.BadInput: `knock-unknown`, `peer-ambiguous`.
        """
        return self._meeting.answer_knock(reference, accept=accept)

    # -- rooms ---------------------------------------------------------------------------------

    async def rooms(self) -> list[events.RoomRow]:
        """All rooms; of two, those with people we know from rooms only once anything is said."""
        return await self._directory.rows()

    async def room(self, reference: str) -> Room:
        """The room that `reference` names: `@NAME`, a name, or a prefix of its or the peer's id.

        Raises errors.BadInput: `room-unknown`, `room-ambiguous`.
        """
        return await self._directory.find(reference)

    async def create_room(self, name: str) -> Room:
        """A new room of many, with us as its only member and admin. Raises errors.BadInput."""
        return await self._directory.create(name)

    async def forget(self, room: str) -> None:
        """Delete all that is here of a room of many that we left.

        Raises errors.Refused `still-a-member`, errors.BadInput `room-unknown`, `room-direct`.
        """
        await self._directory.forget(room)

    async def write(self, room: bytes, kind: int, body: msgspec.Struct) -> Entry:
        """Write an entry of ours; on disk when this returns.

        Raises errors.Refused `not-a-member`.
        """
        return await self._parts.write(room, kind, body)

    async def sync(
        self, room: str | None = None, *, wait: bool = False, timeout: float = 30
    ) -> AsyncIterator[events.Sync]:
        """Compare with everybody linked, and say who is behind; with `wait`, until all is level.

        Without anybody linked, waits for somebody. Raises errors.Unreachable: `unreachable`,
        `not-synced`; errors.Refused `not-a-member` of a room that we are gone from.
        """
        found = await self.room(room) if room is not None else None
        if found is not None and self._directory.is_gone(found.key):
            # Nobody would answer.
            self._parts.moderation.check_member(found.key)
        wanted = found.id if found is not None else None
        peers = self.online_parts.peers
        async for event in sync(
            peers, self._directory, self._parts.bus, wanted, timeout, wait=wait
        ):
            yield event

    def sync_rows(self) -> list[events.Sync]:
        """How far each linked member and we differ, room by room."""
        online = self._parts.online
        return sync_rows(online.peers, self._directory) if online is not None else []

    # -- files ---------------------------------------------------------------------------------

    async def share(self, paths: Sequence[Path], *, room: str | None = None) -> events.Share:
        """Offer files or folders as one sealed share; tell the room, if one is named.

        Raises errors.BadInput: `file-missing`, `file-unreadable`; errors.Error.
        """
        target = (await self.room(room)).key if room is not None else None
        share = await self.online_parts.shares.add(paths)
        if target is None:
            return magnets.untold(share, self.peer_id, time.time())
        return await magnets.tell(self._parts.rooms, self._parts.write, target, share)

    async def get(
        self, target: str, *, dest: Path | None = None, timeout: float | None = None
    ) -> AsyncIterator[events.Transfer]:
        """Fetch a share by its magnet, or by (a prefix of) the id it has in one of our rooms.

        The last event is `complete` and has the path. Raises errors.BadInput `magnet-malformed`,
        `share-unknown`; errors.Unreachable `transfer-timeout`; errors.Error `transfer-failed`.
        """
        magnet = await magnets.find_magnet(self._parts.rooms, target)
        async for event in self.online_parts.shares.fetch(magnet, dest, timeout):
            yield event

    async def files(self) -> list[events.Transfer]:
        """Everything that is shared or fetched here, with who takes part."""
        return await self.online_parts.shares.rows()

    async def unshare(self, share_id: str) -> None:
        """Stop offering a share and delete its sealed copy. Raises errors.BadInput."""
        await self.online_parts.shares.remove(share_id)

    # -- history in and out --------------------------------------------------------------------

    async def export(
        self, path: Path, *, room: str | None = None, passphrase: str | None = None
    ) -> events.Exported:
        """Write one room, or all, as JSON Lines; with `passphrase` the whole profile, encrypted.

        Raises errors.BadInput `room-unknown`; errors.Error `home-unwritable`, `disk-full`.
        """
        if passphrase is not None:
            return await history.export_archive(self._parts, self._key, path, passphrase)
        return await history.export_lines(self._parts, self._directory, path, room)

    async def import_(self, path: Path, *, passphrase: Passphrase) -> events.Imported:
        """Take what an export or an archive of this identity has beyond what is here.

        `passphrase` is asked for an archive. Raises errors.BadInput `file-missing`,
        `import-malformed`; errors.Refused `import-foreign`, `passphrase-wrong`.
        """
        return await history.import_(self._parts, path, passphrase)

    # -- how it is -----------------------------------------------------------------------------

    async def status(self) -> events.Status:
        return await status(self._parts, int(time.monotonic() - self._started))

    async def doctor(self, blob: str | None = None) -> AsyncIterator[events.Finding]:
        """Look for what could go wrong for this profile, and on this network; reads all of the
        journal. With `blob`: what that invite offers, and why it may not lead there from here.

        Raises errors.BadInput.
        """
        from p2pchat.node.diagnosis import diagnose

        async for finding in diagnose(self._parts, self._directory, blob):
            yield finding

    def events(self) -> Subscription:
        """Everything that happens from now on. Close it, or use it as a context manager."""
        return self._parts.bus.subscribe()
