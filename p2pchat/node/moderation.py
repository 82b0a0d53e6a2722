"""What members do to a room of many: make it, name it, let people in, remove them, leave.

Checks what we may before anything is written; others check again, each for itself.
"""

from collections.abc import Callable, Sequence
from functools import partial

from p2pchat import errors, events
from p2pchat.core.acts import (
    ADMIN,
    CREATE,
    LEAVE,
    MEMBER,
    REMOVE,
    ROLE,
    SETTING,
    SETTINGS,
    Create,
    Leave,
    Remove,
    Role,
    Setting,
    group_room,
)
from p2pchat.core.bounds import LIFETIME_S_MAX, TOPIC_BYTES_MAX
from p2pchat.core.entry import REQUEST, Entry, RequestBody
from p2pchat.core.group import Group
from p2pchat.core.identity import Identity, Random, id_text
from p2pchat.core.membership import Standing
from p2pchat.node.groups import Groups, cuts
from p2pchat.node.joining import Joining
from p2pchat.node.people import People
from p2pchat.node.rooms import Rooms
from p2pchat.store import groups as table
from p2pchat.store import rooms as rooms_table
from p2pchat.store.database import Connection, Database
from p2pchat.text import checked_name, printable, tidy_name

__all__ = ["Moderation"]

_CHOICES = {"admit": ("members", "admins"), "history": ("all", "new")}
_TIMER_MAX_S = 366 * 86_400


