"""p2pchat's part of an invite: the opaque `app` bytes (docs/protocol.md, 1)."""

from p2pchat.text import tidy_name

__all__ = ["app_bytes", "inviter_name"]

_VERSION = 1
_NAME_BYTES_MAX = 32


def app_bytes(name: str) -> bytes:
    """`version | flags | name`, the name cut at a whole character."""
    while len(name.encode()) > _NAME_BYTES_MAX:
        name = name[:-1]
    return bytes((_VERSION, 0)) + name.encode()


def inviter_name(app: bytes) -> str:
    """The inviter's name as the invite claims it, safe to print; nothing vouches for it yet."""
    if len(app) < 2 or app[0] != _VERSION:
        return "somebody"
    return tidy_name(app[2:].decode(errors="replace"), "somebody")
