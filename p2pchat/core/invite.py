"""p2pchat's part of an invite: the opaque `app` bytes (docs/protocol.md, 1)."""

from p2pchat.text import tidy_name

__all__ = [
    "MAILBOX_BYTES_MAX",
    "app_bytes",
    "inviter_mailbox",
    "inviter_name",
    "leads_into_room",
]

_VERSION = 1
_NAME_BYTES_MAX = 32
_MAILBOX, _ROOM, _PLAIN = 1, 2, 4
"""Flags: a mailbox is named; a room awaits the guest; the mailbox is reached by http, not https."""
MAILBOX_BYTES_MAX = 48
"""Of host, port and path: with that and the longest name, one candidate still fits the blob."""


def app_bytes(name: str, mailbox: str = "", *, room: bool = False) -> bytes:
    """`version | flags | [length | mailbox] | name`, the name cut at a whole character.

    A mailbox (`wss://…` or `ws://…`) that is too long is left out. `room`: it leads into one.
    """
    while len(name.encode()) > _NAME_BYTES_MAX:
        name = name[:-1]
    flags = _ROOM if room else 0
    scheme, _, rest = mailbox.partition("://")
    place = rest.removesuffix("/mailbox").encode()
    if not 0 < len(place) <= MAILBOX_BYTES_MAX:
        return bytes((_VERSION, flags)) + name.encode()
    flags |= _MAILBOX | (_PLAIN if scheme == "ws" else 0)
    return bytes((_VERSION, flags, len(place))) + place + name.encode()


def leads_into_room(app: bytes) -> bool:
    """Whether more than a conversation of two awaits whoever takes this invite."""
    return len(app) >= 2 and app[0] == _VERSION and bool(app[1] & _ROOM)


def inviter_name(app: bytes) -> str:
    """The inviter's name as the invite claims it, safe to print; nothing vouches for it yet."""
    return tidy_name(_parts(app)[1].decode(errors="replace"), "somebody")


def inviter_mailbox(app: bytes) -> str:
    """Where the inviter looks for letters, as an address; empty if nowhere."""
    place, _ = _parts(app)
    try:
        text = place.decode("ascii")
    except UnicodeDecodeError:
        return ""
    if not text or not text.isprintable() or " " in text:
        return ""
    return ("ws://" if app[1] & _PLAIN else "wss://") + text + "/mailbox"


def _parts(app: bytes) -> tuple[bytes, bytes]:
    """Mailbox and name, empty where there is none."""
    if len(app) < 2 or app[0] != _VERSION:
        return b"", b""
    if not app[1] & _MAILBOX:
        return b"", app[2:]
    if len(app) < 3 or app[2] > MAILBOX_BYTES_MAX or len(app) < 3 + app[2]:
        return b"", b""
    return app[3 : 3 + app[2]], app[3 + app[2] :]
