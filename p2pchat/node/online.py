"""What a node has besides while it has a network: carriers, links, files, and what rests on them.

Opened and closed in one place, in an order that counts; each part does its work in a module of its
own. Imported by nodes that go online only: it brings aiortc, zeroconf and libtorrent's worker.
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from p2pchat.core.group import Group
from p2pchat.net.transport import Settings
from p2pchat.node.codes import Codes, shared_lines
from p2pchat.node.dht import open_dht
from p2pchat.node.directory import Directory
from p2pchat.node.door import Door
from p2pchat.node.following import Following
from p2pchat.node.introductions import Introductions
from p2pchat.node.invites import Invites
from p2pchat.node.mailboxes import Mailboxes
from p2pchat.node.meeting import Meeting
from p2pchat.node.mesh import Mesh
from p2pchat.node.nearby import Nearby, visible_rooms
from p2pchat.node.notify import Notifier
from p2pchat.node.parts import Parts
from p2pchat.node.peers import Peers
from p2pchat.node.pursuits import Pursuits
from p2pchat.node.shares import Shares, open_files
from p2pchat.node.switchboard import Switchboard
from p2pchat.node.upkeep import keep_up
from signaling.carriers import Carrier
from signaling.carriers.lan import LanCarrier
from signaling.carriers.surroundings import Surroundings
from signaling.tasks import owned_tasks

__all__ = ["Online", "attend", "networked"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Online:
    """`lan`: None where it is switched off, or no interface will do."""

    peers: Peers
    invites: Invites
    pursuits: Pursuits
    mailboxes: Mailboxes
    codes: Codes
    shares: Shares
    mesh: Mesh
    introductions: Introductions
    following: Following
    nearby: Nearby
    lan: LanCarrier | None

    def reconnect(self) -> None:
        """The machine has slept or moved: what carriers hold on to may be gone."""
        self.mailboxes.reconnect()
        if self.lan is not None:
            self.lan.moved()


@asynccontextmanager
async def networked(parts: Parts, directory: Directory, meeting: Meeting) -> AsyncIterator[None]:
    """Be reachable, and look for everybody we know, for as long as the context lasts."""
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(owned_tasks())
        # Before discovery looks, so that no move is missed.
        surroundings = Surroundings(parts.config.net.interfaces)
        online = parts.online = await _open(stack, tasks, parts, directory, meeting)
        following, mesh, joining = online.following, online.mesh, parts.joining
        parts.groups.listeners.append(following.moved)
        joining.asked = following.asked
        parts.people.when_keyed(following.asked)
        parts.rooms.listeners.append(mesh.gossip)
        tasks.create_task(parts.rooms.words.run())
        tasks.create_task(parts.rooms.talk.watch())
        attend(parts, directory, online.peers, tasks)
        tasks.create_task(keep_up(surroundings.changes(), online.peers, online.reconnect))
        for contact in parts.people.contacts:
            if not parts.people.blocked(contact.person):
                online.peers.contact(contact.person, contact.secret)
        await joining.online(online.peers, mesh)
        for chains in list(parts.rooms.all()):
            if isinstance(chains, Group):
                await following.follow(chains, contested=False)
        await online.invites.resume()
        await online.codes.resume()
        await online.pursuits.resume()
        try:
            yield
        finally:
            joining.offline()
            await online.pursuits.close()
            online.nearby.close()
            await online.invites.close()
            await parts.people.parted([session.peer for session in online.peers.sessions()])
            await online.peers.close()
            parts.people.session = lambda _: None
            parts.marks.sessions = parts.presence.sessions = lambda: ()
            parts.rooms.listeners.remove(mesh.gossip)
            parts.groups.listeners.remove(following.moved)
            joining.asked = lambda group: None
            following.close()
            parts.online = None


async def _open(
    stack: AsyncExitStack,
    tasks: asyncio.TaskGroup,
    parts: Parts,
    directory: Directory,
    meeting: Meeting,
) -> Online:
    """Make the parts, and wire them; nobody is looked for yet."""
    config, database, owner, publish = parts.config, parts.database, parts.owner, parts.bus.publish
    net, random, wall = config.net, os.urandom, time.time
    mailboxes = Mailboxes(config.mailbox_address(), net.interfaces, tasks, random, wall)
    await database.read(mailboxes.load)
    files = await stack.enter_async_context(open_files(config))
    dht = open_dht(config, files, parts.profile.dht_path, random, wall)
    lan = await _open_lan(stack, parts)
    carriers: list[Carrier] = [
        *([lan] if lan is not None else []),
        *mailboxes.always(),
        *await stack.enter_async_context(dht),
    ]
    lines = [
        *([lan.lines] if lan is not None else []),
        *shared_lines(carriers, files.dht, tasks, random),
    ]
    settings = Settings(tuple(net.stun), tuple(net.interfaces), tuple(net.turn))
    peers = Peers(Switchboard(parts, directory), tasks, carriers, settings, random)
    door = Door(
        database=database,
        peers=peers,
        mailboxes=mailboxes,
        identity=owner.me,
        admit=meeting.admit,
        random=random,
        wall=wall,
        tasks=tasks,
        publish=publish,
    )
    invites, pursuits = Invites(door), Pursuits(door, meeting.arrived)
    mesh = Mesh(parts.rooms, parts.groups, parts.people, peers, owner.me)
    introductions = Introductions(peers, mesh, lambda: owner.person, tasks, random, wall)
    peers.beside = lambda person: [*mailboxes.beside(person), introductions.to(person)]
    shares = Shares.open(parts.profile.files_path, config, database, peers, parts.bus, files)
    nearby = Nearby(
        lan.lines if lan is not None else None,
        lambda: owner.name,
        lambda: visible_rooms(config.lan.rooms, directory.groups(), owner.person),
        meeting.invite_knocker,
        publish,
        random,
        visible=config.lan.visible,
        listen=bool(config.lan.rooms),
    )
    return Online(
        peers=peers,
        invites=invites,
        pursuits=pursuits,
        mailboxes=mailboxes,
        codes=Codes(database, invites, lines, random, tasks),
        shares=await stack.enter_async_context(shares),
        mesh=mesh,
        introductions=introductions,
        following=Following(
            peers, mesh, introductions, parts.joining, parts.people, parts.filling, tasks
        ),
        nearby=nearby,
        lan=lan,
    )


async def _open_lan(stack: AsyncExitStack, parts: Parts) -> LanCarrier | None:
    if not parts.config.lan.enabled:
        return None
    interfaces = parts.config.net.interfaces
    carrier = LanCarrier.open(interfaces, random=os.urandom, wall=time.time)
    try:
        return await stack.enter_async_context(carrier)
    except OSError as error:
        _log.warning("discovery on the network is off: %s", error)
        return None


def attend(parts: Parts, directory: Directory, peers: Peers, tasks: asyncio.TaskGroup) -> None:
    """Tell over links how it is with us, and hear of others, for as long as the tasks run."""
    parts.people.session = peers.session
    parts.marks.sessions = parts.presence.sessions = peers.sessions
    tasks.create_task(parts.marks.run())
    tasks.create_task(parts.presence.run())
    if command := parts.config.notify_command():
        tasks.create_task(Notifier(parts.bus, command, directory.name_by_id).run())
