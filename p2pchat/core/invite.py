"""p2pchat's part of an invite: the opaque `app` bytes (docs/protocol.md, 1)."""

from p2pchat.text import tidy_name

__all__ = ["app_bytes", "inviter_name", "leads_into_room"]

_VERSION = 1
_ROOM = 2
_NAME_BYTES_MAX = 32


def app_bytes(name: str, *, room: bool = False) -> bytes:
    """`version | flags | name`, the name cut at a whole character; `room`: it leads into one."""
    while len(name.encode()) > _NAME_BYTES_MAX:
        name = name[:-1]
    return bytes((_VERSION, _ROOM if room else 0)) + name.encode()


def leads_into_room(app: bytes) -> bool:
    """Whether more than a conversation of two awaits whoever takes this invite."""
    return len(app) >= 2 and app[0] == _VERSION and bool(app[1] & _ROOM)


def inviter_name(app: bytes) -> str:
    """The inviter's name as the invite claims it, safe to print; nothing vouches for it yet."""
    if len(app) < 2 or app[0] != _VERSION:
        return "somebody"
    return tidy_name(app[2:].decode(errors="replace"), "somebody")
