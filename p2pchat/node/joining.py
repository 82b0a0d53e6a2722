"""How people come into a room of many: by an invite, at once or after members were asked.

The host's side remembers whom an invite brought until the entry that admits them, or asks for them,
is written; any member may then approve, and whoever did, all members look for the newcomer. The
guest's side remembers where it was invited until it sees itself among the members.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from p2pchat import errors, events
from p2pchat.core.acts import ADMIT, MEMBER, Admit, group_room
from p2pchat.core.entry import DENIAL, REQUEST, DenialBody, Entry, RequestBody
from p2pchat.core.group import Group
from p2pchat.core.identity import Certificate, Identity, Random, id_text
from p2pchat.core.wire import Denied, Pending, Welcome
from p2pchat.node.groups import Groups
from p2pchat.node.mesh import Mesh
from p2pchat.node.requests import Request, Requests
from p2pchat.node.rooms import Rooms
from p2pchat.store import groups as table
from p2pchat.store import rooms as rooms_table
from p2pchat.store.database import Connection, Database
from p2pchat.store.groups import Arrival, Join
from p2pchat.text import folded, printable, tidy_name

if TYPE_CHECKING:
    from p2pchat.core.handshake import Proven
    from p2pchat.node.peers import Peers
    from p2pchat.node.session import Session
    from signaling.carriers import Registration

__all__ = ["Joining"]

_log = logging.getLogger(__name__)


class Joining:
    def __init__(
        self,
        database: Database,
        rooms: Rooms,
        groups: Groups,
        identity: Callable[[], Identity],
        publish: Callable[[events.Event], None],
        random: Random,
        wall: Callable[[], float],
    ) -> None:
        self._database = database
        self._rooms = rooms
        self._groups = groups
        self._identity = identity
        self._publish = publish
        self._random = random
        self._wall = wall
        self._requests = Requests(database)
        self._joins: dict[bytes, Join] = {}
        self._settled: dict[bytes, asyncio.Future[events.Joined | events.Pending]] = {}
        """host -> what a join waits for"""
        self._serving: dict[bytes, list[Registration]] = {}
        """secret -> where we wait for whoever approves"""
        self._seeking: dict[bytes, list[Registration]] = {}
        """secret -> where we look for somebody who was approved"""
        self.asked: Callable[[Group], None] = lambda group: None
        """Hears of rooms where somebody asked to be let in, or was answered."""
        rooms.listeners.append(self.heard)
        self._peers: Peers | None = None
        self._mesh: Mesh | None = None

    # -- life ----------------------------------------------------------------------------------

    async def online(self, peers: "Peers", mesh: Mesh) -> None:
        """Go on with what an earlier run began."""
        self._peers, self._mesh = peers, mesh
        self._joins = {join.host: join for join in await self._database.read(table.joins)}
        for join in self._joins.values():
            group = self._groups.get(join.room) if join.room is not None else None
            if group is not None and self._is_new(group):
                mesh.hosts.setdefault(group.room, set()).add(join.host)
            elif join.secret is not None:
                self._serve(join.secret)
        for arrival in await self._database.read(table.arrivals):
            await self._let_in(arrival)

    def offline(self) -> None:
        for registrations in [*self._serving.values(), *self._seeking.values()]:
            for registration in registrations:
                registration.close()
        self._serving.clear()
        self._seeking.clear()
        self._peers = self._mesh = None

    def pending(self) -> list[Join]:
        """Rooms that wait for their members' approval of us."""
        return [join for join in self._joins.values() if join.secret is not None]

    # -- invites -------------------------------------------------------------------------------

    def brought(self, tx: Connection, invite_id: bytes, certificate: Certificate) -> None:
        """An invite of ours was claimed: if it leads into a room, remember who came."""
        found = table.invite_room(tx, invite_id)
        if found is not None:
            table.add_arrival(tx, Arrival(found[0], certificate, found[1]))

    def invited_by(self, tx: Connection, host: bytes, name: str) -> None:
        """We come by an invite into a room: remember whose."""
        join = Join(host, name, self._wall())
        table.add_join(tx, join)
        # Should this transaction fail, nobody says hello, and the link ends before it is used.
        self._joins[host] = join
        # What became of an earlier one is no answer to this.
        self._settled.pop(host, None)

    async def outcome(self, host: bytes) -> events.Joined | events.Pending:
        """What became of an invite by `host`, or becomes of it next.

        Raises errors.Refused `join-denied`.
        """
        future = self._settled.get(host)
        if future is None:
            future = self._settled[host] = _future()
        try:
            return await asyncio.shield(future)
        finally:
            if future.done():
                del self._settled[host]

    def is_expected(self, host: bytes) -> bool:
        """Whether an invite by `host` into a room has come to nothing yet, or just now."""
        return host in self._joins or host in self._settled

    # -- members -------------------------------------------------------------------------------

    async def requests(self, group: Group) -> list[Request]:
        """One of each who asked; answered ones too."""
        return await self._requests.of(group)

    async def waiting(self, group: Group) -> list[Request]:
        """Those that nobody has answered."""
        return [
            one
            for one in await self.requests(group)
            if not one.denied and not one.admitted and one.person not in group.members
        ]

    async def find(self, group: Group, reference: str) -> Request:
        """The request of the person whom a name or the beginning of an id means.

        Raises errors.BadInput: `request-unknown`, `peer-ambiguous`.
        """
        wanted = reference.strip().removeprefix("@")
        waiting = await self.waiting(group)
        found = [one for one in waiting if one.certificate.safe_name() == wanted]
        if not found and len(wanted) >= 4:
            found = [one for one in waiting if id_text(one.person).startswith(wanted.lower())]
        if not found and wanted:
            found = [
                one for one in waiting if folded(one.certificate.safe_name()) == folded(wanted)
            ]
        if not found:
            raise errors.BadInput(
                "request-unknown",
                f"nobody named {printable(reference)!r} asks to be let in",
                "p2pchat members ROOM lists who does",
            )
        if len(found) > 1:
            raise errors.BadInput(
                "peer-ambiguous",
                f"{len(found)} people named {printable(reference)!r} ask to be let in",
                "name one by the beginning of the id: p2pchat members ROOM --json",
            )
        return found[0]

    async def approve(self, group: Group, request: Request) -> None:
        """Let somebody in. The caller has checked that we may."""
        await self._admit(group, request.certificate)

    async def deny(self, group: Group, request: Request) -> None:
        await self._rooms.write(group.room, DENIAL, DenialBody(request.id), ())

    async def _admit(self, group: Group, certificate: Certificate) -> None:
        await self._groups.act(
            group,
            ADMIT,
            lambda tx, group: Admit(
                group.membership.seen(self._identity().person), certificate, MEMBER
            ),
        )

    async def _let_in(self, arrival: Arrival) -> None:
        """Write what an arrival by an invite of ours comes to."""
        group, person = self._groups.get(arrival.room), arrival.certificate.person
        me = self._identity().person
        if group is not None and me in group.members and person not in group.members:
            # Whom members have removed since the invite was made comes back by their word alone.
            free = not arrival.ask and not group.membership.was_removed(person)
            if free and group.membership.may_admit(me):
                await self._admit(group, arrival.certificate)
            elif all(one.person != person for one in await self.waiting(group)):
                body = RequestBody(arrival.certificate, self._random(32))
                await self._rooms.write(group.room, REQUEST, body, ())
        await self._database.write(lambda tx: table.drop_arrival(tx, arrival.room, person))

    # -- links ---------------------------------------------------------------------------------

    async def entered(self, session: "Session") -> None:
        """A link stands: do what its invite promised, and tell where the peer stands."""
        welcomed: set[bytes] = set()
        for arrival in await self._database.read(table.arrivals):
            if arrival.certificate.person == session.peer:
                await self._let_in(arrival)
                group = self._groups.get(arrival.room)
                if group is not None and session.peer in group.members:
                    # Also to who was in before, and waits to hear what this invite came to.
                    await self._welcome(session, group)
                    welcomed.add(group.room)
        for chains in list(self._rooms.all()):
            if isinstance(chains, Group) and chains.room not in welcomed:
                asks = session.peer not in chains.members
                await self._tell(session, chains, await self.requests(chains) if asks else ())

    def heard(self, room: bytes, entries: Sequence[Entry], source: object) -> None:
        """New entries are on disk (`rooms.Listener`)."""
        del source
        group = self._groups.get(room)
        if group is not None and any(entry.header.kind in (REQUEST, DENIAL) for entry in entries):
            self.asked(group)

    async def followed(self, group: Group) -> None:
        """Acts of membership came, or requests, or answers to them."""
        # Ours may be gone before this has ended.
        peers = self._peers
        if peers is None:
            return
        me = self._identity().person
        if me in group.members:
            await self._arrived(group)
        requests = await self.requests(group)
        for session in list(peers.sessions()):
            await self._tell(session, group, requests)
        for request in requests:
            wanted = request.person in group.members and not _has_begun(group, request.person)
            if wanted and me in group.members and peers.session(request.person) is None:
                self._seek(request)
            elif not wanted:
                self._stop(self._seeking, request.secret)

    async def _tell(self, session: "Session", group: Group, requests: Sequence[Request]) -> None:
        name = group.membership.setting("name")
        if self._identity().person not in group.members:
            return
        if session.peer in group.members:
            if not _has_begun(group, session.peer):
                await self._welcome(session, group)
            return
        for request in requests:
            if request.person == session.peer and request.denied:
                await session.send(Denied(group.room))
            elif request.person == session.peer and not request.admitted:
                await session.send(Pending(group.room, name, request.secret))

    async def _welcome(self, session: "Session", group: Group) -> None:
        founding, name = group.membership.founding(), group.membership.setting("name")
        if founding is not None:
            founder = founding.certificate.person
            await session.send(Welcome(group.room, name, founder, founding.nonce))
            if self._mesh is not None:
                await self._mesh.welcome(session, group)

    async def invited(self, session: "Session", frame: Welcome | Pending | Denied) -> None:
        """A host, or a member who has approved of us, says where we stand."""
        join = self._joins.get(session.peer)
        if join is None or join.room not in (None, frame.room):
            join = next((one for one in self._joins.values() if one.room == frame.room), None)
        if join is None:
            return
        name = tidy_name(getattr(frame, "name", ""), id_text(frame.room)[:8])
        match frame:
            case Welcome(room, _, founder, nonce):
                if room != group_room(founder, nonce):
                    # Of two, perhaps, with somebody whom we have not met yet.
                    return
                await self._welcomed(session, replace(join, room=frame.room, name=name))
            case Pending() if join.host == session.peer and not self._is_member(frame.room):
                await self._keep(replace(join, room=frame.room, name=name, secret=frame.secret))
                self._serve(frame.secret)
                event = events.Pending(room=id_text(frame.room), name=name)
                if join.secret is None:
                    # Once: it is said again on every link, and on every move of the room.
                    self._publish(event)
                    self._settle(join.host, event)
            case Denied() if join.host == session.peer or join.secret is not None:
                await self._drop(join)
                refused = errors.Refused(
                    "join-denied",
                    f"the members of {join.name} did not let you in",
                    "ask one of them",
                )
                self._publish(events.Denied(room=id_text(frame.room), name=join.name))
                self._settle(join.host, refused)

    async def _welcomed(self, session: "Session", join: Join) -> None:
        room, now = join.room, self._wall()
        assert room is not None
        if self._mesh is None:
            return

        def write(tx: Connection) -> None:
            rooms_table.add(tx, room, "group", join.name, now, [])
            table.add_join(tx, join)

        if self._groups.get(room) is None or self._joins.get(join.host) != join:
            # Not each time: it is said again on every move of the room, until we have begun there.
            await self._database.write(write)
            self._joins[join.host] = join
        group = self._rooms.opened_group(room)
        if self._is_member(room):
            await self._arrived(group)
            return
        if self._is_new(group):
            self._mesh.hosts.setdefault(room, set()).add(session.peer)
            session.share(group)
        elif session.reconcile.shows(room) is None:
            # We hear by which acts the host is a member, and tell nothing before.
            session.part(group)

    def _is_new(self, group: Group) -> bool:
        """Whether we were never in a room: else there is something to get from us in it.

        Then only whom we know as a member, by its acts, is shown what we have.
        """
        return self._identity().person not in group.membership.persons

    def _is_member(self, room: bytes) -> bool:
        group = self._groups.get(room)
        return group is not None and self._identity().person in group.members

    async def _arrived(self, group: Group) -> None:
        """We are among the members now."""
        assert self._mesh is not None
        self._mesh.hosts.pop(group.room, None)
        await self._rooms.begin_anew(group)
        await self._rooms.introduce(group)
        for join in [one for one in self._joins.values() if one.room == group.room]:
            await self._drop(join)
            event = events.Joined(
                room=id_text(group.room),
                name=tidy_name(group.membership.setting("name"), id_text(group.room)[:8]),
                members=sorted(map(id_text, group.members)),
                kind="group",
            )
            self._publish(event)
            self._settle(join.host, event)

    async def _keep(self, join: Join) -> None:
        await self._database.write(lambda tx: table.add_join(tx, join))
        old = self._joins.get(join.host)
        self._joins[join.host] = join
        if old is not None and old.secret is not None and old.secret != join.secret:
            # One place to wait at for each invite, however often its host asks anew.
            self._stop(self._serving, old.secret)

    async def _drop(self, join: Join) -> None:
        await self._database.write(lambda tx: table.drop_join(tx, join.host))
        self._joins.pop(join.host, None)
        if join.secret is not None:
            self._stop(self._serving, join.secret)

    def _settle(
        self, host: bytes, result: "events.Joined | events.Pending | errors.Refused"
    ) -> None:
        future = self._settled.setdefault(host, _future())
        if future.done():
            future = self._settled[host] = _future()
        if isinstance(result, errors.Refused):
            future.set_exception(result)
        else:
            future.set_result(result)

    # -- finding each other --------------------------------------------------------------------

    def _serve(self, secret: bytes) -> None:
        """Wait for any member of the room that we asked to be let into."""
        if self._peers is not None and secret not in self._serving:
            self._serving[secret] = self._peers.meet(secret, None, self._met)

    def _seek(self, request: Request) -> None:
        """Look for somebody who was approved, and may not know yet."""
        if self._peers is not None and request.secret not in self._seeking:
            self._seeking[request.secret] = self._peers.meet(
                request.secret, request.person, self._met
            )

    def _stop(self, registrations: "dict[bytes, list[Registration]]", secret: bytes) -> None:
        for registration in registrations.pop(secret, []):
            registration.close()

    async def _met(self, proven: "Proven") -> None:
        """Somebody came by the secret of a request: a contact from now on."""
        await self._database.write(lambda tx: self.admit(tx, proven))

    admit: Callable[[Connection, "Proven"], None]
    """Puts somebody proven into the contacts."""


def _future() -> "asyncio.Future[events.Joined | events.Pending]":
    future: asyncio.Future[events.Joined | events.Pending]
    future = asyncio.get_running_loop().create_future()
    # Nobody need ask for it.
    future.add_done_callback(lambda one: one.cancelled() or one.exception())
    return future


def _has_begun(group: Group, person: bytes) -> bool:
    """Whether a member has written anything since it was let in."""
    admission = group.membership.members[person].admission
    return admission in group.admissions.values()
