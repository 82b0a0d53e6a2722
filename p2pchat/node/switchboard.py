"""What comes over links, handed to the part that it concerns (`peers.Hub`).

Decides nothing of its own: who is told of a link that stands or has ended, and in which order, is
what can be read here.
"""

import time
from collections.abc import Sequence

import msgspec

from p2pchat import events
from p2pchat.core.chain import Chains, Fork
from p2pchat.core.entry import Entry
from p2pchat.core.facts import Contests, Declined, Forked, Load, PeerHas, Progress
from p2pchat.core.group import Group
from p2pchat.core.identity import Identity, direct_room, id_text
from p2pchat.core.wire import Cue, Denied, Introduction, Pending, Seen, Signal, Swarm, Welcome
from p2pchat.node.bodies import Filling
from p2pchat.node.directory import Directory
from p2pchat.node.parts import Parts
from p2pchat.node.renewal import Renewal
from p2pchat.node.session import Session
from p2pchat.node.sync import sync_event

__all__ = ["Switchboard"]


class Switchboard:
    def __init__(self, parts: Parts, directory: Directory) -> None:
        self._parts = parts
        self._directory = directory
        self._renewal = Renewal(parts.database, parts.rooms)

    @property
    def identity(self) -> Identity:
        return self._parts.owner.identity

    @property
    def filling(self) -> Filling:
        return self._parts.filling

    def refuses(self, person: bytes) -> bool:
        return self._parts.people.blocked(person)

    # -- links come and go ---------------------------------------------------------------------

    async def entered(self, session: Session) -> None:
        """A link stands: bring contact and room up to date, and tell."""
        parts, online, person = self._parts, self._parts.network, session.peer
        before = parts.people.contact(person)
        after = await parts.people.met(session.certificate)
        if after is not None and (before is None or before.secret != after.secret):
            online.peers.contact(person, after.secret)
        if parts.rooms.get(direct_room(parts.owner.person, person)) is None:
            await self._directory.direct(person)
        parts.bus.publish(self._peer(session, "connected"))
        parts.people.tell_clash(person, again=True)
        if before is None:
            parts.bus.publish(self._directory.joined(person))
        await online.mesh.entered(session)
        online.introductions.entered(session)
        await parts.joining.entered(session)
        parts.presence.entered(session)
        await online.shares.entered(session)

    async def left(self, session: Session, reason: str) -> None:
        parts, online = self._parts, self._parts.online
        if online is None:
            return
        online.shares.left(session)
        online.introductions.left(session)
        parts.marks.left(session)
        if online.peers.session(session.peer) is None:
            parts.presence.left(session.peer)
            await parts.people.parted([session.peer])
            parts.bus.publish(self._peer(session, "disconnected", reason))

    def _peer(self, session: Session, state: str, reason: str | None = None) -> events.Peer:
        return msgspec.structs.replace(
            self._parts.people.row(session.peer),
            state="connected" if state == "connected" else "disconnected",
            via=session.via,
            path=session.path,
            time=events.rfc3339(time.time()),
            reason=reason,
            last_seen=None,
        )

    # -- the journal ---------------------------------------------------------------------------

    def rooms_with(self, person: bytes) -> list[Chains]:
        return self._parts.network.mesh.rooms_with(person)

    async def commit(self, records: Sequence[object], source: Session) -> None:
        await self._renewal.came(records)
        await self._parts.rooms.commit(records, source)

    async def load_run(self, want: Load) -> list[Entry]:
        return await self._parts.rooms.load_run(want)

    async def peer_has(self, session: Session, fact: PeerHas) -> None:
        """Entries have reached a disk elsewhere."""
        if self._parts.rooms.get(fact.room) is None:
            return  # forgotten meanwhile
        await self._renewal.claimed(fact.room, fact.chain, fact.seq, session.peer)
        await self._parts.marks.has(session, fact)

    def progressed(self, session: Session, fact: Progress) -> None:
        self._parts.bus.publish(sync_event(session, fact))

    async def forked(self, session: Session, fact: Forked) -> None:
        """Somebody wrote two histories: keep the proof, pass it on, and say so aloud."""
        rooms, online = self._parts.rooms, self._parts.network
        proof = await rooms.keep_fork(fact)
        if proof is None:
            return
        chains = rooms.get(fact.room)
        assert chains is not None
        for other in online.peers.sessions():
            if other is not session and other.peer in chains.members:
                other.prove(fact.room, proof)
        if isinstance(fact.proof, Fork):
            session.prove(fact.room, proof)
        if isinstance(chains, Group):
            await online.mesh.forked(chains)
        author = rooms.author(fact.room, fact.chain)
        if fact.chain == rooms.own_chain(fact.room):
            await rooms.renew()
        if author is not None:
            name = self._parts.people.name_of(author)
            self._parts.bus.publish(
                events.Forked(room=id_text(fact.room), peer=id_text(author), name=name)
            )

    # -- membership ----------------------------------------------------------------------------

    async def contested(self, session: Session, fact: Contests) -> None:
        await self._parts.network.mesh.contested(session, fact)

    async def declined(self, session: Session, fact: Declined) -> None:
        await self._parts.network.mesh.declined(session, fact)

    async def invited(self, session: Session, frame: Welcome | Pending | Denied) -> None:
        await self._parts.joining.invited(session, frame)

    # -- everything else -----------------------------------------------------------------------

    async def signalled(self, session: Session, frame: Signal | Swarm) -> None:
        await self._parts.network.shares.signalled(session, frame)

    def introduced(self, session: Session, frame: Introduction) -> None:
        self._parts.network.introductions.received(session, frame)

    def cued(self, session: Session, frame: Cue) -> None:
        if isinstance(frame, Seen):
            self._parts.marks.seen(session, frame)
        else:
            self._parts.presence.cued(session, frame)
