"""Neighbours on the machine's networks: DNS-SD both ways (docs/protocol.md, 4).

Knows addresses, sockets and zeroconf, and nothing of slots. Names, host names and nonces are random
and fresh at each start and change hourly. What a neighbour announces is checked before it is used:
nothing it says makes us connect to the Internet.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Interface, ip_address

import ifaddr
import zeroconf
from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

__all__ = ["NEIGHBOURS_MAX", "SERVICE", "Discovery", "Neighbour", "interfaces_of"]

_log = logging.getLogger(__name__)
SERVICE = "_p2pchat._tcp.local."
_ADDRESSES_MAX = 8
NEIGHBOURS_MAX = 256
"""A school has fewer at once, and each costs a task."""
_OWN_NAMES = 4
_RESOLVE_MS = 3_000
_NONCE_S = 3_600.0
_WATCH_S = 2.0
"""How often to see whether the machine has moved to another network; there is no event for it."""
Random = Callable[[int], bytes]
Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


def interfaces_of(names: Sequence[str]) -> list[IPv4Interface]:
    """IPv4 addresses, with their networks, of the interfaces named; loopback last.

    Of all and loopback, if none is named: homes on one machine find each other over it.
    """
    found = [
        IPv4Interface(f"{ip.ip}/{ip.network_prefix}")
        for adapter in ifaddr.get_adapters()
        if not names or adapter.name in names
        for ip in adapter.ips
        if ip.is_IPv4
    ]
    if not names and not any(own.is_loopback for own in found):
        found.append(IPv4Interface("127.0.0.1/8"))
    return sorted(dict.fromkeys(found), key=lambda own: own.is_loopback)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """What an instance says of itself, as far as it may be used."""

    nonce: bytes
    addresses: tuple[str, ...]
    port: int


class _Binding:
    """What hangs on the machine's present addresses."""

    def __init__(self, own: list[IPv4Interface]) -> None:
        self.own = own
        self.servers: list[asyncio.Server] = []
        self.port = 0
        self.zeroconf: AsyncZeroconf | None = None
        self.browser: AsyncServiceBrowser | None = None
        self.info: AsyncServiceInfo | None = None

    def reachable(self, address: str) -> bool:
        """Whether a neighbour's address may be connected to.

        Our own networks and, since mDNS is reflected between networks of one house, private ones;
        loopback only where we are bound to it. Else an announcement could make us show ourselves to
        any host on the Internet.
        """
        theirs = ip_address(address)
        if theirs.is_loopback or all(own.is_loopback for own in self.own):
            return any(theirs in own.network for own in self.own)
        if theirs.is_multicast or theirs.is_unspecified:
            return False
        return theirs.is_private or any(theirs in own.network for own in self.own)


