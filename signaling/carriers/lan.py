"""The LAN carrier: DNS-SD to find, one short TCP exchange to swap (docs/protocol.md, 4).

The network learns that somebody uses p2pchat and not who. Whoever does not share a slot's secret
can neither tell which slots are here nor read what is swapped. Hostile neighbours may announce and
send what they like: every size, count, rate and time is bounded.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from signaling.carriers import Answer, Offer, Reach, exchange
from signaling.carriers.discovery import Discovery
from signaling.carriers.lan_lines import LanLines, connect
from signaling.envelope import (
    SlotKeys,
    offer_binding,
    open_answer,
    open_offer,
    seal_answer,
    seal_offer,
)
from signaling.rendezvous import Rendezvous
from signaling.tasks import owned_tasks

__all__ = ["LanCarrier"]

_log = logging.getLogger(__name__)
_REPLAYS_MAX = 4_096
"""Offers remembered, so that one overheard cannot be used to make us answer again."""
_EXCHANGE_S = 15.0
_VISITS_MAX = 32
"""Neighbours visited at once: a flood of names must not become one of connections."""
Random = Callable[[int], bytes]


class _Slot:
    """One registration: seeking if it has an `offer`, serving if it has an `answer`."""

    def __init__(
        self, carrier: "LanCarrier", keys: SlotKeys, offer: Offer | None, answer: Answer | None
    ) -> None:
        self.keys = keys
        self.offer = offer
        self.answer = answer
        self.closed = False
        self._carrier = carrier

    def close(self) -> None:
        self.closed = True
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
        interfaces: Sequence[str],
        tasks: asyncio.TaskGroup,
        random: Random,
        wall: Callable[[], float],
    ) -> None:
        self._tasks = tasks
        self._random = random
        self._wall = wall
        self._slots: list[_Slot] = []
        self._instances: dict[str, _Instance] = {}
        self._gate = exchange.Gate()
        self._answered: dict[bytes, None] = {}
        self._discovery = Discovery(
            interfaces,
            random,
            connected=self._connected,
            found=self._found,
            lost=self._lost,
        )
        self._visits = asyncio.Semaphore(_VISITS_MAX)
        self.lines = LanLines(self._discovery, tasks, random)

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
        async with owned_tasks() as tasks:
            carrier = cls(interfaces, tasks, random, wall)
            try:
                await carrier._discovery.start()
                tasks.create_task(carrier._discovery.advertise())
                tasks.create_task(carrier._discovery.watch())
                yield carrier
            finally:
                await carrier._discovery.stop()

    @property
    def ignored(self) -> int:
        """How much of what neighbours said was of no use."""
        return self._discovery.ignored.total()

    def reach(self) -> Reach:
        return Reach(len(self._instances))

    def moved(self) -> None:
        """The machine has slept, or has other addresses (`surroundings`)."""
        self._discovery.moved()

    # -- slots ---------------------------------------------------------------------------------

    def serve(self, slot: SlotKeys, answer: Answer) -> _Slot:
        registration = _Slot(self, slot, None, answer)
        self._slots.append(registration)
        self._discovery.announce()
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
        if slot.offer is None or slot.closed:
            return
        for instance in self._instances.values():
            way = instance.ways.setdefault(slot, Rendezvous())
            way.found(now)
            way.retry(now)
            instance.wake.set()

    # -- neighbours ----------------------------------------------------------------------------

    def _found(self, name: str) -> None:
        instance = _Instance(name)
        now = asyncio.get_running_loop().time()
        for slot in self._slots:
            if slot.offer is not None:
                instance.ways[slot] = Rendezvous()
                instance.ways[slot].found(now)
        pursuit = self._pursue(instance)
        try:
            instance.task = self._tasks.create_task(pursuit)
        except RuntimeError:  # the carrier is closing
            pursuit.close()
            return
        self._instances[name] = instance
        self.lines.found(name)

    def _lost(self, name: str) -> None:
        instance = self._instances.pop(name, None)
        if instance is not None and instance.task is not None:
            instance.task.cancel()
        self.lines.lost(name)

    # -- seeking -------------------------------------------------------------------------------

    async def _pursue(self, instance: _Instance) -> None:
        """Offer to one neighbour whatever is due, until it is gone."""
        loop = asyncio.get_running_loop()
        while True:
            due = [(slot, way) for slot, way in list(instance.ways.items()) if way.due(loop.time())]
            if due:
                try:
                    async with self._visits, asyncio.timeout(_EXCHANGE_S):
                        await self._visit(instance, due)
                except (OSError, EOFError, TimeoutError, ValueError) as error:
                    _log.debug("neighbour %r: %r", instance.name, error)
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
        neighbour = await self._discovery.resolve(instance.name)
        # Shuffled, so that order tells nothing, and that those beyond the bound get their turn.
        order = sorted(due, key=lambda _: self._random(4))[: exchange.TAGS_MAX]
        reader, writer = await connect(neighbour.addresses, neighbour.port)
        try:
            salt = self._random(exchange.SALT)
            tags = [exchange.slot_tag(slot.keys, neighbour.nonce, salt) for slot, _ in order]
            # How many contacts somebody has is nobody's business.
            tags += [self._random(exchange.TAG) for _ in range(-len(tags) % exchange.TAGS_STEP)]
            await exchange.write_tags(writer, salt, tags)
            for index in await exchange.read_known(reader, len(tags)):
                if index >= len(order):
                    raise ValueError("it claims to know a slot that is none")
                self._discovery.keep(instance.name)
                slot, way = order[index]
                if not slot.closed:
                    await self._offer(slot, way, index, reader, writer)
        finally:
            writer.close()

    async def _offer(
        self,
        slot: _Slot,
        way: Rendezvous,
        index: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        assert slot.offer is not None
        loop = asyncio.get_running_loop()
        attempt = await slot.offer()
        if attempt is None:
            way.unwanted(loop.time())
            return
        accepted = False
        try:
            envelope = seal_offer(slot.keys, attempt.description, self._wall(), self._random)
            await exchange.write_offer(writer, index, envelope)
            data = await exchange.read_answer(reader)
            if data is None or slot.closed:
                return
            answer = open_answer(slot.keys, data, offer_binding(envelope))
            if answer is None:
                raise ValueError("an answer that was not sealed for us")
            await attempt.accept(answer)
            accepted = True
            way.answered(loop.time())
        finally:
            if not accepted:
                await attempt.abandon()

    # -- serving -------------------------------------------------------------------------------

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine: asyncio would run that in a task which nobody owns.
        peer = writer.get_extra_info("peername")
        source = str(peer[0]) if peer else ""
        if not self._gate.enter(source, asyncio.get_running_loop().time()):
            writer.transport.abort()
            return
        serving = self._serve_connection(source, reader, writer)
        try:
            self._tasks.create_task(serving)
        except RuntimeError:  # the carrier is closing
            serving.close()
            self._gate.leave(source)
            writer.transport.abort()

    async def _serve_connection(
        self, source: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            async with asyncio.timeout(_EXCHANGE_S) as limit:
                await self._answer(reader, writer, limit)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            _log.debug("LAN exchange: %r", error)
        except Exception:  # noqa: BLE001  (a task's edge)
            _log.exception("answering a neighbour")
        finally:
            self._gate.leave(source)
            writer.close()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: asyncio.Timeout
    ) -> None:
        if await exchange.read_opening(reader) == "line":
            return await self.lines.answer(reader, writer, limit)
        salt, tags = await exchange.read_tags(reader)
        served = {
            exchange.slot_tag(slot.keys, self._discovery.nonce, salt): slot
            for slot in self._slots
            if slot.answer
        }
        known = {index: served[tag] for index, tag in enumerate(tags) if tag in served}
        await exchange.write_known(writer, list(known))
        while known:
            index, envelope = await exchange.read_offer(reader)
            slot = known.pop(index, None)
            if slot is None or slot.answer is None:
                raise ValueError("an offer out of turn")
            offer, binding = open_offer(slot.keys, envelope), offer_binding(envelope)
            if offer is None or binding in self._answered:
                raise ValueError("an offer that was not sealed for us, or not for now")
            self._answered[binding] = None
            if len(self._answered) > _REPLAYS_MAX:
                del self._answered[next(iter(self._answered))]
            answer = None if slot.closed else await slot.answer(offer)
            data = None
            if answer is not None:
                data = seal_answer(slot.keys, answer, binding, self._wall(), self._random)
            await exchange.write_answer(writer, data)
        return None
