"""Which of the STUN and TURN servers in the settings to use now, if any answers.

aiortc uses the first of each, and waits 5 s for one that is dead: those on a train would wait with
every offer. So all are asked at once beforehand, for half a second, and the outcome holds for a
while. Names are looked up in threads of their own: a resolver that does not answer would otherwise
take those that the database needs, and hold up the end of a command. Knows nothing of aiortc.
"""

import asyncio
import os
import socket
import struct
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import cast

from p2pchat.net import stun

__all__ = ["Relay", "Servers", "parse_relay"]

_FOUND_S, _NONE_S = 60.0, 10.0
"""For how long an outcome holds; less where there was none, since a network may come any time."""
_PROBE_S = 2 * stun.PROBE_S
"""For looking up the name, and for the answer."""
_SERVERS_MAX = 8
_ALLOCATE, _COOKIE = 0x0003, 0x2112A442
_TLS_PORT = 5349


@dataclass(frozen=True, slots=True)
class Relay:
    """A TURN server (RFC 8656), and who we are there."""

    scheme: str
    host: str
    port: int
    transport: str
    username: str
    password: str

    @property
    def url(self) -> str:
        """As RFC 7065 has it, without the credentials."""
        return f"{self.scheme}:{self.host}:{self.port}?transport={self.transport}"


def parse_relay(url: str) -> Relay:
    """`turn:user:password@host[:port][?transport=udp|tcp]`, or `turns:`. Raises ValueError.

    The user's name has no colon in it; the password may have any character.
    """
    scheme, _, rest = url.partition(":")
    credentials, at, place = rest.rpartition("@")
    username, colon, password = credentials.partition(":")
    place, _, query = place.partition("?")
    transport = query.removeprefix("transport=") if query else "udp"
    if scheme == "turns" and not query:
        transport = "tcp"
    allowed = {"turn": ("udp", "tcp"), "turns": ("tcp",)}.get(scheme, ())
    if not at or not colon or transport not in allowed:
        raise ValueError(f"{_hidden(url)!r} is not turn:user:password@host:port")
    try:
        host, port = stun.parse_url(f"stun:{place}")
    except ValueError:
        raise ValueError(f"{_hidden(url)!r} has no usable host and port") from None
    if scheme == "turns" and ":" not in place:
        port = _TLS_PORT
    return Relay(scheme, host, port, transport, username, password)


def _hidden(url: str) -> str:
    """A TURN URL without its password, to be shown."""
    return url.rpartition("@")[2] if "@" in url else url


class Servers:
    """`stun` and `turn` as in the settings. Both questions raise ValueError on what is no URL."""

    def __init__(self, stun_urls: Sequence[str], turn_urls: Sequence[str]) -> None:
        self._stun_urls = stun_urls[:_SERVERS_MAX]
        self._turn_urls = turn_urls[:_SERVERS_MAX]
        self._addresses: dict[str, asyncio.Future[str | None]] = {}
        self._stun: tuple[float, str | None] = (0.0, None)
        self._turn: tuple[float, Relay | None] = (0.0, None)

    async def stun(self) -> str | None:
        """The URL of a STUN server that answered; its host is a literal address."""
        places = [stun.parse_url(url) for url in self._stun_urls]
        if not places:
            return None
        now, (until, url) = _now(), self._stun
        if now >= until:
            url = await self._probe_stun(places)
            self._stun = (now + (_FOUND_S if url else _NONE_S), url)
        return url

    async def turn(self) -> Relay | None:
        """The first relay of the list that answered."""
        relays = [parse_relay(url) for url in self._turn_urls]
        if not relays:
            return None
        now, (until, relay) = _now(), self._turn
        if now >= until:
            relay = await self._probe_turn(relays)
            self._turn = (now + (_FOUND_S if relay else _NONE_S), relay)
        return relay

    async def _probe_stun(self, places: Sequence[tuple[str, int]]) -> str | None:
        async def probe(host: str, port: int) -> str | None:
            address = await self._resolve(host)
            answer = await stun.first_alive([f"stun:{address}:{port}"]) if address else None
            return answer.url if answer else None

        url = None
        with suppress(TimeoutError):
            async with asyncio.timeout(_PROBE_S), asyncio.TaskGroup() as tasks:
                probes = [tasks.create_task(probe(*place)) for place in places]
                for first in asyncio.as_completed(probes):
                    url = await first
                    if url is not None:
                        break
                for one in probes:
                    one.cancel()
        return url

    async def _probe_turn(self, relays: Sequence[Relay]) -> Relay | None:
        alive: dict[int, Relay] = {}

        async def probe(number: int, relay: Relay) -> None:
            address = await self._resolve(relay.host)
            if address is None or not await _answers(relay, address):
                return
            # A certificate is for a name, so TLS has to know it.
            host = relay.host if relay.scheme == "turns" else address
            alive[number] = Relay(
                relay.scheme, host, relay.port, relay.transport, relay.username, relay.password
            )

        with suppress(TimeoutError):
            async with asyncio.timeout(_PROBE_S), asyncio.TaskGroup() as tasks:
                probes = [tasks.create_task(probe(*item)) for item in enumerate(relays)]
                await probes[0]
                if 0 in alive:
                    for one in probes:
                        one.cancel()
        return alive[min(alive)] if alive else None

    async def _resolve(self, host: str) -> str | None:
        """An IPv4 address of a host, since aioice asks over that alone; None if it has none.

        One lookup of a name at a time, however often it is asked for.
        """
        with suppress(ValueError):
            return str(ip_address(host)) if ip_address(host).version == 4 else None
        known = self._addresses.get(host)
        if known is not None and not known.done():
            return await asyncio.shield(known)
        loop = asyncio.get_running_loop()
        looking: asyncio.Future[str | None] = loop.create_future()
        self._addresses[host] = looking

        def tell(address: str | None) -> None:
            if not looking.done():
                looking.set_result(address)

        def look() -> None:
            address = None
            with suppress(OSError, UnicodeError):
                found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_DGRAM)
                address = str(found[0][4][0])
            # The loop may have ended meanwhile; then nobody waits.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(tell, address)

        threading.Thread(target=look, name=f"lookup of {host}", daemon=True).start()
        return await asyncio.shield(looking)


async def _answers(relay: Relay, address: str) -> bool:
    """Whether there is anybody: an Allocate without credentials is refused (RFC 8656 5)."""
    loop = asyncio.get_running_loop()
    try:
        if relay.transport == "tcp":
            _, writer = await asyncio.open_connection(address, relay.port)
            writer.close()
            return True
        transport, asking = await loop.create_datagram_endpoint(
            _Asking, remote_addr=(address, relay.port)
        )
    except OSError:
        return False
    try:
        await asking.answered.wait()
    finally:
        transport.close()
    return True


class _Asking(asyncio.DatagramProtocol):
    """One request; whatever answers it is alive."""

    def __init__(self) -> None:
        self.answered = asyncio.Event()
        self._transaction = os.urandom(12)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not an isinstance: asyncio's own datagram transport is none before Python 3.13.
        datagrams = cast(asyncio.DatagramTransport, transport)
        datagrams.sendto(struct.pack("!HHL", _ALLOCATE, 0, _COOKIE) + self._transaction)

    def datagram_received(self, data: bytes, addr: object) -> None:
        del addr
        if data[8:20] == self._transaction:
            self.answered.set()

    def error_received(self, exc: Exception) -> None:
        """Port unreachable and the like: this server just stays silent."""


def _now() -> float:
    return asyncio.get_running_loop().time()
