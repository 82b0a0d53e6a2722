"""The DHT carrier by the settings: where to listen, where to start from, what to remember.

Nothing here waits: a DHT that cannot be reached costs the other carriers no time.
"""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from p2pchat.config import Config
from p2pchat.errors import Usage
from p2pchat.files.session import FileSession
from signaling.carriers import Carrier
from signaling.carriers.dht import DhtCarrier

__all__ = ["listen_interfaces", "open_dht", "parse_bootstrap"]

_log = logging.getLogger(__name__)


@asynccontextmanager
async def open_dht(
    config: Config,
    files: FileSession,
    state: Path,
    random: Callable[[int], bytes],
    wall: Callable[[], float],
) -> AsyncIterator[list[Carrier]]:
    """The carrier; none where it is off, or no node is known to start from.

    Raises Usage `config-malformed`.
    """
    bootstrap = parse_bootstrap(config.dht.bootstrap)
    if not config.dht.enabled or not (bootstrap or state.exists()):
        yield []
        return
    if find_spec("libtorrent") is None:
        _log.warning("the DHT is off: libtorrent is not installed for this Python")
        yield []
        return
    interfaces = config.net.interfaces
    files.join_dht(listen_interfaces(interfaces), bootstrap, state, local=config.net.is_local)
    async with DhtCarrier.open(files.dht, random=random, wall=wall) as carrier:
        yield [carrier]


def parse_bootstrap(entries: Sequence[str]) -> list[tuple[str, int]]:
    """`host:port`, `[v6]:port`. Raises Usage `config-malformed`."""
    found = []
    for entry in entries:
        host, _, port = entry.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 1 << 16:
            raise Usage(
                "config-malformed",
                f"dht.bootstrap: {entry!r} is not host:port",
                'write dht.bootstrap = ["router.example:6881"]',
            )
        found.append((host, int(port)))
    return found


def listen_interfaces(names: Sequence[str]) -> str:
    """In libtorrent's form, any port; all interfaces if none is named."""
    if not names:
        return "0.0.0.0:0,[::]:0"
    return ",".join("127.0.0.1:0" if name == "lo" else f"{name}:0" for name in names)
