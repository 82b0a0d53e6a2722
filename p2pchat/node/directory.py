"""Rooms as people name, list and find them, those of two and those of many alike."""

import msgspec

from p2pchat import errors, events
from p2pchat.core.chain import Chains
from p2pchat.core.entry import MESSAGE
from p2pchat.core.group import Group
from p2pchat.core.identity import direct_room, id_text
from p2pchat.node.parts import Parts
from p2pchat.node.room import Room
from p2pchat.text import folded, printable

__all__ = ["Directory"]


class Directory:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # -- names ---------------------------------------------------------------------------------

    def name_of(self, chains: Chains) -> str:
        """The room's name; of one of two, what we call the other."""
        if isinstance(chains, Group):
            return self._parts.moderation.name_of(chains)
        people, own = self._parts.people, self._parts.owner
        others = [person for person in chains.members if person != own.person]
        return ", ".join(people.name_of(person) for person in others) or own.name

    def name_by_id(self, room: str) -> str:
        """The name of the room with this id; of one that is not here, how its id begins."""
        found = [one for one in self._parts.rooms.all() if id_text(one.room) == room]
        return self.name_of(found[0]) if found else room[:8]

    def named(self, state: events.Sync, person: bytes, room: bytes) -> events.Sync:
        """`state` with whom and what room it is of, as they are called here."""
        chains = self._parts.rooms.get(room)
        return msgspec.structs.replace(
            state,
            name=self._parts.people.name_of(person),
            room_name=self.name_of(chains) if isinstance(chains, Group) else None,
        )

    def is_gone(self, room: bytes) -> bool:
        """Whether acts say that we were a member of this room of many, and are none any more."""
        chains, me = self._parts.rooms.get(room), self._parts.owner.person
        if not isinstance(chains, Group) or me in chains.members:
            return False
        return not chains.membership.is_lost(me)

    def _called(self, chains: Chains) -> str | None:
        """What the other in a room of two calls themselves."""
        others = [person for person in chains.members if person != self._parts.owner.person]
        return self._parts.people.own_name(others[0]) if len(others) == 1 else None

    def groups(self) -> list[tuple[Group, str]]:
        """Rooms of many, each with its name."""
        groups = [chains for chains in self._parts.rooms.all() if isinstance(chains, Group)]
        return [(group, self.name_of(group)) for group in groups]

    # -- lists ---------------------------------------------------------------------------------

    async def rows(self) -> list[events.RoomRow]:
        """All rooms; of two, those with people we know from rooms only once anything is said."""
        rooms, own = self._parts.rooms, self._parts.owner.person
        met = {
            person
            for chains in rooms.all()
            if isinstance(chains, Group)
            for person in chains.members
        }
        shown = [
            chains
            for chains in rooms.all()
            if isinstance(chains, Group) or chains.total or not met & (chains.members - {own})
        ]
        unread = await self._parts.marks.unread(shown)
        rows = [await self._row(chains, unread[chains.room]) for chains in shown]
        return rows + [
            events.RoomRow(
                room=id_text(join.room), name=join.name, kind="group", members=0, state="pending"
            )
            for join in self._parts.joining.pending()
            if join.room is not None and rooms.get(join.room) is None
        ]

    async def _row(self, chains: Chains, unread: int) -> events.RoomRow:
        newest = await self._parts.rooms.history(
            chains.room, last=1, since_s=None, kinds=(MESSAGE,)
        )
        row = events.RoomRow(
            room=id_text(chains.room),
            name=self.name_of(chains),
            kind="group" if isinstance(chains, Group) else "direct",
            members=len(chains.members),
            entries=chains.total,
            time=newest[0].time if newest else None,
            unread=unread,
        )
        if not isinstance(chains, Group):
            return row
        return msgspec.structs.replace(row, **self._parts.moderation.details(chains))

    def joined(self, person: bytes, *, invite: str | None = None) -> events.Joined:
        """The event for the room of two with `person`."""
        own = self._parts.owner.person
        return events.Joined(
            room=id_text(direct_room(own, person)),
            name=self._parts.people.name_of(person),
            members=sorted((id_text(own), id_text(person))),
            invite=invite,
        )

    # -- one of them ---------------------------------------------------------------------------

    async def find(self, reference: str) -> Room:
        """The room that `reference` names: `@NAME`, a name, or a prefix of its or the peer's id.

        A name of exactly that case goes first.

        Raises errors.BadInput: `room-unknown`, `room-ambiguous`.
        """
        wanted, direct = reference.removeprefix("@").strip(), reference.startswith("@")
        named, called, prefixed = [], [], []
        for chains in self._parts.rooms.all():
            if direct and isinstance(chains, Group):
                continue
            if self.name_of(chains) == wanted:
                named.append(chains)
            elif not isinstance(chains, Group) and self._called(chains) == wanted:
                called.append(chains)
            others = chains.members - {self._parts.owner.person}
            keys = [chains.room] if isinstance(chains, Group) else [chains.room, *others]
            if len(wanted) >= 4 and any(id_text(key).startswith(wanted) for key in keys):
                prefixed.append(chains)
        # Who may name a room could name it as a friend is called, and read what is for that one.
        rooms = any(isinstance(chains, Group) for chains in named)
        found = [*named, *called] if rooms else named or called or prefixed
        if not found and direct and (person := self._parts.people.known_as(wanted)) is not None:
            found = [await self.direct(person)]
        if not found and wanted:
            found = self._alike(wanted, direct=direct)
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
                "name it by the beginning of its id (p2pchat rooms --json); @NAME is a person",
            )
        return self._shown(found[0])

    def _alike(self, wanted: str, *, direct: bool) -> list[Chains]:
        """Rooms of that name in another case; a room of many goes first here, too."""
        name = folded(wanted)
        rooms = [
            chains
            for chains in self._parts.rooms.all()
            if name in (folded(self.name_of(chains)), folded(self._called(chains) or ""))
        ]
        groups: list[Chains] = [chains for chains in rooms if isinstance(chains, Group)]
        return [chains for chains in rooms if chains not in groups] if direct else groups or rooms

    def _shown(self, chains: Chains) -> Room:
        return Room(self._parts, chains.room, self.name_of(chains))

    async def direct(self, person: bytes) -> Chains:
        """The room of two with somebody we know, made if it is not there."""
        people, rooms, me = self._parts.people, self._parts.rooms, self._parts.owner.identity
        certificate = people.certificate(person)
        if certificate is not None and people.contact(person) is None:
            # A member of a large room whom we have no link with: one is wanted from now on.
            met = await people.meet(certificate, me.secret_with(certificate))
            if met is not None and self._parts.online is not None:
                self._parts.online.peers.contact(person, met.secret)
        room = await self._parts.database.write(lambda tx: rooms.create_direct(tx, person))
        return rooms.opened(room, (me.person, person))

    async def create(self, name: str) -> Room:
        """A new room of many, with us as its only member and admin. Raises errors.BadInput."""
        return self._shown(await self._parts.moderation.create(name))

    async def forget(self, reference: str) -> None:
        """Delete all that is here of a room of many that we left.

        Raises errors.Refused `still-a-member`, errors.BadInput `room-unknown`, `room-direct`.
        """
        room = await self.find(reference)
        await self._parts.moderation.forget(room.group())
        self._parts.marks.forget(room.key)
        if self._parts.online is not None:
            for session in self._parts.online.peers.sessions():
                session.drop(room.key)
