"""Neighbours on the machine's networks: DNS-SD both ways (docs/protocol.md, 4).

Knows sockets and zeroconf, and nothing of slots. Names, host names and nonces are random, fresh at
each start and on each network, and change hourly. What a neighbour announces is checked before it
is used, and what is wrong is counted: nothing it says makes us connect to the Internet.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address

import zeroconf
from zeroconf import IPVersion, ServiceInfo, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from signaling.carriers.interfaces import (
    Interface,
    host_of,
    interfaces_of,
    multicast_of,
    reachable,
    within,
)

__all__ = ["NEIGHBOURS_MAX", "SERVICE", "Discovery", "Neighbour"]

_log = logging.getLogger(__name__)
SERVICE = "_p2pchat._tcp.local."
_ADDRESSES_MAX = 8
NEIGHBOURS_MAX = 256
"""A school has fewer at once, and each costs a task."""
_OWN_NAMES = 4
_RESOLVE_MS = 3_000
_NONCE_S = 3_600.0
_WATCH_S = 1.0
"""How often to see whether zeroconf's cache is flooded."""
_CACHED_MAX = 8_192
"""Names in zeroconf's cache, which it does not bound; a large network has some hundreds."""
Random = Callable[[int], bytes]
Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """What an instance says of itself, as far as it may be used."""

    nonce: bytes
    addresses: tuple[str, ...]
    port: int


class _Binding:
    """What hangs on the machine's present addresses."""

    def __init__(self, own: Sequence[Interface]) -> None:
        self.own = own
        self.servers: list[asyncio.Server] = []
        self.port = 0
        self.zeroconf: AsyncZeroconf | None = None
        self.browser: AsyncServiceBrowser | None = None
        self.info: AsyncServiceInfo | None = None


class Discovery:
    """Announces this node, and tells of others by name: `found`, `lost`.

    `start`, then run `watch` and `advertise` as tasks; at the end `stop`. `connected` is called
    with each connection to the port announced. Whoever watches the machine tells of it: `moved`.
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
        self._known: dict[str, bool] = {}
        """name -> whether it shares a secret with us; the oldest first"""
        self.ignored: Counter[str] = Counter()
        """What neighbours said that was of no use, by why: malformed, unreachable, silent, surplus,
        flood."""
        self._own_names: tuple[str, ...] = ()
        self._wanted = asyncio.Event()
        self._stale = asyncio.Event()
        """set when the binding has to be made anew"""
        self._bound = asyncio.Event()
        """set when it has been"""
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
                    self._connected, host_of(own), binding.port, limit=65_536
                )
            except OSError as error:
                _log.info("no LAN exchange on %s: %s", own.ip, error)
                continue
            binding.servers.append(server)
            binding.port = binding.port or server.sockets[0].getsockname()[1]
        if not binding.servers:
            raise OSError("no interface to listen on")
        binding.zeroconf = _zeroconf(binding.own)
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
        known, self._known = self._known, {}
        for name in known:
            self._lost(name)
        if binding.browser is not None:
            await binding.browser.async_cancel()
        if binding.zeroconf is not None:
            if binding.info is not None:
                with suppress(OSError, zeroconf.Error):
                    await (await binding.zeroconf.async_unregister_service(binding.info))
            await binding.zeroconf.async_close()

    def moved(self) -> None:
        """The machine has slept, or has other addresses: `watch` looks at the network anew."""
        self._stale.set()

    async def watch(self) -> None:
        """Follow the machine from network to network, and through floods."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_WATCH_S):
                    await self._stale.wait()
            flooded = self._cached() > _CACHED_MAX
            if flooded:
                self.ignored["flood"] += 1
            elif not self._stale.is_set():
                continue
            self._stale.clear()
            _log.info("looking at the network anew")
            own = interfaces_of(self._names)
            await self.stop()
            self._binding = _Binding(own)
            try:
                await self.start()
            except OSError as error:
                _log.info("no discovery on this network: %s", error)
                await self.stop()
                # What is there now was tried; the next change is worth another try.
                self._binding = _Binding(own)
            self._bound.set()

    def _cached(self) -> int:
        running = self._binding.zeroconf
        return len(running.zeroconf.cache.cache) if running is not None else 0

    async def advertise(self) -> None:
        """Announce ourselves as soon as somebody is waited for; under a new name each hour."""
        await self._wanted.wait()
        while True:
            self._bound.clear()
            try:
                await self._announce(self._binding)
            except (OSError, zeroconf.Error) as error:
                _log.info("could not announce this node: %r", error)
            with suppress(TimeoutError):
                async with asyncio.timeout(_NONCE_S):
                    await self._bound.wait()

    async def _announce(self, binding: _Binding) -> None:
        if binding.zeroconf is None:
            return
        label = self._random(8).hex()
        # Our own names come back from the network, the last one also after it has gone.
        self._own_names = (*self._own_names[1 - _OWN_NAMES :], f"{label}.{SERVICE}")
        self.nonce = self._random(16)
        # Without scopes, which mean something on this machine only.
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
                del self._known[name]
                self._lost(name)
            return
        if name in self._own_names or name in self._known:
            return
        if len(self._known) >= NEIGHBOURS_MAX and not self._make_room():
            self.ignored["surplus"] += 1
            return
        self._known[name] = False
        self._found(name)

    def keep(self, name: str) -> None:
        """This one shares a secret with us: no flood of others shall push it out."""
        if name in self._known:
            self._known[name] = True

    def _make_room(self) -> bool:
        """Forget the stranger that is here for longest."""
        stranger = next((name for name, kept in self._known.items() if not kept), None)
        if stranger is None:
            return False
        self.ignored["surplus"] += 1
        del self._known[stranger]
        self._lost(stranger)
        return True

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
            self.ignored["silent"] += 1
            raise OSError("no answer to the service query")
        neighbour = _read(info, binding.own)
        if neighbour is None:
            self.ignored["malformed"] += 1
            raise ValueError("not one of ours")
        if not neighbour.addresses:
            self.ignored["unreachable"] += 1
        return neighbour


