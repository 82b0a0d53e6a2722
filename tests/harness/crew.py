"""Members of rooms in one process: real nodes and journals on disk, links that are queues.

All that a node does is real but the network: no carriers, no WebRTC, no handshake. Who is linked is
the test's to say, so that partitions and meetings happen in the order that it wants.
"""

import asyncio
import hashlib
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from p2pchat import errors
from p2pchat.config import load
from p2pchat.core.facts import Progress
from p2pchat.core.group import Group
from p2pchat.core.handshake import Established, Proven
from p2pchat.core.identity import id_text
from p2pchat.net.channel import FRAME_MAX, LIVE_MAX
from p2pchat.net.link import LinkClosed
from p2pchat.node.following import Following
from p2pchat.node.introductions import Introductions
from p2pchat.node.mesh import Mesh
from p2pchat.node.node import Node
from p2pchat.node.online import Online, attend
from p2pchat.node.session import Session
from p2pchat.node.switchboard import Switchboard
from p2pchat.store import groups as table

__all__ = ["Crew", "Pipe", "Sailor"]

_numbers = itertools.count()


class Pipe:
    """One end of a link: what goes in at one comes out at the other, in order."""

    def __init__(self) -> None:
        self.other: Pipe
        self.sent: list[bytes] = []
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def send(self, frame: bytes, *, bulk: bool = False) -> None:
        # As `net.channel`, which takes no more: what is larger ends the link, by our fault.
        assert 0 < len(frame) <= (FRAME_MAX if bulk else LIVE_MAX), f"{len(frame)} bytes"
        self.sent.append(frame)
        self.other._queue.put_nowait(frame)

    async def receive(self) -> bytes:
        frame = await self._queue.get()
        if frame is None:
            raise LinkClosed("bye")
        return frame

    def receive_nowait(self) -> bytes | None:
        return None

    async def close(self, reason: str) -> None:
        del reason
        self._queue.put_nowait(None)
        self.other._queue.put_nowait(None)


class _Peers:
    """As `node.peers.Peers`, for links that the test makes."""

    def __init__(self) -> None:
        self.held: dict[bytes, Session] = {}
        self.contacts: dict[bytes, bytes] = {}
        self.meetings: dict[bytes, bytes | None] = {}

    def session(self, person: bytes) -> Session | None:
        return self.held.get(person)

    def sessions(self) -> Iterator[Session]:
        return iter(list(self.held.values()))

    def contact(self, person: bytes, secret: bytes) -> None:
        self.contacts[person] = secret

    def meet(self, secret: bytes, person: bytes | None, met: object) -> list[Any]:
        del met
        self.meetings[secret] = person
        return []


class _Shares:
    async def entered(self, session: Session) -> None: ...
    def left(self, session: Session) -> None: ...


class _Nearby:
    visible = False

    def answer(self, reference: str, *, accept: bool) -> None:
        del accept
        raise errors.BadInput("knock-unknown", f"nobody named {reference} knocks", "wait")


class Sailor:
    """One member: its node, and its ends of links by the other's name."""

    def __init__(self, name: str, node: Node, tasks: asyncio.TaskGroup) -> None:
        self.name = name
        self.node = node
        self.peers = _Peers()
        self.pipes: dict[str, Pipe] = {}
        self.parts = parts = node._parts
        self.mesh = Mesh(parts.rooms, parts.groups, parts.people, self.peers, parts.owner.me)  # type: ignore[arg-type]
        self.introductions = Introductions(
            self.peers,  # type: ignore[arg-type]
            self.mesh,
            lambda: self.person,
            tasks,
            os.urandom,
            time.time,
        )
        following = Following(
            self.peers,  # type: ignore[arg-type]
            self.mesh,
            self.introductions,
            parts.joining,
            parts.people,
            parts.filling,
            tasks,
        )
        parts.online = Online(
            peers=self.peers,  # type: ignore[arg-type]
            invites=None,  # type: ignore[arg-type]
            pursuits=SimpleNamespace(told=lambda _: None),  # type: ignore[arg-type]
            mailboxes=None,  # type: ignore[arg-type]
            codes=None,  # type: ignore[arg-type]
            shares=_Shares(),  # type: ignore[arg-type]
            mesh=self.mesh,
            introductions=self.introductions,
            following=following,
            nearby=_Nearby(),  # type: ignore[arg-type]
            lan=None,
        )
        self.switchboard = Switchboard(parts, node._directory)
        parts.groups.listeners.append(following.moved)
        parts.joining.asked = following.asked
        parts.rooms.listeners.append(self.mesh.gossip)
        self.background = tasks.create_task(self._attend(node))

    async def _attend(self, node: Node) -> None:
        async with asyncio.TaskGroup() as tasks:
            attend(node._parts, node._directory, self.peers, tasks)  # type: ignore[arg-type]

    @property
    def person(self) -> bytes:
        return self.node.identity.person

    @property
    def id(self) -> str:
        return id_text(self.person)

    def group(self, room: bytes) -> Group:
        found = self.parts.groups.get(room)
        assert found is not None
        return found

    async def room(self) -> Any:
        """The one room of many that it is in."""
        rows = [row for row in await self.node.rooms() if row.kind == "group"]
        assert len(rows) == 1, rows
        return await self.node.room(rows[0].room)

    async def say(self, text: str) -> None:
        await (await self.room()).send(text)

    async def texts(self) -> list[str]:
        return [message.text async for message in (await self.room()).history(last=None)]


