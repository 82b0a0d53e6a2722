"""Where a mailbox is: what a person writes, as the address that a carrier connects to."""

from urllib.parse import urlsplit

__all__ = ["mailbox_url"]


def mailbox_url(text: str) -> str:
    """The WebSocket address for what a person writes: `https://host`, `http://host:port/prefix`.

    Raises ValueError if it is no address of a server.
    """
    parts = urlsplit(text.strip())
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    # `port` raises ValueError for what is none.
    if scheme is None or not parts.hostname or parts.port == 0 or parts.query or parts.fragment:
        raise ValueError("a mailbox is https://host, perhaps with a port and a path")
    if parts.username or parts.password:
        raise ValueError("a mailbox needs no name and no password")
    path = parts.path.rstrip("/").removesuffix("/mailbox")
    return f"{scheme}://{parts.netloc}{path}/mailbox"
