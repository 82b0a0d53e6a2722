"""The machine's own addresses, and which of a neighbour's may be connected to.

Knows addresses and nothing of services. IPv6 beside IPv4; a link-local address goes with its scope,
without which it names no place. Never the IPv6 loopback: where loopback is meant, 127.0.0.1 is.
"""

import socket
from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    ip_address,
)

import ifaddr

__all__ = [
    "Interface",
    "host_of",
    "interfaces_of",
    "multicast_of",
    "reachable",
    "socket_address",
    "within",
]

Interface = IPv4Interface | IPv6Interface
_SKIPPED = ("docker", "veth", "br-", "virbr")
"""Of containers and virtual machines: nobody is there, and they come and go."""


def interfaces_of(names: Sequence[str]) -> list[Interface]:
    """Addresses, with their networks, of the interfaces named; IPv4 first, loopback last.

    Of all and loopback, if none is named: homes on one machine find each other over it. An IPv6
    address that is still being checked for duplicates is not among them: nothing can use it yet.
    """
    found: list[Interface] = []
    for adapter in ifaddr.get_adapters():
        if adapter.name not in names if names else str(adapter.name).startswith(_SKIPPED):
            continue
        for ip in adapter.ips:
            if isinstance(ip.ip, str):
                found.append(IPv4Interface(f"{ip.ip}/{ip.network_prefix}"))
                continue
            address, _, scope = ip.ip
            text = f"{address}%{scope}" if scope else address
            own = IPv6Interface(f"{text}/{ip.network_prefix}")
            if not own.is_loopback and _ready(own):
                found.append(own)
    if not names and not any(own.is_loopback for own in found):
        found.append(IPv4Interface("127.0.0.1/8"))
    return sorted(dict.fromkeys(found), key=lambda own: (own.is_loopback, own.version))


def host_of(own: Interface) -> str:
    """The address to listen at, with its scope if it needs one."""
    scope = getattr(own, "scope_id", None)
    return f"{own.ip}%{scope}" if scope else str(own.ip)


def multicast_of(own: Sequence[Interface]) -> list[str]:
    """Each IPv4 address, and for IPv6 one of each link, to speak mDNS from."""
    links: dict[object, str] = {}
    for one in own:
        if isinstance(one, IPv4Interface):
            links[one.ip] = str(one.ip)
        elif one.is_link_local:  # each link that has IPv6 has one (RFC 4291, 2.1)
            links.setdefault(one.scope_id, str(one.ip))
    return list(links.values())


def reachable(own: Sequence[Interface], address: str) -> bool:
    """Whether a neighbour's address may be connected to.

    Our own networks and, since mDNS is reflected between networks of one house, private ones;
    loopback only where we are bound to it. Else an announcement could make us show ourselves to any
    host on the Internet. A link-local address has to be of a link of ours.
    """
    try:
        theirs = ip_address(address)
    except ValueError:
        return False
    if theirs.is_loopback or all(one.is_loopback for one in own):
        return any(within(address, one) for one in own)
    if theirs.is_multicast or theirs.is_unspecified:
        return False
    if isinstance(theirs, IPv6Address):
        if theirs.ipv4_mapped is not None:
            return False
        if theirs.is_link_local:
            return any(
                isinstance(one, IPv6Interface) and one.scope_id == theirs.scope_id is not None
                for one in own
            )
        if all(one.version == 4 for one in own):
            return False
    return theirs.is_private or any(within(address, one) for one in own)


def socket_address(address: str, port: int) -> tuple[int, int, int, str, tuple[object, ...]]:
    """As getaddrinfo answers it, for TCP. Raises ValueError if it is no address."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv4Address):
        return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(parsed), port)
    scope = int(parsed.scope_id or 0)
    plain = address.partition("%")[0]
    return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (plain, port, 0, scope)


def within(address: str, own: Interface) -> bool:
    """Whether it is of the same network."""
    theirs = ip_address(address)
    return theirs.version == own.version and theirs in own.network


def _ready(own: IPv6Interface) -> bool:
    """Whether the address is ours to use: no duplicate detection runs, or has failed."""
    plain = str(own.ip).partition("%")[0]
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((plain, 0, 0, int(own.scope_id or 0)))
        except OSError:
            return False
    return True
