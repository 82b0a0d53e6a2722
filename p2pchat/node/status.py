"""How it is with a node: what it holds, whom it is linked with, by what it can be found."""

import os
from typing import TYPE_CHECKING, Literal

from p2pchat import events
from p2pchat.node.parts import Parts
from p2pchat.store import journal
from p2pchat.store import pursuits as pursued

if TYPE_CHECKING:
    from p2pchat.node.online import Online

__all__ = ["status"]


async def status(parts: Parts, uptime_s: int) -> events.Status:
    online = parts.online
    lan = online.lan if online is not None else None
    return events.Status(
        peer=parts.owner.id,
        name=parts.owner.name,
        home=str(parts.profile.home),
        running=online is not None,
        pid=os.getpid(),
        uptime_s=uptime_s,
        connected=len(parts.linked()),
        contacts=len(list(parts.people.contacts)),
        rooms=len(list(parts.rooms.all())),
        invites=online.invites.waiting if online is not None else 0,
        entries=await parts.database.read(journal.count),
        lan=lan is not None,
        lan_ignored=lan.ignored if lan is not None else 0,
        visible=online is not None and online.nearby.visible,
        joins=len(await parts.database.read(pursued.kept)),
        dht=_reached(online, "dht"),
        mailbox=_mailbox(online),
    )


def _reached(online: "Online | None", name: str) -> int | None:
    """How many a carrier could ask just now; None where it is not used."""
    carriers = online.peers.carriers if online is not None else ()
    return next((one.reach().others for one in carriers if one.name == name), None)


def _mailbox(online: "Online | None") -> Literal["connected", "idle", "away"] | None:
    connected = _reached(online, "mailbox")
    if connected is None or online is None:
        return None
    if connected:
        return "connected"
    return "idle" if online.mailboxes.idle else "away"
