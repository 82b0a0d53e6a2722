"""What follows when the members of a room of many change, or somebody asks to be one.

Links, introductions, joins and vouches are brought after what acts of membership say: one room at a
time, and behind the commit that brought them.
"""

import asyncio
import logging
from typing import TYPE_CHECKING

from p2pchat import errors
from p2pchat.core.group import Group
from p2pchat.node.bodies import Filling
from p2pchat.node.joining import Joining
from p2pchat.node.mesh import Mesh
from p2pchat.node.people import People

if TYPE_CHECKING:
    from p2pchat.node.introductions import Introductions
    from p2pchat.node.peers import Peers

__all__ = ["Following"]

_log = logging.getLogger(__name__)


class Following:
    """Of a node that has a network, until `close`."""

    def __init__(
        self,
        peers: "Peers",
        mesh: Mesh,
        introductions: "Introductions",
        joining: Joining,
        people: People,
        filling: Filling,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._peers = peers
        self._mesh = mesh
        self._introductions = introductions
        self._joining = joining
        self._people = people
        self._filling = filling
        self._tasks = tasks
        self._one_at_a_time = asyncio.Lock()
        self._closed = False

    def moved(self, group: Group, contested: bool) -> None:  # noqa: FBT001  (a listener of Groups)
        """Acts of membership came."""
        self._tasks.create_task(self.follow(group, contested=contested))

    def asked(self, group: Group) -> None:
        """Somebody asked to be let in, or was answered; or a key came that a vouch waits for."""
        self._tasks.create_task(self.follow(group, contested=False))

    async def follow(self, group: Group, *, contested: bool) -> None:
        async with self._one_at_a_time:
            if self._closed:
                return
            try:
                await self._mesh.follow(group, contested=contested)
                self._introductions.followed(group)
                await self._joining.followed(group)
                await self._people.vouch(group)
                # A delete that counts no more leaves a body missing, and all may be level already.
                for session in list(self._peers.sessions()):
                    await self._filling.ask(session, group.room)
            except errors.Error as error:
                _log.warning("membership not followed: %s", error.message)

    def close(self) -> None:
        self._closed = True