class Moderation:
    def __init__(
        self,
        database: Database,
        rooms: Rooms,
        groups: Groups,
        joining: Joining,
        people: People,
        identity: Callable[[], Identity],
        publish: Callable[[events.Event], None],
        random: Random,
        wall: Callable[[], float],
    ) -> None:
        self._database = database
        self._rooms = rooms
        self._groups = groups
        self._joining = joining
        self._people = people
        self._identity = identity
        self._publish = publish
        self._random = random
        self._wall = wall
        self._known: dict[bytes, dict[bytes, Standing]] = {}
        """room -> its members as they were told last"""
        rooms.listeners.append(self._heard)

    def load(self) -> None:
        """Remember who is a member, so that what changes can be told."""
        for chains in self._rooms.all():
            if isinstance(chains, Group):
                self._known[chains.room] = dict(chains.membership.members)

    def name_of(self, group: Group) -> str:
        return tidy_name(group.membership.setting("name"), id_text(group.room)[:8])

    def state(self, group: Group) -> str:
        """What we are there: `member`, `pending`, `removed`, `left`, or `joining`."""
        me = self._identity().person
        if me in group.members:
            return "member"
        if any(join.room == group.room for join in self._joining.pending()):
            return "pending"
        if group.membership.was_removed(me):
            return "removed"
        return "left" if me in group.membership.persons else "joining"

    def details(self, group: Group) -> dict[str, object]:
        """What a row of this room has beyond one of a room of two."""
        membership, me = group.membership, self._identity().person
        role = ("admin" if membership.is_admin(me) else "member") if me in group.members else None
        return {
            "state": self.state(group),
            "role": role,
            "topic": printable(membership.setting("topic")) or None,
            "settings": {
                key: printable(membership.setting(key))
                for key in SETTINGS
                if key not in ("name", "topic")
            },
        }

    def timer_s(self, room: bytes) -> int:
        """After how many seconds what is written there disappears; 0: the room does not say."""
        group = self._groups.get(room)
        timer = group.membership.setting("timer") if group is not None else "0"
        return min(int(timer), LIFETIME_S_MAX) if timer.isdecimal() and len(timer) < 10 else 0

    # -- what anybody may ----------------------------------------------------------------------

    async def create(self, name: str) -> Group:
        """A new room, ours. Raises errors.BadInput for a bad name."""
        name, identity, nonce = checked_name(name), self._identity(), self._random(32)
        room = group_room(identity.person, nonce)
        await self._database.write(
            lambda tx: rooms_table.add(tx, room, "group", name, self._wall(), [])
        )
        group = self._rooms.opened_group(room)
        create = Create((), identity.certificate, nonce, name)
        await self._groups.act(group, CREATE, lambda _tx, _group: create)
        return group

    async def leave(self, group: Group) -> None:
        """Be no member any more; what was written stays readable here until it is forgotten."""
        self._check(group)
        await self._groups.act(
            group, LEAVE, lambda _, group: Leave(group.membership.seen(self._identity().person))
        )

    async def forget(self, group: Group) -> None:
        """Delete all that is here of a room that we are not in.

        Raises errors.Refused `still-a-member`.
        """
        if self.state(group) == "member":
            raise errors.Refused(
                "still-a-member",
                f"you are a member of {self.name_of(group)}",
                "leave it first: p2pchat room leave NAME",
            )
        await self._database.write(partial(table.forget, room=group.room))
        self._rooms.forgotten(group.room)
        self._known.pop(group.room, None)
        # What we wrote there is gone from here, and must not be written otherwise if we return.
        await self._rooms.renew()

    async def set(self, group: Group, key: str, value: str) -> None:
        """Change a setting of the room.

        Raises errors.Refused `not-a-member`, `not-allowed`; errors.BadInput `setting-unknown`,
        or for a bad name.
        """
        value = _checked_setting(key, value)
        if key == "topic":
            self._check(group)
        else:
            self._check_admin(group)
        await self._groups.act(
            group,
            SETTING,
            lambda _, group: Setting(group.membership.seen(self._identity().person), key, value),
        )

    async def approve(self, group: Group, reference: str) -> events.Member:
        """Let somebody in who asked. Raises errors.Refused, errors.BadInput `request-unknown`."""
        self._check(group)
        if not group.membership.may_admit(self._identity().person):
            raise _not_allowed("only admins of this room let people in")
        request = await self._joining.find(group, reference)
        await self._joining.approve(group, request)
        return self._row(group, request.person)

    async def deny(self, group: Group, reference: str) -> events.JoinRequest:
        """Turn somebody away who asked. Raises as `approve`."""
        self._check(group)
        if not group.membership.may_admit(self._identity().person):
            raise _not_allowed("only admins of this room answer who asks to be let in")
        request = await self._joining.find(group, reference)
        await self._joining.deny(group, request)
        return events.JoinRequest(
            room=id_text(group.room),
            peer=id_text(request.person),
            name=request.certificate.safe_name(),
        )

    async def remove(self, group: Group, reference: str) -> None:
        """Make somebody no member any more; the room gets a new key.

        Raises errors.Refused `not-a-member`, `not-allowed`, errors.BadInput `peer-unknown`.
        """
        person = self._people.find(reference, among=group.members)
        if person == self._identity().person:
            raise errors.Refused(
                "not-allowed", "nobody removes itself", "leave: p2pchat room leave NAME"
            )
        self._check_admin(group)

        def make(tx: Connection, group: Group) -> Remove:
            return Remove(
                group.membership.seen(self._identity().person), person, cuts(tx, group, person)
            )

        await self._groups.act(group, REMOVE, make)

    async def set_role(self, group: Group, reference: str, role: str) -> events.Member:
        """Make somebody `admin` or `member`. Raises as `remove`."""
        person = self._people.find(reference, among=group.members)
        self._check_admin(group)
        number = ADMIN if role == "admin" else MEMBER
        await self._groups.act(
            group,
            ROLE,
            lambda _, group: Role(group.membership.seen(self._identity().person), person, number),
        )
        return self._row(group, person)

    def _row(self, group: Group, person: bytes) -> events.Member:
        rows = self._people.members(group, set())
        return next(row for row in rows if row.peer == id_text(person))

    def check_member(self, room: bytes) -> None:
        """Raises errors.Refused `not-a-member` where we may not write."""
        group = self._groups.get(room)
        if group is not None:
            self._check(group)

    def _check(self, group: Group) -> None:
        if self._identity().person not in group.members:
            raise errors.Refused(
                "not-a-member",
                f"you are not a member of {printable(self.name_of(group))}",
                "ask a member for an invite: p2pchat invite ROOM",
            )

    def _check_admin(self, group: Group) -> None:
        self._check(group)
        if not group.membership.is_admin(self._identity().person):
            raise _not_allowed("only admins of this room may do that")

    # -- what is told --------------------------------------------------------------------------

    def changed(self, group: Group) -> None:
        """Say who came, went, or became something else."""
        before, now = self._known.get(group.room, {}), dict(group.membership.members)
        self._known[group.room] = now
        if not before:
            return
        for person in sorted(before.keys() | now.keys()):
            old, new = before.get(person), now.get(person)
            if new is None:
                removed = group.membership.was_removed(person)
                self._tell(group, person, "removed" if removed else "left")
            elif old is None:
                self._tell(group, person, "joined")
            elif old.role != new.role:
                self._tell(group, person, "admin" if new.role == ADMIN else "member")

    def _tell(self, group: Group, person: bytes, change: str) -> None:
        self._publish(
            events.Membership(
                room=id_text(group.room),
                peer=id_text(person),
                name=self._people.name_of(person),
                change=change,  # type: ignore[arg-type]
                me=person == self._identity().person,
            )
        )

    def _heard(self, room: bytes, entries: Sequence[Entry], source: object) -> None:
        """New entries are on disk (`rooms.Listener`): say who asks to be let in."""
        del source
        group = self._groups.get(room)
        if group is None:
            return
        for entry in entries:
            body = group.read(entry) if entry.header.kind == REQUEST else None
            if isinstance(body, RequestBody) and body.certificate.person not in group.members:
                self._publish(
                    events.JoinRequest(
                        room=id_text(room),
                        peer=id_text(body.certificate.person),
                        name=body.certificate.safe_name(),
                    )
                )


def _checked_setting(key: str, value: str) -> str:
    if key not in SETTINGS:
        raise errors.BadInput(
            "setting-unknown",
            f"a room has no setting {printable(key)!r}",
            "it has: " + ", ".join(SETTINGS),
        )
    value = value.strip()
    if key == "name":
        return checked_name(value)
    if key == "timer":
        if not value.isdecimal() or int(value) > _TIMER_MAX_S:
            raise _bad_value("timer", "seconds from 1 to a year, 0 for none")
        return str(int(value))
    if key in _CHOICES and value not in _CHOICES[key]:
        raise _bad_value(key, " or ".join(_CHOICES[key]))
    if len(value.encode()) > TOPIC_BYTES_MAX or printable(value) != value:
        raise _bad_value(key, f"one line of at most {TOPIC_BYTES_MAX} bytes")
    return value


def _bad_value(key: str, what: str) -> errors.BadInput:
    return errors.BadInput("setting-value", f"{key} takes {what}", "see p2pchat room info NAME")


def _not_allowed(message: str) -> errors.Refused:
    return errors.Refused("not-allowed", message, "ask an admin: p2pchat members ROOM lists them")
