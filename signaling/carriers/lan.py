"""The LAN carrier: DNS-SD to find, one short TCP exchange to swap (docs/protocol.md, 4).

Names, host names and nonces are random and fresh at each start, so that the network learns that
somebody uses p2pchat and not who. Whoever does not share a slot's secret can neither tell which
slots are here nor read what is swapped. Hostile neighbours may announce and send what they like:
every size, count and time is bounded.
"""

import asyncio
import hmac
import logging
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address

import ifaddr
from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from signaling.carriers import Answer, Offer
from signaling.envelope import (
    ENVELOPE_MAX,
    SlotKeys,
    offer_binding,
    open_answer,
    open_offer,
    seal_answer,
    seal_offer,
)
from signaling.rendezvous import Rendezvous
from signaling.tasks import owned_tasks

__all__ = ["SERVICE", "LanCarrier", "addresses_of"]

_log = logging.getLogger(__name__)
SERVICE = "_p2pchat._tcp.local."
_MAGIC = b"P2PL\x01"
_TAGS_MAX = 256
_INSTANCES_MAX = 256
"""Neighbours looked at; a school has fewer at once, and each costs a task."""
_CONNECTIONS_MAX = 32
_EXCHANGE_S = 15.0
_CONNECT_S = 2.0
_NONCE_S = 3_600.0
Random = Callable[[int], bytes]


def addresses_of(interfaces: Sequence[str]) -> list[str]:
    """IPv4 addresses of the named interfaces, of all if none is named; loopback always last."""
    found: list[str] = []
    for adapter in ifaddr.get_adapters():
        if interfaces and adapter.name not in interfaces:
            continue
        found += [str(ip.ip) for ip in adapter.ips if ip.is_IPv4]
    if not interfaces and "127.0.0.1" not in found:
        found.append("127.0.0.1")
    return sorted(dict.fromkeys(found), key=lambda address: ip_address(address).is_loopback)


class _Slot:
    """One registration; `seeking` or serving."""

    def __init__(
        self, carrier: "LanCarrier", keys: SlotKeys, offer: Offer | None, answer: Answer | None
    ) -> None:
        self.keys = keys
        self.offer = offer
        self.answer = answer
        self._carrier = carrier

    def close(self) -> None:
        self._carrier.drop(self)

    def retry(self) -> None:
        self._carrier.again(self)


