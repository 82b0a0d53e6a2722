"""Whom we link with for the sake of rooms of many, and what of them each link is shown.

A link to a member shares the room; one to somebody who was a member shows the acts that say why it
is none any more, and hears what it has to say of that, and nothing else. Who belongs decides
`core/membership.py`.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from p2pchat.core.acts import Remove
from p2pchat.core.bounds import MESH_LINKS
from p2pchat.core.chain import Chains
from p2pchat.core.entry import Entry, entry_id
from p2pchat.core.facts import Contests, Declined
from p2pchat.core.group import Group
from p2pchat.core.identity import Identity
from p2pchat.core.wire import SignedAct
from p2pchat.node.groups import Groups
from p2pchat.node.people import People
from p2pchat.node.rooms import Rooms

if TYPE_CHECKING:
    from collections.abc import Callable

    from p2pchat.node.peers import Peers
    from p2pchat.node.session import Session

__all__ = ["Mesh", "neighbours"]

_ALL_MAX = 24
"""Members of a room that all link with each other; in a larger one, with neighbours."""


def neighbours(members: Iterable[bytes], me: bytes) -> set[bytes]:
    """Whom to link with of a room: all of a small one, else those 1, 2, 4, … places away.

    In the order of keys, as a circle, so that it holds both ways, needs no words, and the room
    stays in one piece with few steps between any two (as in Chord, Stoica 2001).
    """
    circle = sorted(members)
    if me not in circle:
        return set()
    count, own = len(circle), circle.index(me)
    if count <= _ALL_MAX:
        return set(circle) - {me}
    steps = [1 << power for power in range((count // 2).bit_length())]
    return {circle[(own + way * step) % count] for step in steps for way in (1, -1)} - {me}


class Mesh:
    def __init__(
        self,
        rooms: Rooms,
        groups: Groups,
        people: People,
        peers: "Peers",
        identity: "Callable[[], Identity]",
    ) -> None:
        self._rooms = rooms
        self._groups = groups
        self._people = people
        self._peers = peers
        self._identity = identity
        self.hosts: dict[bytes, set[bytes]] = {}
        """room -> people who let us in, while we do not have its members yet"""
        self._asked: dict[bytes, set[bytes]] = {}
        """room -> whom we ask for acts that a repair has lost, as long as that link stands"""
        self._shown: WeakKeyDictionary[Session, set[bytes]] = WeakKeyDictionary()
        """ids of acts that a link was shown"""
        self._welcomed: WeakKeyDictionary[Session, set[bytes]] = WeakKeyDictionary()
        """ids of acts that a link was shown with a welcome"""

    def shares(self, chains: Chains, person: bytes) -> bool:
        """Whether links to `person` share this room."""
        if person in chains.members:
            return True
        if not isinstance(chains, Group):
            return False
        if person in self.hosts.get(chains.room, ()):
            # Whoever was in the room knows its id, and says that it is in.
            return not chains.membership.was_removed(person)
        if person not in self._asked.get(chains.room, ()):
            return False
        return chains.membership.is_lost(person)

    def rooms_with(self, person: bytes) -> list[Chains]:
        """What a link to `person` that begins now shares."""
        for group in self.groups():
            # Any contact may have them, but who is known to have gone. Who was never in the room
            # learns nothing: its tag on a link tells nothing to whom does not know its id.
            lost = group.membership.is_lost(self._identity().person)
            if lost and not self.hosts.get(group.room):
                self._asked.setdefault(group.room, set()).add(person)
            else:
                self._asked.get(group.room, set()).discard(person)
        return [chains for chains in self._rooms.all() if self.shares(chains, person)]

    def groups(self) -> list[Group]:
        """All rooms of many."""
        return [chains for chains in self._rooms.all() if isinstance(chains, Group)]

    def gossip(self, room: bytes, entries: Sequence[Entry], source: object) -> None:
        """Push new entries to some links (`rooms.Listener`); others learn by the next summary."""
        chains = self._rooms.get(room)
        if chains is None:
            return
        linked = [
            session
            for session in self._peers.sessions()
            if session is not source and self.shares(chains, session.peer)
        ]
        # By the transcript: at random, and the same links for as long as they last.
        for session in sorted(linked, key=lambda session: session.transcript)[:MESH_LINKS]:
            session.push(room, entries)

    async def entered(self, session: "Session") -> None:
        """A link stands: show it the acts that its chains do not bring."""
        for group in self.groups():
            await self._show(session, group)

    async def follow(self, group: Group, *, contested: bool) -> None:
        """Acts of membership came: link with whom they let in, part with whom they removed."""
        me = self._identity()
        near = neighbours(group.members, me.person)
        for certificate in group.certificates_of(near):
            contact = await self._people.meet(certificate, me.secret_with(certificate))
            if contact is not None:
                self._peers.contact(contact.person, contact.secret)
        # More may come while this one is followed.
        estranged, shortened = group.estranged, group.shortened
        group.estranged = group.shortened = False
        for session in list(self._peers.sessions()):
            shown = session.reconcile.shows(group.room)
            if shown is None or shown != self.shares(group, session.peer) or contested:
                await self._show(session, group)
            if shown is not None and estranged:
                # Chains that were declined may be members' now.
                session.compare(group.room)
            elif shown is not None and shortened:
                session.weigh(group.room)

    async def _show(self, session: "Session", group: Group) -> None:
        if self.shares(group, session.peer):
            session.share(group)
            self._contest(session, group, await self._groups.withheld_acts(group))
            self._contest(session, group, await self._groups.forked_acts(group))
        elif session.peer in group.membership.persons:
            session.part(group)
            acts = await self._groups.removals_of(group, session.peer)
            self._contest(session, group, acts + await self._groups.withheld_acts(group))
        elif session.reconcile.shows(group.room):
            # It might have brought back what was missing.
            session.part(group)

    async def welcome(self, session: "Session", group: Group) -> None:
        """Show who comes back by which acts it is in, and we are: it may know none of us.

        Whoever was in the room compares it with those alone who are members by the acts it has.
        """
        wrote = any(group.person_of(chain) == session.peer for chain in group.heads)
        if wrote or group.membership.was_let_in(session.peer) > 1:
            both = (self._identity().person, session.peer)
            acts = await self._groups.leading_to(group, both, session.peer)
            shown = self._welcomed.setdefault(session, set())
            fresh = {id_: one for one in acts if (id_ := entry_id(one.header)) not in shown}
            shown.update(fresh)
            session.contest(group.room, list(fresh.values()))

    async def contested(self, session: "Session", fact: Contests) -> None:
        """Judge what a peer shows; where it removes somebody, show what that one did meanwhile."""
        group = self._groups.get(fact.room)
        if group is None:
            return
        for placed in await self._groups.contested(group, fact.acts):
            if isinstance(placed.act, Remove):
                acts = await self._groups.acts_of(group, placed.act.person, _ANSWERED)
                session.contest(group.room, acts)

    async def forked(self, group: Group) -> None:
        """An author wrote two histories: show the acts of the one that we have.

        Nobody takes more of that chain, and yet all have to judge by the same acts.
        """
        await self._groups.forked(group)
        acts = await self._groups.forked_acts(group)
        for session in list(self._peers.sessions()):
            if self.shares(group, session.peer):
                self._contest(session, group, acts)

    def _contest(self, session: "Session", group: Group, acts: Sequence[SignedAct]) -> None:
        """Show acts, each but once to who takes them: of a member there may be any number."""
        shown = self._shown.setdefault(session, set())
        fresh = {id_: one for one in acts if (id_ := entry_id(one.header)) not in shown}
        if any(one.room == group.room and one.compared for one in session.reconcile.progress()):
            # Before that, the room may be none yet at the other end, which then has not heard.
            shown.update(fresh)
        session.contest(group.room, list(fresh.values()))

    async def declined(self, session: "Session", fact: Declined) -> None:
        """The peer does not take a chain: show its acts, of which it may not know."""
        group = self._groups.get(fact.room)
        person = group.person_of(fact.chain) if group is not None else None
        if group is not None and person is not None:
            acts = await self._groups.acts_of(group, person, _ANSWERED)
            session.contest(group.room, acts)
            self._contest(session, group, await self._groups.acts_in(group, fact.chain))


_ANSWERED = 64
"""Acts of one person that are shown at once."""
