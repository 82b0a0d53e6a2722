"""What both ends of an invite work with: the host's (`invites`) and the guest's (`pursuits`)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from p2pchat.core.handshake import Proven
from p2pchat.core.identity import Identity, Random
from p2pchat.events import Event
from p2pchat.node.mailboxes import Mailboxes
from p2pchat.node.peers import Peers
from p2pchat.store.database import Connection, Database
from signaling.invite import Invite

__all__ = ["Door"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Door:
    """`admit` takes in a peer who came by an invite, or whose it is, in the transaction given."""

    database: Database
    peers: Peers
    mailboxes: Mailboxes
    identity: Callable[[], Identity]
    admit: Callable[[Connection, Proven, Invite], None]
    random: Random
    wall: Callable[[], float]
    tasks: asyncio.TaskGroup
    publish: Callable[[Event], None]