class Discovery:
    """Announces this node, and tells of others by name: `found`, `lost`.

    `start`, then run `watch` and `advertise` as tasks; at the end `stop`. `connected` is called
    with each connection to the port announced.
    """

    def __init__(
        self,
        names: Sequence[str],
        random: Random,
        *,
        connected: Connected,
        found: Callable[[str], None],
        lost: Callable[[str], None],
    ) -> None:
        self._names = names
        self._random = random
        self._connected = connected
        self._found = found
        self._lost = lost
        self._binding = _Binding(interfaces_of(names))
        self._known: set[str] = set()
        self._own_names: tuple[str, ...] = ()
        self._wanted = asyncio.Event()
        self._moved = asyncio.Event()
        self.nonce = random(16)

    def announce(self) -> None:
        """Be seen from now on. Before, we only look."""
        self._wanted.set()

    async def start(self) -> None:
        """Raises OSError if no interface will do."""
        binding = self._binding
        for own in binding.own:
            try:
                server = await asyncio.start_server(
                    self._connected, str(own.ip), binding.port, limit=65_536
                )
            except OSError as error:
                _log.info("no LAN exchange on %s: %s", own.ip, error)
                continue
            binding.servers.append(server)
            binding.port = binding.port or server.sockets[0].getsockname()[1]
        if not binding.servers:
            raise OSError("no interface to listen on")
        addresses = [str(own.ip) for own in binding.own]
        try:
            binding.zeroconf = AsyncZeroconf(interfaces=addresses, ip_version=IPVersion.V4Only)
        except OSError as error:
            loopback = [str(own.ip) for own in binding.own if own.is_loopback]
            if not loopback or loopback == addresses:
                raise
            _log.info("no multicast but on loopback: %s", error)
            binding.zeroconf = AsyncZeroconf(interfaces=loopback, ip_version=IPVersion.V4Only)
        try:
            await binding.zeroconf.zeroconf.async_wait_for_start()
        except zeroconf.Error as error:
            raise OSError("zeroconf does not start") from error
        binding.browser = AsyncServiceBrowser(
            binding.zeroconf.zeroconf, SERVICE, handlers=[self._changed]
        )

    async def stop(self) -> None:
        binding, self._binding = self._binding, _Binding([])
        for server in binding.servers:
            server.close()
        known, self._known = self._known, set()
        for name in known:
            self._lost(name)
        if binding.browser is not None:
            await binding.browser.async_cancel()
        if binding.zeroconf is not None:
            if binding.info is not None:
                with suppress(OSError, zeroconf.Error):
                    await (await binding.zeroconf.async_unregister_service(binding.info))
            await binding.zeroconf.async_close()

    async def watch(self) -> None:
        """Follow the machine from network to network."""
        while True:
            await asyncio.sleep(_WATCH_S)
            own = interfaces_of(self._names)
            if own == self._binding.own:
                continue
            _log.info("the addresses of this machine have changed")
            await self.stop()
            self._binding = _Binding(own)
            try:
                await self.start()
            except OSError as error:
                _log.info("no discovery on this network: %s", error)
                await self.stop()
            self._moved.set()

    async def advertise(self) -> None:
        """Announce ourselves as soon as somebody is waited for; under a new name each hour."""
        await self._wanted.wait()
        while True:
            self._moved.clear()
            try:
                await self._announce(self._binding)
            except (OSError, zeroconf.Error) as error:
                _log.info("could not announce this node: %r", error)
            with suppress(TimeoutError):
                async with asyncio.timeout(_NONCE_S):
                    await self._moved.wait()

    async def _announce(self, binding: _Binding) -> None:
        if binding.zeroconf is None:
            return
        label = self._random(8).hex()
        # Our own names come back from the network, the last one also after it has gone.
        self._own_names = (*self._own_names[1 - _OWN_NAMES :], f"{label}.{SERVICE}")
        self.nonce = self._random(16)
        addresses = [str(own.ip) for own in binding.own if not own.is_loopback]
        info = AsyncServiceInfo(
            SERVICE,
            f"{label}.{SERVICE}",
            port=binding.port,
            parsed_addresses=addresses or [str(own.ip) for own in binding.own],
            properties={"v": "1", "n": self.nonce.hex()},
            server=f"{self._random(8).hex()}.local.",
        )
        binding.info, old = info, binding.info
        # The name is random, so probing for its owner (RFC 6762 8.1) would only cost time.
        await binding.zeroconf.async_register_service(info, cooperating_responders=True)
        if old is not None:
            await binding.zeroconf.async_unregister_service(old)

    def _changed(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        del zeroconf, service_type
        if state_change is ServiceStateChange.Removed:
            if name in self._known:
                self._known.remove(name)
                self._lost(name)
        elif (
            name not in self._own_names
            and name not in self._known
            and len(self._known) < NEIGHBOURS_MAX
        ):
            self._known.add(name)
            self._found(name)

    async def resolve(self, name: str) -> Neighbour:
        """Raises OSError if it does not answer, ValueError if it is not one of ours."""
        binding = self._binding
        if binding.zeroconf is None:
            raise OSError("no network")
        try:
            info = AsyncServiceInfo(SERVICE, name)
            answered = await info.async_request(binding.zeroconf.zeroconf, _RESOLVE_MS)
        except zeroconf.Error as error:
            raise OSError("no service query") from error
        if not answered:
            raise OSError("no answer to the service query")
        nonce = _nonce(info.properties)
        if not info.port:
            raise ValueError("not one of ours")
        addresses = info.parsed_addresses(IPVersion.V4Only)
        usable = [address for address in addresses if binding.reachable(address)]
        return Neighbour(nonce, tuple(usable[:_ADDRESSES_MAX]), info.port)


def _nonce(properties: Mapping[bytes, bytes | None]) -> bytes:
    """What a TXT record says. Raises ValueError if it is none of ours."""
    nonce = bytes.fromhex((properties.get(b"n") or b"").decode("ascii"))
    if properties.get(b"v") != b"1" or len(nonce) != 16:
        raise ValueError("not one of ours")
    return nonce