class Crew:
    """Everybody, and the links between them."""

    def __init__(self, folder: Path, stack: AsyncExitStack, tasks: asyncio.TaskGroup) -> None:
        self._folder = folder
        self._stack = stack
        self._tasks = tasks
        self.all: dict[str, Sailor] = {}
        self._links: dict[frozenset[str], list[asyncio.Task[None]]] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, *names: str) -> AsyncIterator["Crew"]:
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            crew = cls(folder, stack, tasks)
            try:
                for name in names:
                    await crew.hire(name)
                yield crew
            finally:
                for pair in list(crew._links):
                    await crew.cut(*pair)
                for sailor in crew.all.values():
                    sailor.background.cancel()

    async def hire(self, name: str, *settings: str) -> Sailor:
        config = load(None, {}, settings)
        opened = Node.open(self._folder / name, config=config, name=name, online=False)
        node = await self._stack.enter_async_context(opened)
        sailor = self.all[name] = Sailor(name, node, self._tasks)
        await sailor.parts.joining.online(sailor.peers, sailor.mesh)  # type: ignore[arg-type]
        return sailor

    def __getitem__(self, name: str) -> Sailor:
        return self.all[name]

    # -- links ---------------------------------------------------------------------------------

    async def link(self, one: str, other: str) -> None:
        """Let two meet, if they have not."""
        pair = frozenset((one, other))
        if pair in self._links:
            return
        a, b = Pipe(), Pipe()
        a.other, b.other = b, a
        transcript = hashlib.sha256(str(next(_numbers)).encode()).digest()
        ends = ((self[one], self[other], a), (self[other], self[one], b))
        await self._meet(self[one], self[other])
        self._links[pair] = [
            self._tasks.create_task(self._live(own, peer, pipe, transcript))
            for own, peer, pipe in ends
        ]

    async def _meet(self, one: Sailor, other: Sailor) -> None:
        """Contacts of each other, as after any handshake."""
        secret = one.node.identity.secret_with(other.node.identity.certificate)
        for own, peer in ((one, other), (other, one)):
            proven = Proven(peer.node.identity.certificate, secret)
            if own.node.people.contact(peer.person) is None:
                await own.parts.database.write(
                    lambda tx, own=own, proven=proven: own.node.people.admit(tx, proven)
                )

    async def _live(self, own: Sailor, peer: Sailor, pipe: Pipe, transcript: bytes) -> None:
        established = Established(peer.node.identity.certificate, transcript)
        transport = SimpleNamespace(path="direct", same_host=True, local_address="127.0.0.1")
        session = Session(own.switchboard, pipe, transport, established, "lan", _random)  # type: ignore[arg-type]
        own.peers.held[peer.person], own.pipes[peer.name] = session, pipe
        try:
            await own.switchboard.entered(session)
            await session.run()
        finally:
            own.peers.held.pop(peer.person, None)
            own.pipes.pop(peer.name, None)
            await own.switchboard.left(session, "bye")

    async def cut(self, one: str, other: str) -> None:
        tasks = self._links.pop(frozenset((one, other)), [])
        if tasks and other in self[one].pipes:
            await self[one].pipes[other].close("bye")
        for task in tasks:
            await task

    async def link_all(self, *names: str) -> None:
        for one, other in itertools.combinations(names or tuple(self.all), 2):
            await self.link(one, other)

    async def cut_all(self) -> None:
        for pair in list(self._links):
            await self.cut(*pair)

    # -- rooms ---------------------------------------------------------------------------------

    async def found(self, founder: str) -> bytes:
        """A room of `founder`'s; its id."""
        return (await self[founder].node.create_room("crew")).key

    async def bring(self, host: str, *guests: str, ask: bool = False) -> None:
        """Guests come by invites of `host` into its room, and get in if they need not ask."""
        room = (await self[host].room()).key
        for guest in guests:
            own, peer = self[host].node, self[guest].node
            await self.cut(host, guest)
            arrival = table.Arrival(room, peer.identity.certificate, ask)
            await own._parts.database.write(partial(table.add_arrival, arrival=arrival))
            await peer._parts.database.write(
                partial(peer._parts.joining.invited_by, host=own.identity.person, name=host)
            )
            await self.link(host, guest)
            if not ask:
                await self.until(partial(self._is_in, guest, room))

    def _is_in(self, name: str, room: bytes) -> bool:
        group = self[name].parts.groups.get(room)
        return group is not None and self[name].person in group.members

    async def until(self, holds: Callable[[], bool], limit_s: float = 20.0) -> None:
        """Wait for a condition that nobody announces."""
        async with asyncio.timeout(limit_s):
            while not holds():
                await asyncio.sleep(0.01)

    async def asked(self, member: str, limit_s: float = 20.0) -> None:
        """Until somebody's request has reached `member`."""
        async with asyncio.timeout(limit_s):
            while not await (await self[member].room()).requests():
                await asyncio.sleep(0.01)

    async def reads(self, sailor: Sailor, texts: list[str], limit_s: float = 20.0) -> None:
        """Until `sailor` reads these: bodies that were missing come after the entries."""
        async with asyncio.timeout(limit_s):
            while await sailor.texts() != texts:
                await asyncio.sleep(0.01)

    def level(self, *names: str) -> bool:
        """Whether all links between these have nothing left to say, as both ends see it."""
        wanted = {self[name].person for name in names or self.all}
        progress: list[Progress] = [
            one
            for sailor in self.all.values()
            if sailor.person in wanted
            for session in sailor.peers.sessions()
            if session.peer in wanted
            for one in session.reconcile.progress()
        ]
        return all(one.level for one in progress)

    async def settle(self, *names: str) -> None:
        """Until these agree on the members, on every entry of the room and on what is contested."""
        sailors: Sequence[Sailor] = [self[name] for name in names or self.all]

        def agreed() -> bool:
            groups = [
                chains
                for sailor in sailors
                for chains in sailor.parts.rooms.all()
                if isinstance(chains, Group)
            ]
            return (
                len(groups) == len(sailors)
                and len({frozenset(group.members) for group in groups}) == 1
                and len({group.digest() for group in groups}) == 1
                # Acts that stand in no chain that counts are told of apart from the entries.
                and len({frozenset(group.membership.acts()) for group in groups}) == 1
                # What is accepted counts in the digest; it has to be on disk too.
                and not any(group.unsaved for group in groups)
                and all(sailor.parts.rooms.saving.free for sailor in sailors)
            )

        try:
            await self.until(agreed)
        except TimeoutError:
            raise AssertionError(self.differences(sailors)) from None

    def differences(self, sailors: Sequence[Sailor]) -> str:
        lines = []
        for sailor in sailors:
            for chains in sailor.parts.rooms.all():
                if isinstance(chains, Group):
                    names = sorted(sailor.node.name_of(person) for person in chains.members)
                    heads = {
                        sailor.node.name_of(chains.person_of(chain) or b""): head.seq
                        for chain, head in chains.heads.items()
                    }
                    lines.append(f"{sailor.name}: members {names}, heads {heads}")
        return "\n".join(lines)


def _random(count: int) -> bytes:
    return hashlib.sha256(str(next(_numbers)).encode()).digest()[:count]
