"""What `p2pchat doctor` looks at: profile and network, or an invite; each has its own module."""

import os
import time
from collections.abc import AsyncIterator

from p2pchat import events
from p2pchat.node import doctor, network, outlook
from p2pchat.node.directory import Directory
from p2pchat.node.parts import Parts

__all__ = ["diagnose"]


async def diagnose(
    parts: Parts, directory: Directory, blob: str | None
) -> AsyncIterator[events.Finding]:
    """All findings, as `Node.doctor` has it. Raises errors.BadInput."""
    invite = outlook.read(blob) if blob is not None else None
    carriers = parts.online.peers.carriers if parts.online is not None else None
    situation = network.Situation(parts.config, carriers, os.urandom, time.time)
    if invite is not None:
        people = parts.people
        known = people.contact(invite.inviter) is not None
        standing = outlook.Standing(parts.owner.person, known, people.blocked(invite.inviter))
        for finding in await outlook.examine_invite(invite, standing, situation):
            yield finding
        return
    clock = await parts.clocks.finding()
    async for finding in doctor.examine(parts.profile, parts.database, clock):
        yield finding
    me, rooms = parts.owner.person, parts.rooms
    torn = [directory.name_of(held) for held in rooms.all() if me in rooms.forked(held.room)]
    yield doctor.histories(torn)
    for finding in await network.examine(situation):
        yield finding
