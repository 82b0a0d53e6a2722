"""The library: one running node on one profile.

    async with p2pchat.Node.open(home) as node:
        room = await node.room("@ann")
        await room.send("hi")

Wires the parts and holds their tasks; what each does lies in its own module. With `online=False`
nothing of the network is imported or started, so that reading and writing the journal stays quick.
"""

import asyncio
import getpass
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from p2pchat import config as configuration
from p2pchat import errors, events
from p2pchat.core.bounds import LIFETIME_S_MAX, MESH_LINKS
from p2pchat.core.chain import Chains, Fork
from p2pchat.core.entry import MESSAGE, SHARE, Entry, ShareBody
from p2pchat.core.group import Group
from p2pchat.core.handshake import Proven
from p2pchat.core.identity import Identity, direct_room, id_text
from p2pchat.core.invite import inviter_name, leads_into_room
from p2pchat.core.reconcile import Contests, Declined, Forked, Load, PeerHas, Progress
from p2pchat.core.wire import Cue, Denied, Introduction, Pending, Seen, Signal, Swarm, Welcome
from p2pchat.node import archive, doctor
from p2pchat.node.bodies import Filling
from p2pchat.node.bus import Bus, Subscription
from p2pchat.node.groups import Groups
from p2pchat.node.joining import Joining
from p2pchat.node.marks import Marks
from p2pchat.node.mesh import Mesh
from p2pchat.node.moderation import Moderation
from p2pchat.node.notify import Notifier
from p2pchat.node.people import People
from p2pchat.node.presence import Presence
from p2pchat.node.room import Room
from p2pchat.node.rooms import Rooms
from p2pchat.node.waiting import find_row, waiting_row
from p2pchat.store import journal, meta
from p2pchat.store import pursuits as pursued
from p2pchat.store.database import Connection, Database
from p2pchat.store.groups import invite_room
from p2pchat.store.keyfile import Passphrase
from p2pchat.store.profile import Profile, default_home
from p2pchat.text import checked_name, printable
from signaling.code import is_code
from signaling.tasks import owned_tasks

if TYPE_CHECKING:
    from p2pchat.node.codes import Codes
    from p2pchat.node.introductions import Introductions
    from p2pchat.node.invites import Invites
    from p2pchat.node.mailboxes import Mailboxes
    from p2pchat.node.nearby import Nearby
    from p2pchat.node.peers import Peers, Session
    from p2pchat.node.pursuits import Pursuits
    from p2pchat.node.shares import Shares
    from signaling.carriers import Carrier
    from signaling.carriers.lan import LanCarrier
    from signaling.carriers.lan_lines import LanLines
    from signaling.carriers.lines import Lines
    from signaling.code import Code
    from signaling.invite import Invite

__all__ = ["Invitation", "Node"]

_log = logging.getLogger(__name__)
_KNOCKER_S = 600.0
"""How long the invite lives that an accepted knock brings: whoever has it waits for it."""


class Invitation:
    """An invite that waits. The node keeps serving it whether or not anybody calls `wait`."""

    def __init__(
        self,
        node: "Node",
        invite: "Invite",
        room: bytes | None = None,
        code: "Code | None" = None,
    ) -> None:
        self._node = node
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
        session = await self._node.online_parts.invites.joined(self._invite.id)
        return await self._node.came(session.peer, self._invite.id)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Online:
    """The parts that only a node with a network has."""

    peers: "Peers"
    invites: "Invites"
    pursuits: "Pursuits"
    mailboxes: "Mailboxes"
    codes: "Codes"
    shares: "Shares"
    mesh: "Mesh"
    introductions: "Introductions"
    nearby: "Nearby"
    tasks: asyncio.TaskGroup


