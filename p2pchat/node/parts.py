"""What a node consists of, with a network and without: its parts, made and wired to each other.

Given whole to what works on many of them: rooms as people see them, meeting, what links bring. What
each part does lies in its own module.
"""

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from p2pchat import errors
from p2pchat.config import Config
from p2pchat.core.entry import Entry
from p2pchat.core.identity import id_text
from p2pchat.node.bodies import Filling
from p2pchat.node.bus import Bus
from p2pchat.node.clocks import Clocks
from p2pchat.node.groups import Groups
from p2pchat.node.joining import Joining
from p2pchat.node.marks import Marks
from p2pchat.node.moderation import Moderation
from p2pchat.node.owner import Owner
from p2pchat.node.people import People
from p2pchat.node.presence import Presence
from p2pchat.node.rooms import Rooms
from p2pchat.node.vouching import Write
from p2pchat.store.database import Database
from p2pchat.store.profile import Profile

if TYPE_CHECKING:
    from p2pchat.node.online import Online

__all__ = ["Parts"]


@dataclass(kw_only=True, slots=True, eq=False)
class Parts:
    """Use `Parts.load`. `online`: what there is besides while the node has a network."""

    profile: Profile
    config: Config
    database: Database
    bus: Bus
    owner: Owner
    rooms: Rooms
    groups: Groups
    people: People
    joining: Joining
    moderation: Moderation
    marks: Marks
    clocks: Clocks
    presence: Presence
    filling: Filling
    write: Write
    """Raises errors.Refused `not-a-member`; the entry is on disk when it returns."""
    online: "Online | None" = None

    @classmethod
    async def load(
        cls,
        profile: Profile,
        config: Config,
        database: Database,
        bus: Bus,
        owner: Owner,
        incarnation: bytes,
    ) -> "Parts":
        """Make the parts, and read what they keep."""
        me, publish, random, wall = owner.me, bus.publish, os.urandom, time.time

        async def write(room: bytes, kind: int, body: msgspec.Struct) -> Entry:
            moderation.check_member(room)
            return await rooms.write(room, kind, body, people.certificates_in(room))

        rooms = Rooms(database, incarnation, random, wall, publish)
        rooms.identity = me
        rooms.heard = bus.heard
        vouching = config.trust.vouch
        people = People(database, rooms, me, publish, wall, write, vouching=vouching)
        groups = Groups(database, rooms, random)
        joining = Joining(database, rooms, groups, me, publish, random, wall)
        joining.admit = people.admit
        moderation = Moderation(database, rooms, groups, joining, people, me, publish, random, wall)
        groups.listeners += [
            lambda group, _: moderation.changed(group),
            lambda group, _: people.moved(group),
        ]
        rooms.timer_s = lambda room: moderation.timer_s(room) or config.messages.lifetime_s
        marks = Marks(database, rooms, people, me, publish, enabled=config.privacy.read)
        presence = Presence(rooms, people, me, publish, config.privacy)
        await rooms.load()
        await people.load()
        await marks.load()
        await groups.load()
        moderation.load()
        return cls(
            profile=profile,
            config=config,
            database=database,
            bus=bus,
            owner=owner,
            rooms=rooms,
            groups=groups,
            people=people,
            joining=joining,
            moderation=moderation,
            marks=marks,
            clocks=Clocks(database, rooms, people, lambda: me().person),
            presence=presence,
            filling=Filling(database, rooms),
            write=write,
        )

    @property
    def network(self) -> "Online":
        """Raises errors.Error `not-running` where there is none."""
        if self.online is None:
            raise errors.Error(
                "not-running", "this node was opened without a network", "open it with online=True"
            )
        return self.online

    def linked(self) -> set[str]:
        """Ids of the people that are linked now."""
        if self.online is None:
            return set()
        return {id_text(session.peer) for session in self.online.peers.sessions()}
