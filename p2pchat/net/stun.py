"""Which STUN server of a list is alive (RFC 8489), asked of all at once.

aiortc uses the first of a list and waits 5 s for it when it is dead; so the live one is chosen
beforehand, and where none answers in half a second a connection is made without. May know sockets;
knows nothing of aiortc, so that `doctor` can use it alone.
"""

import asyncio
import ipaddress
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

__all__ = ["PROBE_S", "Found", "binding_request", "first_alive", "mapped_address", "parse_url"]

PROBE_S = 0.5
"""Public servers answer within 200 ms from anywhere with a usable network."""
_SERVERS_MAX = 8
_PORT = 3478
_BINDING, _SUCCESS = 0x0001, 0x0101
_COOKIE = 0x2112A442
_XOR_MAPPED_ADDRESS = 0x0020


@dataclass(frozen=True, slots=True)
class Found:
    """A server that answered, and the address it saw us come from."""

    url: str
    address: str
    port: int


def parse_url(url: str) -> tuple[str, int]:
    """Host and port of `stun:host[:port]` (RFC 7064). Raises ValueError."""
    scheme, colon, rest = url.partition(":")
    if scheme.lower() != "stun" or not colon:
        raise ValueError(f"{url!r} is not stun:host or stun:host:port")
    if rest.startswith("["):
        host, bracket, port = rest[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ValueError(f"{url!r} has an address without its closing bracket")
        port = port[1:]
    else:
        host, _, port = rest.partition(":")
    if not host or (port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536)):
        raise ValueError(f"{url!r} has no usable host and port")
    return host, int(port) if port else _PORT


async def first_alive(urls: Sequence[str], timeout_s: float = PROBE_S) -> Found | None:
    """The first server to answer, or None within `timeout_s`. Raises ValueError on a bad URL."""
    servers = [(url, *parse_url(url)) for url in urls[:_SERVERS_MAX]]
    if not servers:
        return None
    found: asyncio.Future[Found] = asyncio.get_running_loop().create_future()

    async def probe(url: str, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            # aioice asks over IPv4 only, so that is what has to be alive.
            addresses = await loop.getaddrinfo(
                host, port, family=socket.AF_INET, type=socket.SOCK_DGRAM
            )
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Probe(url, found), remote_addr=(str(addresses[0][4][0]), port)
            )
        except OSError:
            return
        try:
            await asyncio.shield(found)
        finally:
            transport.close()

    try:
        async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as tasks:
            for server in servers:
                tasks.create_task(probe(*server))
    except TimeoutError:
        pass
    return found.result() if found.done() else None


class _Probe(asyncio.DatagramProtocol):
    """One request on one socket; the socket is connected, so only the server can answer."""

    def __init__(self, url: str, found: "asyncio.Future[Found]") -> None:
        self._url = url
        self._found = found
        self._transaction = os.urandom(12)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not an isinstance: asyncio's own datagram transport is none before Python 3.13.
        datagrams = cast(asyncio.DatagramTransport, transport)
        datagrams.sendto(binding_request(self._transaction))

    def datagram_received(self, data: bytes, addr: object) -> None:
        del addr
        mapped = mapped_address(data, self._transaction)
        if mapped is not None and not self._found.done():
            self._found.set_result(Found(self._url, *mapped))

    def error_received(self, exc: Exception) -> None:
        """Port unreachable and the like: this server just stays silent."""


def binding_request(transaction: bytes) -> bytes:
    """A Binding request (RFC 8489 6); `transaction`: 12 random bytes."""
    return struct.pack("!HHL", _BINDING, 0, _COOKIE) + transaction


def mapped_address(data: bytes, transaction: bytes) -> tuple[str, int] | None:
    """The XOR-MAPPED-ADDRESS of a success response (RFC 8489 14.2), or None."""
    if len(data) < 20:
        return None
    kind, length, cookie = struct.unpack_from("!HHL", data)
    if kind != _SUCCESS or cookie != _COOKIE or data[8:20] != transaction:
        return None
    position, end = 20, min(len(data), 20 + length)
    while position + 4 <= end:
        attribute, size = struct.unpack_from("!HH", data, position)
        value = data[position + 4 : position + 4 + size]
        if attribute == _XOR_MAPPED_ADDRESS and len(value) == 8 and value[1] == 1:
            port = int.from_bytes(value[2:4], "big") ^ (_COOKIE >> 16)
            return str(ipaddress.IPv4Address(int.from_bytes(value[4:], "big") ^ _COOKIE)), port
        position += 4 + size + (-size % 4)
    return None