class Node:
    """Made by `Node.open` alone."""

    def __init__(
        self,
        profile: Profile,
        config: configuration.Config,
        database: Database,
        key: bytes,
        identity: Identity,
        rooms: Rooms,
        bus: Bus,
    ) -> None:
        self.profile = profile
        self.home = profile.home
        self.config = config
        self.identity = identity
        self.created = False
        self._started = time.monotonic()
        self._database = database
        self._bus = bus
        self._rooms = rooms
        self.people = People(
            database,
            rooms,
            self._me,
            bus.publish,
            time.time,
            self.write,
            vouching=config.trust.vouch,
        )
        self._groups = Groups(database, rooms, os.urandom)
        self._joining = Joining(
            database, rooms, self._groups, self._me, bus.publish, os.urandom, time.time
        )
        self._joining.admit = self._admit
        self.moderation = Moderation(
            database,
            rooms,
            self._groups,
            self._joining,
            self.people,
            self._me,
            bus.publish,
            os.urandom,
            time.time,
        )
        self.marks = Marks(
            database, rooms, self.people, self._me, bus.publish, enabled=config.privacy.read
        )
        self.presence = Presence(rooms, self.people, self._me, bus.publish, config.privacy)
        self._groups.changed = self._changed
        self._joining.asked = self._asked
        self._following = asyncio.Lock()
        self.filling = Filling(database, rooms)
        self._online: _Online | None = None
        self._lan: LanCarrier | None = None
        self._lines: list[Lines] = []
        self._lan_lines: LanLines | None = None
        self._key = key

    # -- life ----------------------------------------------------------------------------------

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
    ) -> AsyncIterator["Node"]:
        """Lock the profile (made if it is not there) and run a node on it.

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
            database = await Database.open(profile.database_path, key)
            stack.push_async_callback(database.aclose)
            bus = Bus()
            stack.callback(bus.close)
            node = await cls._load(profile, config, database, key, bus, chosen)
            stack.push_async_callback(node.marks.save)
            if online:
                await stack.enter_async_context(node.networked())
            yield node

    @classmethod
    async def _load(
        cls,
        profile: Profile,
        config: configuration.Config,
        database: Database,
        key: bytes,
        bus: Bus,
        name: str | None,
    ) -> "Node":
        beside = await asyncio.to_thread(profile.generation)

        def read(tx: Connection) -> tuple[Identity, bytes, bool, int]:
            stored, incarnation = meta.get(tx, "identity"), meta.get(tx, "incarnation")
            within = int(meta.get(tx, "generation") or b"0")
            if stored is None:
                chosen = checked_name(name or os.environ.get("P2PCHAT_NAME") or _login_name())
                identity = Identity.create(chosen, os.urandom)
                meta.put(tx, "identity", msgspec.msgpack.encode(identity))
            else:
                identity = msgspec.msgpack.decode(stored, type=Identity)
            # A database that was put back from a copy must not write what it has written once. One
            # more than beside it: the last opening was cut off between the two.
            if incarnation is None or within not in (beside, beside + 1):
                incarnation = os.urandom(8)
                meta.put(tx, "incarnation", incarnation)
            generation = max(within, beside) + 1
            meta.put(tx, "generation", str(generation).encode())
            return identity, incarnation, stored is None, generation

        identity, incarnation, created, generation = await database.write(read)
        await asyncio.to_thread(profile.keep_generation, generation)
        rooms = Rooms(database, incarnation, os.urandom, time.time, bus.publish)
        node = cls(profile, config, database, key, identity, rooms, bus)
        node.created = created
        rooms.identity = node._me
        rooms.heard = bus.heard
        rooms.timer_s = node._timer_s
        await rooms.load()
        await node.people.load()
        await node.marks.load()
        await node._groups.load()
        node.moderation.load()
        return node

    @asynccontextmanager
    async def networked(self) -> AsyncIterator[None]:
        """Carriers, links and files, for as long as the context lasts; `open` enters it."""
        # Here, so that an offline command does not pay for aiortc, zeroconf and libtorrent.
        from p2pchat.net.surroundings import changes
        from p2pchat.net.transport import Settings
        from p2pchat.node.codes import Codes, shared_lines
        from p2pchat.node.dht import open_dht
        from p2pchat.node.introductions import Introductions
        from p2pchat.node.invites import Invites
        from p2pchat.node.mailboxes import Mailboxes
        from p2pchat.node.nearby import Nearby, visible_rooms
        from p2pchat.node.peers import Peers
        from p2pchat.node.pursuits import Pursuits
        from p2pchat.node.shares import Shares, open_files
        from p2pchat.node.upkeep import keep_up

        net = self.config.net
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(owned_tasks())
            own = self.config.mailbox_address()
            mailboxes = Mailboxes(own, net.interfaces, tasks, os.urandom, time.time)
            await self._database.read(mailboxes.load)
            files = await stack.enter_async_context(open_files(self.config))
            dht = open_dht(self.config, files, self.profile.dht_path, os.urandom, time.time)
            carriers = [
                *await self._carriers(stack),
                *mailboxes.always(),
                *await stack.enter_async_context(dht),
            ]
            self._lines = [*self._lines, *shared_lines(carriers, files.dht, tasks, os.urandom)]
            settings = Settings(tuple(net.stun), tuple(net.interfaces), tuple(net.turn))
            peers = Peers(self, tasks, carriers, settings, os.urandom)
            invites = Invites(
                self._database,
                peers,
                mailboxes,
                self._me,
                self._come,
                os.urandom,
                time.time,
                tasks,
                self._bus.publish,
            )
            pursuits = Pursuits(
                self._database,
                peers,
                mailboxes,
                self._me,
                self._come,
                os.urandom,
                time.time,
                tasks,
                self._bus.publish,
                self._arrived,
            )
            mesh = Mesh(self._rooms, self._groups, self.people, peers, self._me)
            introductions = Introductions(
                peers, mesh, lambda: self.identity.person, tasks, os.urandom, time.time
            )
            peers.beside = lambda person: [*mailboxes.beside(person), introductions.to(person)]
            shares = await stack.enter_async_context(
                Shares.open(
                    self.profile.files_path, self.config, self._database, peers, self._bus, files
                )
            )
            codes = Codes(self._database, invites, self._lines, os.urandom, tasks)
            own_key = self.identity.person
            nearby = Nearby(
                self._lan_lines,
                lambda: self.name,
                lambda: visible_rooms(self.config.lan.rooms, self._named_groups(), own_key),
                self._invite_knocker,
                self._bus.publish,
                os.urandom,
                visible=self.config.lan.visible,
                listen=bool(self.config.lan.rooms),
            )
            self._online = _Online(
                peers=peers,
                invites=invites,
                pursuits=pursuits,
                mailboxes=mailboxes,
                codes=codes,
                shares=shares,
                mesh=mesh,
                introductions=introductions,
                nearby=nearby,
                tasks=tasks,
            )
            self._rooms.listeners.append(self._gossip)
            tasks.create_task(self._rooms.words.run())
            tasks.create_task(self._rooms.talk.watch())
            self.attend(peers, tasks)
            tasks.create_task(keep_up(changes(net.interfaces), peers, mailboxes.reconnect))
            for contact in self.people.contacts:
                if not self.people.blocked(contact.person):
                    peers.contact(contact.person, contact.secret)
            await self._joining.online(peers, mesh)
            for chains in list(self._rooms.all()):
                if isinstance(chains, Group):
                    await self._follow(chains, contested=False)
            await invites.resume()
            await codes.resume()
            await pursuits.resume()
            try:
                yield
            finally:
                self._joining.offline()
                await pursuits.close()
                nearby.close()
                await invites.close()
                await self.people.parted([session.peer for session in peers.sessions()])
                await peers.close()
                self.people.session = lambda _: None
                self.marks.sessions = self.presence.sessions = lambda: ()
                self._online = None

    def attend(self, peers: "Peers", tasks: asyncio.TaskGroup) -> None:
        """Tell over links how it is with us, and hear of others, for as long as the tasks run."""
        self.people.session = peers.session
        self.marks.sessions = self.presence.sessions = peers.sessions
        tasks.create_task(self.marks.run())
        tasks.create_task(self.presence.run())
        if command := self.config.notify_command():
            tasks.create_task(Notifier(self._bus, command, self._name_of_room).run())

    def _name_of_room(self, room: str) -> str:
        found = [one for one in self._rooms.all() if id_text(one.room) == room]
        return self._room_name(found[0]) if found else room[:8]

    async def _carriers(self, stack: AsyncExitStack) -> "list[Carrier]":
        self._lines = []
        if not self.config.lan.enabled:
            return []
        from signaling.carriers.lan import LanCarrier

        try:
            lan = await stack.enter_async_context(
                LanCarrier.open(self.config.net.interfaces, random=os.urandom, wall=time.time)
            )
        except OSError as error:
            _log.warning("discovery on the network is off: %s", error)
            return []
        self._lan = lan
        self._lines = [lan.lines]
        self._lan_lines = lan.lines
        return [lan]

    @property
    def online_parts(self) -> _Online:
        if self._online is None:
            raise errors.Error(
                "not-running", "this node was opened without a network", "open it with online=True"
            )
        return self._online

    # -- identity ------------------------------------------------------------------------------

    @property
    def peer_id(self) -> str:
        return id_text(self.identity.person)

    @property
    def name(self) -> str:
        return self.identity.certificate.safe_name()

    def _timer_s(self, room: bytes) -> int:
        """After how many seconds what we write there disappears: the room's timer, else ours."""
        group = self._rooms.get(room)
        timer = group.membership.setting("timer") if isinstance(group, Group) else "0"
        set_s = min(int(timer), LIFETIME_S_MAX) if timer.isdecimal() and len(timer) < 10 else 0
        return set_s or self.config.messages.lifetime_s

    def _me(self) -> Identity:
        return self.identity

    def identity_row(self) -> events.Identity:
        return events.Identity(
            peer=self.peer_id,
            name=self.name,
            home=str(self.home),
            device=id_text(self.identity.device),
            created=self.created,
        )

    async def rename(self, name: str) -> events.Identity:
        """Show oneself under another name from now on. Raises errors.BadInput."""
        renamed = self.identity.renamed(checked_name(name))
        await self._database.write(
            lambda tx: meta.put(tx, "identity", msgspec.msgpack.encode(renamed))
        )
        self.identity = renamed
        return self.identity_row()

    # -- people --------------------------------------------------------------------------------

    def online(self) -> set[str]:
        """Ids of the people that are linked now."""
        if self._online is None:
            return set()
        return {id_text(session.peer) for session in self._online.peers.sessions()}

    def name_of(self, person: bytes) -> str:
        return self.people.name_of(person)

    async def peers(self) -> list[events.Peer]:
        """All contacts, with whether and how they are linked, and what we know of them."""
        return self.people.rows()

    async def block(self, person: bytes, *, blocked: bool = True) -> events.Peer:
        """Show nothing more of somebody, and take no link; or do so again."""
        await self.people.block(person, blocked=blocked)
        contact = self.people.contact(person)
        if self._online is not None and blocked:
            await self._online.peers.drop(person)
        elif self._online is not None and contact is not None:
            self._online.peers.contact(person, contact.secret)
        return self.people.row(person)

    def _admit(self, tx: Connection, proven: Proven) -> None:
        """Put somebody who came by an invite into the contacts, and make our room."""
        self.people.admit(tx, proven.certificate, proven.contact_secret)
        self._rooms.create_direct(tx, proven.certificate.person)

    def _come(self, tx: Connection, proven: Proven, invite: "Invite") -> None:
        """Somebody came by an invite of ours, or we by theirs: maybe into a room."""
        self._admit(tx, proven)
        if invite.inviter == self.identity.person:
            self._joining.brought(tx, invite.id, proven.certificate)
        elif leads_into_room(invite.app):
            self._joining.invited_by(tx, proven.certificate.person, inviter_name(invite.app))

    # -- rooms of many -------------------------------------------------------------------------

    def _changed(self, group: Group, contested: bool) -> None:  # noqa: FBT001  (a callback)
        """Acts of membership came (`groups.Groups.changed`)."""
        self.moderation.changed(group)
        self.people.moved(group)
        if self._online is not None:
            self._online.tasks.create_task(self._follow(group, contested=contested))

    def _asked(self, group: Group) -> None:
        if self._online is not None:
            self._online.tasks.create_task(self._follow(group, contested=False))

    async def _follow(self, group: Group, *, contested: bool) -> None:
        async with self._following:
            if self._online is None:
                return
            try:
                await self._online.mesh.follow(group, contested=contested)
                self._online.introductions.followed(group)
                await self._joining.followed(group)
                # A delete that counts no more leaves a body missing, and all may be level already.
                for session in list(self._online.peers.sessions()):
                    await self.filling.ask(session, group.room)
            except errors.Error as error:
                _log.warning("membership not followed: %s", error.message)

    # -- what links ask (peers.Hub) ------------------------------------------------------------

    def rooms_with(self, person: bytes) -> list[Chains]:
        return self.online_parts.mesh.rooms_with(person)

    async def contested(self, session: "Session", fact: Contests) -> None:
        await self.online_parts.mesh.contested(session, fact)

    async def declined(self, session: "Session", fact: Declined) -> None:
        await self.online_parts.mesh.declined(session, fact)

    async def invited(self, session: "Session", frame: Welcome | Pending | Denied) -> None:
        await self._joining.invited(session, frame)

    def refuses(self, person: bytes) -> bool:
        return self.people.blocked(person)

    async def commit(self, records: Sequence[object], source: "Session") -> None:
        await self._rooms.commit(records, source)

    async def load_run(self, want: Load) -> list[Entry]:
        return await self._rooms.load_run(want)

    async def entered(self, session: "Session") -> None:
        """A link stands: bring contact and room up to date, and tell."""
        person = session.peer
        before = self.people.contact(person)
        after = await self.people.met(session.certificate)
        if after is not None and (before is None or before.secret != after.secret):
            self.online_parts.peers.contact(person, after.secret)
        own = self.identity.person
        if self._rooms.get(direct_room(own, person)) is None:
            await self._direct(person)
        self._bus.publish(self._peer_event(session, "connected"))
        self.people.tell_clash(person, again=True)
        if before is None:
            self._bus.publish(self.joined(person))
        await self.online_parts.mesh.entered(session)
        self.online_parts.introductions.entered(session)
        await self._joining.entered(session)
        self.presence.entered(session)
        await self.online_parts.shares.entered(session)

    async def left(self, session: "Session", reason: str) -> None:
        if self._online is None:
            return
        self._online.shares.left(session)
        self._online.introductions.left(session)
        self.marks.left(session)
        if self._online.peers.session(session.peer) is None:
            self.presence.left(session.peer)
            await self.people.parted([session.peer])
            self._bus.publish(self._peer_event(session, "disconnected", reason))

    def _peer_event(self, session: "Session", state: str, reason: str | None = None) -> events.Peer:
        return msgspec.structs.replace(
            self.people.row(session.peer),
            state="connected" if state == "connected" else "disconnected",
            via=session.via,
            path=session.path,
            time=events.rfc3339(time.time()),
            reason=reason,
            last_seen=None,
        )

    async def signalled(self, session: "Session", frame: Signal | Swarm) -> None:
        await self.online_parts.shares.signalled(session, frame)

    def introduced(self, session: "Session", frame: Introduction) -> None:
        self.online_parts.introductions.received(session, frame)

    def progressed(self, session: "Session", fact: Progress) -> None:
        self._bus.publish(self._sync_event(session, fact))

    def _sync_event(self, session: "Session", fact: Progress) -> events.Sync:
        state = "in-sync" if fact.level else "pulling" if fact.compared else "comparing"
        return events.Sync(
            room=id_text(fact.room),
            peer=id_text(session.peer),
            behind=fact.behind,
            ahead=fact.ahead,
            state=state,  # type: ignore[arg-type]
        )

    async def forked(self, session: "Session", fact: Forked) -> None:
        """Somebody wrote two histories: keep the proof, pass it on, and say so aloud."""
        proof = await self._rooms.keep_fork(fact)
        if proof is None:
            return
        chains = self._rooms.get(fact.room)
        assert chains is not None
        for other in self.online_parts.peers.sessions():
            if other is not session and other.peer in chains.members:
                other.prove(fact.room, proof)
        if isinstance(fact.proof, Fork):
            session.prove(fact.room, proof)
        if isinstance(chains, Group):
            await self.online_parts.mesh.forked(chains)
        author = self._rooms.author(fact.room, fact.chain)
        if fact.chain == self._rooms.own_chain(fact.room):
            await self._rooms.renew()
        if author is not None:
            self._bus.publish(
                events.Forked(
                    room=id_text(fact.room), peer=id_text(author), name=self.name_of(author)
                )
            )

    async def peer_has(self, session: "Session", fact: PeerHas) -> None:
        """Entries have reached a disk elsewhere."""
        if self._rooms.get(fact.room) is None:
            return  # forgotten meanwhile
        ours = fact.chain == self._rooms.own_chain(fact.room)
        if ours and self._rooms.behind(fact.room, fact.seq):
            # More of us than we have: this profile was put back from a copy, or runs twice.
            _log.warning("a member has newer entries of ours; we go on as a new incarnation")
            await self._rooms.renew()
        await self.marks.has(session, fact)

    def cued(self, session: "Session", frame: Cue) -> None:
        if isinstance(frame, Seen):
            self.marks.seen(session, frame)
        else:
            self.presence.cued(session, frame)

    def _gossip(self, room: bytes, entries: Sequence[Entry], source: object) -> None:
        """Push new entries along the mesh; whom that misses learns of them by the next summary."""
        chains = self._rooms.get(room)
        if self._online is None or chains is None:
            return
        linked = [
            session
            for session in self._online.peers.sessions()
            if session is not source and self._online.mesh.shares(chains, session.peer)
        ]
        # By the transcript: at random, and the same links for as long as they last.
        for session in sorted(linked, key=lambda session: session.transcript)[:MESH_LINKS]:
            session.push(room, entries)

    # -- invites -------------------------------------------------------------------------------

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
        group = None
        if room is not None:
            key = (await self.room(room)).key
            self.moderation.check_member(key)
            group = self._groups.get(key)
        into = (group.room, ask) if group is not None else None
        if code and password is not None:
            raise errors.Usage(
                "usage", "a code is a password already", "give either --code or --password"
            )
        leads_to = group.room if group is not None else None
        if code:
            coded, words = await self.online_parts.codes.create(expires_s, into)
            return Invitation(self, coded, leads_to, words)
        invite = await self.online_parts.invites.create(expires_s, into, password)
        return Invitation(self, invite, leads_to)

    async def withdraw(self, invite_id: str) -> None:
        """Make an open invite worthless. Raises errors.Refused `invite-unknown`."""
        try:
            wanted = bytes.fromhex(invite_id)
        except ValueError:
            wanted = b""
        await self.online_parts.invites.withdraw(wanted)

    async def reply(self, blob: str) -> events.Joined:
        """Take the reply blob that a guest sent back; returns when the link stands.

        Raises errors.BadInput, errors.Refused, errors.Unreachable.
        """
        session = await self.online_parts.invites.reply(blob)
        return self.joined(session.peer)

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
        tell = on_event or self._bus.publish
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        if is_code(blob):
            blob = await self.online_parts.codes.fetch(blob, timeout, tell)
            if deadline is not None:
                timeout = deadline - asyncio.get_running_loop().time()
        session = await self.online_parts.pursuits.join(blob, timeout, tell, password, keep=keep)
        if on_event is not None and (clash := self.people.name_clash(session.peer)) is not None:
            on_event(clash)
        if not self._joining.is_expected(session.peer):
            return self.joined(session.peer)
        outcome = await self._let_in(session, deadline)
        if isinstance(outcome, events.Pending) and approval:
            tell(outcome)
            outcome = await self._let_in(session, deadline)
        return outcome

    def _arrived(self, session: "Session", invite: "Invite") -> None:
        """A join that went on in the background has worked; a room's is told by `_joining`."""
        if not self._joining.is_expected(session.peer):
            self._bus.publish(self.joined(session.peer, invite=invite.id.hex()))

    async def waiting(self) -> list[events.Waiting]:
        """Joins whose inviter has not answered yet."""
        told = self._online.pursuits.told if self._online is not None else lambda _: None
        return [waiting_row(row, told(row.id)) for row in await self._database.read(pursued.kept)]

    async def cancel_join(self, reference: str) -> events.Waiting:
        """Give up a join that waits, by its number. Raises errors.BadInput `join-unknown`."""
        row = find_row(await self._database.read(pursued.kept), reference)
        if self._online is not None:
            await self._online.pursuits.stop(row.id)
        await self._database.write(lambda tx: pursued.drop(tx, row.id))
        return waiting_row(row, None)

    async def _let_in(
        self, session: "Session", deadline: float | None
    ) -> events.Joined | events.Pending:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._joining.outcome(session.peer)
        except TimeoutError:
            raise errors.Unreachable(
                "not-approved",
                "nobody has let you in yet",
                "it goes on in the background while p2pchat up runs; see p2pchat rooms",
            ) from None

    def joined(self, person: bytes, *, invite: str | None = None) -> events.Joined:
        """The event for the room of two with `person`."""
        own = self.identity.person
        return events.Joined(
            room=id_text(direct_room(own, person)),
            name=self.name_of(person),
            members=sorted((id_text(own), id_text(person))),
            invite=invite,
        )

    async def came(self, person: bytes, invite_id: bytes) -> events.Joined | events.JoinRequest:
        """Somebody came by an invite of ours: into its room, or asking to be let in."""
        into = await self._database.read(lambda tx: invite_room(tx, invite_id))
        group = self._groups.get(into[0]) if into is not None else None
        if group is None:
            return self.joined(person, invite=invite_id.hex())
        if person in group.members:
            return events.Joined(
                room=id_text(group.room),
                name=self.name_of(person),
                members=sorted(map(id_text, group.members)),
                kind="group",
                invite=invite_id.hex(),
            )
        return events.JoinRequest(
            room=id_text(group.room), peer=id_text(person), name=self.name_of(person)
        )

    # -- knocks --------------------------------------------------------------------------------

    def _named_groups(self) -> list[tuple[Group, str]]:
        groups = [group for group in self._rooms.all() if isinstance(group, Group)]
        return [(group, self.moderation.name_of(group)) for group in groups]

    async def _invite_knocker(self, room: bytes | None) -> "Invite":
        """What somebody gets who knocked and was let in; into a room its members have to agree."""
        if room is not None:
            self.moderation.check_member(room)
        into = (room, True) if room is not None else None
        return await self.online_parts.invites.create(_KNOCKER_S, into, offer=False)

    def answer_knock(self, reference: str, *, accept: bool) -> events.Knock:
        """Let somebody in who knocks, or not; `reference` is a name, the words, or an id.

        Raises errors.BadInput: `knock-unknown`, `peer-ambiguous`.
        """
        if self._online is None:
            raise errors.BadInput(
                "knock-unknown",
                "nobody can knock while no p2pchat runs here",
                "run p2pchat nearby --visible, or p2pchat up with lan.visible=true",
            )
        return self._online.nearby.answer(reference, accept=accept)

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
        tell = on_event or self._bus.publish
        answered = await self.online_parts.nearby.knock(name, timeout, tell)
        assert answered.blob is not None
        return await self.join(answered.blob, timeout=timeout, on_event=on_event)

    # -- rooms ---------------------------------------------------------------------------------

    async def rooms(self) -> list[events.RoomRow]:
        """All rooms; of two, those with people we know from rooms only once anything is said."""
        met = {
            person
            for chains in self._rooms.all()
            if isinstance(chains, Group)
            for person in chains.members
        }
        shown = [
            chains
            for chains in self._rooms.all()
            if isinstance(chains, Group)
            or chains.total
            or not met & (chains.members - {self.identity.person})
        ]
        unread = await self.marks.unread(shown)
        rows = [await self._row(chains, unread[chains.room]) for chains in shown]
        return rows + [
            events.RoomRow(
                room=id_text(join.room), name=join.name, kind="group", members=0, state="pending"
            )
            for join in self._joining.pending()
            if join.room is not None and self._rooms.get(join.room) is None
        ]

    async def _row(self, chains: Chains, unread: int) -> events.RoomRow:
        newest = await self._rooms.history(chains.room, last=1, since_s=None, kinds=(MESSAGE,))
        row = events.RoomRow(
            room=id_text(chains.room),
            name=self._room_name(chains),
            kind="group" if isinstance(chains, Group) else "direct",
            members=len(chains.members),
            entries=chains.total,
            time=newest[0].time if newest else None,
            unread=unread,
        )
        if not isinstance(chains, Group):
            return row
        return msgspec.structs.replace(row, **self.moderation.details(chains))

    def _room_name(self, chains: Chains) -> str:
        if isinstance(chains, Group):
            return self.moderation.name_of(chains)
        others = [person for person in chains.members if person != self.identity.person]
        return ", ".join(self.name_of(person) for person in others) or self.name

    def _own_name(self, chains: Chains) -> str | None:
        """What the other in a room of two calls themselves."""
        others = [person for person in chains.members if person != self.identity.person]
        return self.people.own_name(others[0]) if len(others) == 1 else None

    async def room(self, reference: str) -> Room:
        """The room that `reference` names: `@NAME`, a name, or a prefix of its or the peer's id.

        Raises errors.BadInput: `room-unknown`, `room-ambiguous`.
        """
        wanted, direct = reference.removeprefix("@").strip(), reference.startswith("@")
        named, called, prefixed = [], [], []
        for chains in self._rooms.all():
            if direct and isinstance(chains, Group):
                continue
            if self._room_name(chains) == wanted:
                named.append(chains)
            elif not isinstance(chains, Group) and self._own_name(chains) == wanted:
                called.append(chains)
            others = chains.members - {self.identity.person}
            keys = [chains.room] if isinstance(chains, Group) else [chains.room, *others]
            if len(wanted) >= 4 and any(id_text(key).startswith(wanted) for key in keys):
                prefixed.append(chains)
        # Who has the name of a room is meant by @NAME alone.
        groups = [chains for chains in named if isinstance(chains, Group)]
        found = groups or named or called or prefixed
        if not found and direct and (person := self.people.known_as(wanted)) is not None:
            found = [await self._direct(person)]
        if not found:
            raise errors.BadInput(
                "room-unknown",
                f"there is no room named {printable(reference)!r}",
                "p2pchat rooms lists them; p2pchat room create NAME and p2pchat invite make one",
            )
        if len(found) > 1:
            raise errors.BadInput(
                "room-ambiguous",
                f"{len(found)} rooms are named {printable(reference)!r}",
                "name it by the beginning of its id: p2pchat rooms --json",
            )
        return Room(self, self._rooms, found[0].room, self._room_name(found[0]))

    async def _direct(self, person: bytes) -> Chains:
        """The room of two with somebody we know, made if it is not there."""
        certificate = self.people.certificate(person)
        if certificate is not None and self.people.contact(person) is None:
            # A member of a large room whom we have no link with: one is wanted from now on.
            met = await self.people.meet(certificate, self.identity.secret_with(certificate))
            if met is not None and self._online is not None:
                self._online.peers.contact(person, met.secret)
        room = await self._database.write(lambda tx: self._rooms.create_direct(tx, person))
        return self._rooms.opened(room, (self.identity.person, person))

    async def create_room(self, name: str) -> Room:
        """A new room of many, with us as its only member and admin. Raises errors.BadInput."""
        group = await self.moderation.create(name)
        return Room(self, self._rooms, group.room, self._room_name(group))

    async def forget(self, room: str) -> None:
        """Delete all that is here of a room of many that we left.

        Raises errors.Refused `still-a-member`, errors.BadInput `room-unknown`, `room-direct`.
        """
        found = await self.room(room)
        await self.moderation.forget(found.group())
        self.marks.forget(found.key)
        if self._online is not None:
            for session in self._online.peers.sessions():
                session.drop(found.key)

    def group(self, room: bytes) -> Group:
        """The room of many with this id. Raises errors.BadInput `room-direct`."""
        group = self._groups.get(room)
        if group is None:
            raise errors.BadInput(
                "room-direct",
                "this is a conversation of two",
                "make a room with p2pchat room create NAME",
            )
        return group

    async def requests(self, room: bytes) -> list[events.JoinRequest]:
        """Who asks to be let into a room of many."""
        group = self._groups.get(room)
        waiting = await self._joining.waiting(group) if group is not None else []
        return [
            events.JoinRequest(
                room=id_text(room),
                peer=id_text(request.person),
                name=request.certificate.safe_name(),
            )
            for request in waiting
        ]

    def members_of(self, room: bytes) -> list[events.Member]:
        chains = self._rooms.get(room)
        assert chains is not None
        return self.people.members(chains, self.online())

    async def write(self, room: bytes, kind: int, body: msgspec.Struct) -> Entry:
        """Write an entry of ours; on disk when this returns.

        Raises errors.Refused `not-a-member`.
        """
        self.moderation.check_member(room)
        chains = self._rooms.get(room)
        assert chains is not None
        others = [
            contact.certificate
            for person in chains.members
            if (contact := self.people.contact(person)) is not None
        ]
        return await self._rooms.write(room, kind, body, others)

    def holders(self, room: bytes, entry: Entry) -> set[str]:
        """Ids of members that have told that they have `entry` on disk."""
        return {id_text(person) for person in self.marks.holders(room, entry)}

    # -- syncing -------------------------------------------------------------------------------

    async def sync(
        self, room: str | None = None, *, wait: bool = False, timeout: float = 30
    ) -> AsyncIterator[events.Sync]:
        """Compare with everybody linked, and say who is behind; with `wait`, until all is level.

        Without anybody linked, waits for somebody. Raises errors.Unreachable: `unreachable`,
        `not-synced`.
        """
        wanted = (await self.room(room)).id if room is not None else None
        peers = self.online_parts.peers
        shown: dict[tuple[str, str], events.Sync] = {}
        with self._bus.subscribe() as feed:
            for session in peers.sessions():
                for progress in session.reconcile.progress():
                    if wanted in (None, id_text(progress.room)):
                        session.compare(progress.room)
            deadline = asyncio.get_running_loop().time() + timeout
            while True:
                states = [state for state in self.sync_rows() if wanted in (None, state.room)]
                for state in states:
                    if shown.get((state.room, state.peer)) != state:
                        shown[state.room, state.peer] = state
                        yield state
                compared = bool(states) and all(state.state != "comparing" for state in states)
                level = all(state.state == "in-sync" for state in states)
                if compared and (level or not wait):
                    return
                try:
                    async with asyncio.timeout_at(deadline):
                        await anext(feed)
                except TimeoutError:
                    break
        if not shown:
            raise errors.Unreachable(
                "unreachable",
                f"no member was online within {timeout:.0f} s",
                "both need p2pchat running at the same time: p2pchat up",
            )
        raise errors.Unreachable(
            "not-synced",
            f"not in sync after {timeout:.0f} s",
            "it goes on in the background while p2pchat up runs; see p2pchat status",
        )

    # -- files ---------------------------------------------------------------------------------

    async def share(self, paths: Sequence[Path], *, room: str | None = None) -> events.Share:
        """Offer files or folders as one sealed share; tell the room, if one is named.

        Raises errors.BadInput: `file-missing`, `file-unreadable`; errors.Error.
        """
        target = (await self.room(room)).key if room is not None else None
        share = await self.online_parts.shares.add(paths)
        if target is not None:
            body = ShareBody(share.id, share.name, share.size, share.magnet)
            entry = await self.write(target, SHARE, body)
            event = self._rooms.event(entry)
            assert isinstance(event, events.Share)
            return event
        return events.Share(
            id=id_text(share.id),
            name=share.name,
            size=share.size,
            magnet=share.magnet,
            author=self.peer_id,
            time=events.rfc3339(time.time()),
        )

    async def get(
        self, target: str, *, dest: Path | None = None, timeout: float | None = None
    ) -> AsyncIterator[events.Transfer]:
        """Fetch a share by its magnet, or by (a prefix of) the id it has in one of our rooms.

        The last event is `complete` and has the path. Raises errors.BadInput `magnet-malformed`,
        `share-unknown`; errors.Unreachable `transfer-timeout`; errors.Error `transfer-failed`.
        """
        magnet = target if target.startswith("magnet:") else await self._magnet_of(target)
        async for event in self.online_parts.shares.fetch(magnet, dest, timeout):
            yield event

    async def _magnet_of(self, prefix: str) -> str:
        found: dict[str, str] = {}
        for chains in self._rooms.all():
            for event in await self._rooms.history(
                chains.room, last=None, since_s=None, kinds=(SHARE,)
            ):
                if isinstance(event, events.Share) and event.id.startswith(prefix.lower()):
                    found[event.id] = event.magnet
        if len(found) != 1 or len(prefix) < 4:
            raise errors.BadInput(
                "magnet-malformed" if ":" in prefix or "?" in prefix else "share-unknown",
                f"{printable(prefix)!r} is neither a magnet link nor the id of a share known here",
                "paste the whole magnet link in quotes, or see p2pchat files",
            )
        return found.popitem()[1]

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
            args = (path, self.profile, self._key, passphrase, os.urandom)
            await asyncio.to_thread(archive.write_archive, *args)
            entries = await self._database.read(journal.count)
            return events.Exported(path=str(path), format="archive", entries=entries)
        if room is not None:
            wanted = [(found := await self.room(room)).key]
            names = [found.name]
        else:
            wanted = [chains.room for chains in self._rooms.all()]
            names = [self._room_name(chains) for chains in self._rooms.all()]
        named = list(zip(wanted, names, strict=True))
        entries = await archive.write_lines(path, self._database, self._rooms, named)
        return events.Exported(path=str(path), format="jsonl", entries=entries)

    async def import_(self, path: Path, *, passphrase: Passphrase) -> events.Imported:
        """Take what an export or an archive of this identity has beyond what is here.

        `passphrase` is asked for an archive. Raises errors.BadInput `file-missing`,
        `import-malformed`; errors.Refused `import-foreign`, `passphrase-wrong`.
        """
        database, held, me = self._database, self._rooms, self.identity
        if await asyncio.to_thread(archive.is_archive, path):
            merge = await archive.merge_archive(path, passphrase, self.profile, database, held, me)
            before = {contact.person for contact in self.people.contacts}
            await self.people.load()
            for contact in self.people.contacts:
                fresh = contact.person not in before and not self.people.blocked(contact.person)
                if fresh and self._online is not None:
                    self._online.peers.contact(contact.person, contact.secret)
        else:
            merge = await archive.merge_lines(path, database, held, me, time.time())
        return events.Imported(path=str(path), added=merge.added, known=merge.known)

    async def doctor(self, blob: str | None = None) -> AsyncIterator[events.Finding]:
        """Look for what could go wrong for this profile, and on this network; reads all of the
        journal. With `blob`: what that invite offers, and why it may not lead there from here.

        Raises errors.BadInput.
        """
        from p2pchat.node import network, outlook

        invite = outlook.read(blob) if blob is not None else None
        carriers = self._online.peers.carriers if self._online else None
        situation = network.Situation(self.config, carriers, os.urandom, time.time)
        if invite is not None:
            known = self.people.contact(invite.inviter) is not None
            standing = outlook.Standing(self.identity.person, known, self.refuses(invite.inviter))
            for finding in await outlook.examine_invite(invite, standing, situation):
                yield finding
            return
        newest = await self._database.read(journal.newest_time)
        async for finding in doctor.examine(self.profile, self._database, newest, time.time()):
            yield finding
        for finding in await network.examine(situation):
            yield finding

    # -- state ---------------------------------------------------------------------------------

    async def status(self) -> events.Status:
        entries = await self._database.read(journal.count)
        return events.Status(
            peer=self.peer_id,
            name=self.name,
            home=str(self.home),
            running=self._online is not None,
            pid=os.getpid(),
            uptime_s=int(time.monotonic() - self._started),
            connected=len(self.online()),
            contacts=len(list(self.people.contacts)),
            rooms=len(list(self._rooms.all())),
            invites=self._online.invites.waiting if self._online else 0,
            entries=entries,
            lan=self._lan is not None,
            lan_ignored=self._lan.ignored if self._lan else 0,
            visible=self._online is not None and self._online.nearby.visible,
            joins=len(await self._database.read(pursued.kept)),
            dht=self._reached("dht"),
            mailbox=self._mailbox_state(),
        )

    def _reached(self, name: str) -> int | None:
        """How many a carrier could ask just now; None where it is not used."""
        carriers = self._online.peers.carriers if self._online is not None else ()
        return next((one.reach().others for one in carriers if one.name == name), None)

    def _mailbox_state(self) -> Literal["connected", "idle", "away"] | None:
        connected = self._reached("mailbox")
        if connected is None or self._online is None:
            return None
        if connected:
            return "connected"
        return "idle" if self._online.mailboxes.idle else "away"

    def sync_rows(self) -> list[events.Sync]:
        """How far each linked member and we differ, room by room."""
        if self._online is None:
            return []
        return [
            self._sync_event(session, progress)
            for session in self._online.peers.sessions()
            for progress in session.reconcile.progress()
        ]

    def events(self) -> Subscription:
        """Everything that happens from now on. Close it, or use it as a context manager."""
        return self._bus.subscribe()


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user in the password database, as in some containers
        return "somebody"