class _Instance:
    """A neighbour, and how we stand with it in each slot that we seek."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ways: dict[_Slot, Rendezvous] = {}
        self.wake = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class LanCarrier:
    """Use `LanCarrier.open`."""

    name = "lan"

    def __init__(
        self,
        addresses: list[str],
        tasks: asyncio.TaskGroup,
        random: Random,
        wall: Callable[[], float],
    ) -> None:
        self._addresses = addresses
        self._tasks = tasks
        self._random = random
        self._wall = wall
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._servers: list[asyncio.Server] = []
        self._port = 0
        self._label = ""
        self._nonce = b""
        self._info: AsyncServiceInfo | None = None
        self._slots: list[_Slot] = []
        self._instances: dict[str, _Instance] = {}
        self._connections = 0
        self._announce = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        interfaces: Sequence[str],
        *,
        random: Random,
        wall: Callable[[], float],
    ) -> AsyncIterator["LanCarrier"]:
        """Run on the named interfaces (all, if none is named). Raises OSError if none will do."""
        addresses = addresses_of(interfaces)
        async with owned_tasks() as tasks:
            carrier = cls(addresses, tasks, random, wall)
            await carrier._start()
            tasks.create_task(carrier._advertise())
            try:
                yield carrier
            finally:
                await carrier._stop()

    # -- slots ---------------------------------------------------------------------------------

    def serve(self, slot: SlotKeys, answer: Answer) -> _Slot:
        registration = _Slot(self, slot, None, answer)
        self._slots.append(registration)
        self._announce.set()
        return registration

    def seek(self, slot: SlotKeys, offer: Offer) -> _Slot:
        registration = _Slot(self, slot, offer, None)
        self._slots.append(registration)
        self.again(registration)
        return registration

    def drop(self, slot: _Slot) -> None:
        if slot in self._slots:
            self._slots.remove(slot)
        for instance in self._instances.values():
            instance.ways.pop(slot, None)

    def again(self, slot: _Slot) -> None:
        now = asyncio.get_running_loop().time()
        if slot.offer is None or slot not in self._slots:
            return
        for instance in self._instances.values():
            way = instance.ways.setdefault(slot, Rendezvous())
            way.found(now)
            way.retry(now)
            instance.wake.set()

    # -- coming and going ----------------------------------------------------------------------

    async def _start(self) -> None:
        loopback_only = all(ip_address(address).is_loopback for address in self._addresses)
        for address in self._addresses:
            try:
                server = await asyncio.start_server(
                    self._serve_connection, address, self._port, limit=65_536
                )
            except OSError as error:
                _log.info("no LAN exchange on %s: %s", address, error)
                continue
            self._servers.append(server)
            self._port = self._port or server.sockets[0].getsockname()[1]
        if not self._servers:
            raise OSError("no interface to listen on")
        _log.debug("LAN exchange on port %d, loopback only: %s", self._port, loopback_only)
        self._zeroconf = AsyncZeroconf(interfaces=self._addresses, ip_version=IPVersion.V4Only)
        await self._zeroconf.zeroconf.async_wait_for_start()
        self._browser = AsyncServiceBrowser(
            self._zeroconf.zeroconf, SERVICE, handlers=[self._changed]
        )

    async def _advertise(self) -> None:
        """Announce ourselves as soon as somebody is waited for; under a new name each hour."""
        await self._announce.wait()
        while True:
            self._nonce = self._random(16)
            self._label = self._random(8).hex()
            reachable = [
                address for address in self._addresses if not ip_address(address).is_loopback
            ]
            info = AsyncServiceInfo(
                SERVICE,
                f"{self._label}.{SERVICE}",
                port=self._port,
                parsed_addresses=reachable or self._addresses,
                properties={"v": "1", "n": self._nonce.hex()},
                server=f"{self._random(8).hex()}.local.",
            )
            assert self._zeroconf is not None
            # The name is random, so probing for its owner (RFC 6762 8.1) would only cost time.
            await self._zeroconf.async_register_service(info, cooperating_responders=True)
            self._info, old = info, self._info
            if old is not None:
                await self._zeroconf.async_unregister_service(old)
            await asyncio.sleep(_NONCE_S)

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        if self._browser is not None:
            await self._browser.async_cancel()
        if self._zeroconf is not None:
            if self._info is not None:
                with suppress(Exception):
                    await self._zeroconf.async_unregister_service(self._info)
            await self._zeroconf.async_close()

    def _changed(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        del zeroconf, service_type
        if name == f"{self._label}.{SERVICE}":
            return
        if state_change is ServiceStateChange.Removed:
            instance = self._instances.pop(name, None)
            if instance is not None and instance.task is not None:
                instance.task.cancel()
        elif name not in self._instances and len(self._instances) < _INSTANCES_MAX:
            instance = self._instances[name] = _Instance(name)
            now = asyncio.get_running_loop().time()
            for slot in self._slots:
                if slot.offer is not None:
                    instance.ways[slot] = Rendezvous()
                    instance.ways[slot].found(now)
            instance.task = self._tasks.create_task(self._pursue(instance))

    # -- seeking -------------------------------------------------------------------------------

    async def _pursue(self, instance: _Instance) -> None:
        """Offer to one neighbour whatever is due, until it is gone."""
        loop = asyncio.get_running_loop()
        while True:
            due = [(slot, way) for slot, way in list(instance.ways.items()) if way.due(loop.time())]
            if due:
                try:
                    async with asyncio.timeout(_EXCHANGE_S):
                        await self._visit(instance, due[:_TAGS_MAX])
                except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
                    _log.debug("neighbour %s: %r", instance.name, error)
                except Exception:  # noqa: BLE001  (a task's edge: one neighbour must not end others)
                    _log.exception("visiting a neighbour")
                for _, way in due:
                    way.failed(loop.time(), self._random(1)[0] / 256)
                continue
            timers = [at for way in instance.ways.values() if (at := way.next_timer()) is not None]
            instance.wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(timers) if timers else None):
                    await instance.wake.wait()

    async def _visit(self, instance: _Instance, due: list[tuple[_Slot, Rendezvous]]) -> None:
        info = AsyncServiceInfo(SERVICE, instance.name)
        assert self._zeroconf is not None
        if not await info.async_request(self._zeroconf.zeroconf, 3_000):
            raise OSError("no answer to the service query")
        text = info.properties.get(b"n") or b""
        nonce = bytes.fromhex(text.decode("ascii", "replace"))
        if len(nonce) != 16 or not info.port:
            raise ValueError("not one of ours")
        reader, writer = await self._connect(info.parsed_addresses(IPVersion.V4Only), info.port)
        try:
            order = sorted(due, key=lambda _: self._random(4))
            tags = [_tag(slot.keys, nonce) for slot, _ in order]
            writer.write(_MAGIC + struct.pack("!H", len(tags)) + b"".join(tags))
            await writer.drain()
            (count,) = struct.unpack("!H", await reader.readexactly(2))
            if count > len(tags):
                raise ValueError("more indexes than tags")
            indexes = struct.unpack(f"!{count}H", await reader.readexactly(2 * count))
            for index in dict.fromkeys(indexes):
                if index >= len(order):
                    raise ValueError("index out of range")
                slot, way = order[index]
                await self._offer(slot, way, index, reader, writer)
        finally:
            writer.close()

    async def _connect(
        self, addresses: Sequence[str], port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ours = all(ip_address(address).is_loopback for address in self._addresses)
        failure: Exception = OSError("no address to connect to")
        for address in addresses[:8]:
            if ours and not ip_address(address).is_loopback:
                continue
            try:
                async with asyncio.timeout(_CONNECT_S):
                    return await asyncio.open_connection(address, port, limit=65_536)
            except (OSError, TimeoutError) as error:
                failure = error
        raise failure

    async def _offer(
        self,
        slot: _Slot,
        way: Rendezvous,
        index: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        assert slot.offer is not None
        attempt = await slot.offer()
        if attempt is None:
            way.answered()
            return
        accepted = False
        try:
            envelope = seal_offer(slot.keys, attempt.description, self._wall(), self._random)
            writer.write(struct.pack("!HH", index, len(envelope)) + envelope)
            await writer.drain()
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            if not 0 < length <= ENVELOPE_MAX:
                raise ValueError("declined")
            data = await reader.readexactly(length)
            answer = open_answer(slot.keys, data, offer_binding(envelope))
            if answer is None:
                raise ValueError("an answer that was not sealed for us")
            await attempt.accept(answer)
            accepted = True
            way.answered()
        finally:
            if not accepted:
                await attempt.abandon()

    # -- serving -------------------------------------------------------------------------------

    async def _serve_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._connections += 1
        try:
            if self._connections <= _CONNECTIONS_MAX:
                async with asyncio.timeout(_EXCHANGE_S):
                    await self._answer(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            _log.debug("LAN exchange: %r", error)
        except Exception:  # noqa: BLE001  (a task's edge)
            _log.exception("answering a neighbour")
        finally:
            self._connections -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readexactly(len(_MAGIC)) != _MAGIC:
            raise ValueError("magic")
        (count,) = struct.unpack("!H", await reader.readexactly(2))
        if count > _TAGS_MAX:
            raise ValueError("too many tags")
        tags = [await reader.readexactly(16) for _ in range(count)]
        served = {_tag(slot.keys, self._nonce): slot for slot in self._slots if slot.answer}
        known = {index: served[tag] for index, tag in enumerate(tags) if tag in served}
        writer.write(struct.pack(f"!H{len(known)}H", len(known), *known))
        await writer.drain()
        for _ in range(len(known)):
            index, length = struct.unpack("!HH", await reader.readexactly(4))
            if index not in known or not 0 < length <= ENVELOPE_MAX:
                raise ValueError("offer")
            envelope = await reader.readexactly(length)
            slot = known[index]
            offer = open_offer(slot.keys, envelope)
            if offer is None or slot.answer is None:
                raise ValueError("an offer that was not sealed for us")
            answer = await slot.answer(offer)
            data = b""
            if answer is not None:
                data = seal_answer(
                    slot.keys, answer, offer_binding(envelope), self._wall(), self._random
                )
            writer.write(struct.pack("!H", len(data)) + data)
            await writer.drain()


def _tag(keys: SlotKeys, nonce: bytes) -> bytes:
    return hmac.digest(keys.tag, b"p2pchat/1/lan" + nonce, "sha256")[:16]
