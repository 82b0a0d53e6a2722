"""Magnet links in rooms: told to a room, and found there by the id of their share."""

from p2pchat import errors, events
from p2pchat.core.entry import SHARE, ShareBody
from p2pchat.core.identity import id_text
from p2pchat.files.share import Share
from p2pchat.node.rooms import Rooms
from p2pchat.node.vouching import Write
from p2pchat.text import printable

__all__ = ["find_magnet", "tell", "untold"]

_PREFIX_MIN = 4


async def tell(rooms: Rooms, write: Write, room: bytes, share: Share) -> events.Share:
    """Say in a room that we offer this. Raises errors.Refused `not-a-member`."""
    entry = await write(room, SHARE, ShareBody(share.id, share.name, share.size, share.magnet))
    event = rooms.event(entry)
    assert isinstance(event, events.Share)
    return event


def untold(share: Share, author: str, now: float) -> events.Share:
    """The event of a share that no room was told of; `author`: our peer id."""
    return events.Share(
        id=id_text(share.id),
        name=share.name,
        size=share.size,
        magnet=share.magnet,
        author=author,
        time=events.rfc3339(now),
    )


async def find_magnet(rooms: Rooms, reference: str) -> str:
    """The magnet that `reference` is, or that a room knows by (a prefix of) its share's id.

    Raises errors.BadInput: `magnet-malformed`, `share-unknown`.
    """
    if reference.startswith("magnet:"):
        return reference
    found: dict[str, str] = {}
    for chains in rooms.all():
        for event in await rooms.history(chains.room, last=None, since_s=None, kinds=(SHARE,)):
            if isinstance(event, events.Share) and event.id.startswith(reference.lower()):
                found[event.id] = event.magnet
    if len(found) != 1 or len(reference) < _PREFIX_MIN:
        raise errors.BadInput(
            "magnet-malformed" if ":" in reference or "?" in reference else "share-unknown",
            f"{printable(reference)!r} is neither a magnet link nor the id of a share known here",
            "paste the whole magnet link in quotes, or see p2pchat files",
        )
    return found.popitem()[1]