def _read(info: ServiceInfo, own: Sequence[Interface]) -> Neighbour | None:
    """What an instance says of itself, as far as it may be used; None: it is not one of ours."""
    try:
        nonce = _nonce(info.properties)
    except ValueError:
        return None
    if not info.port:
        return None
    said = dict.fromkeys(info.parsed_scoped_addresses(IPVersion.All))
    usable = [address for address in said if reachable(own, address)]
    # On one network first: what lies behind a router may answer more slowly, or not at all.
    near = sorted(usable, key=lambda one: not any(within(one, mine) for mine in own))
    return Neighbour(nonce, tuple(near[:_ADDRESSES_MAX]), info.port)


def _nonce(properties: Mapping[bytes, bytes | None]) -> bytes:
    """What a TXT record says. Raises ValueError if it is none of ours."""
    nonce = bytes.fromhex((properties.get(b"n") or b"").decode("ascii"))
    if properties.get(b"v") != b"1" or len(nonce) != 16:
        raise ValueError("not one of ours")
    return nonce


def _zeroconf(own: Sequence[Interface]) -> AsyncZeroconf:
    """On all of these; where that cannot be, on IPv4 alone, or on loopback. Raises OSError."""
    tries: list[list[str]] = [
        multicast_of(own),
        multicast_of([one for one in own if one.version == 4]),
        multicast_of([one for one in own if one.is_loopback]),
    ]
    failure = OSError("no address to speak mDNS from")
    for addresses in [one for n, one in enumerate(tries) if one and one not in tries[:n]]:
        versions = {ip_address(address).version for address in addresses}
        version = IPVersion.V4Only if versions == {4} else IPVersion.All
        try:
            return AsyncZeroconf(interfaces=addresses, ip_version=version)
        except (OSError, RuntimeError) as error:  # RuntimeError: an address just went
            _log.info("no multicast on %s: %s", ", ".join(addresses), error)
            failure = OSError(str(error))
    raise failure
