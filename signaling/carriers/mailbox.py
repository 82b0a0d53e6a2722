"""The mailbox carrier: letters left at a server that both ends can reach (docs/protocol.md, 4).

One WebSocket to one server. Who serves a slot leaves a greeting there for as long as it is
connected; who seeks looks for greetings, and answers each with an offer. The server learns neither
names nor what is said; it sees addresses, and that two of them look at one name. It is not trusted:
what it tells is opened with the slot's keys, or counted in `ignored` and forgotten. If it is away
this carrier alone is without effect, and comes back by itself.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress

import aiohttp

from signaling import letter, mailbox
from signaling.address import mailbox_url
from signaling.carriers import Answer, Offer, Reach
from signaling.envelope import (
    SlotKeys,
    offer_binding,
    open_answer,
    open_offer,
    seal_answer,
    seal_offer,
)
from signaling.letter import Kind
from signaling.mailbox import Item, Operation, Put, Unwatch, Watch
from signaling.rate import Rate
from signaling.rendezvous import Rendezvous
from signaling.sdp import Description
from signaling.tasks import owned_tasks

__all__ = ["MailboxCarrier"]

_log = logging.getLogger(__name__)
_FIRST_S, _LONGEST_S = 1.0, 60.0
"""Between attempts to connect: doubling, each between half and all of it."""
_STABLE_S = 30.0
"""A connection that has lasted so long was a good one: the next attempt is soon."""
_CONNECT_S = 10.0
_LINGER_S = 10.0
_HEARTBEAT_S = 30.0
_GREETING_S, _GREET_S = 600, 240.0
"""How long a greeting stays if we vanish, and how often it is left anew."""
_LETTER_S = 60
"""An offer or an answer is of no use any more after that."""
_ANSWER_S = 15.0
_GREETINGS_MAX = 8
"""Instances that greet in one slot: the homes of one person, or what a liar says."""
_OFFERING_MAX, _ANSWERING_MAX = 16, 16
_ANSWERS_BURST, _ANSWERS_PER_S = 16.0, 0.5
"""Per slot; only who has its secret can make an offer at all."""
_REPLAYS_MAX = 4_096
_UNSENT_MAX = 65_536
Random = Callable[[int], bytes]
Heard = Callable[[Item], None]


class _Slot:
    """One registration: seeking if it has an `offer`, serving if it has an `answer`."""

    def __init__(
        self, carrier: "MailboxCarrier", keys: SlotKeys, offer: Offer | None, answer: Answer | None
    ) -> None:
        self.keys = keys
        self.offer = offer
        self.answer = answer
        self.closed = False
        self.wake = asyncio.Event()
        # Who greets here, by nonce; only while connected.
        self.ways: dict[bytes, Rendezvous] = {}
        self.task: asyncio.Task[None] | None = None
        self._carrier = carrier

    def close(self) -> None:
        self.closed = True
        self._carrier.drop(self)

    def retry(self) -> None:
        now = asyncio.get_running_loop().time()
        for way in self.ways.values():
            way.retry(now)
        self.wake.set()


class _Watch:
    """A name that somebody looks at, across connections."""

    def __init__(self, carrier: "MailboxCarrier", name: bytes, heard: Heard) -> None:
        self.name = name
        self.heard = heard
        self._carrier = carrier

    def close(self) -> None:
        self._carrier.forget(self)


class _Connection:
    """One WebSocket: what is to be said on it, and who hears of which name."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, tasks: asyncio.TaskGroup) -> None:
        self.tasks = tasks
        self._socket = socket
        # A server that does not read is none, and the heartbeat will tell.
        self._unsent: deque[Operation] = deque(maxlen=_UNSENT_MAX)
        self._wake = asyncio.Event()
        self._heard: dict[bytes, Heard] = {}

    def say(self, operation: Operation) -> None:
        self._unsent.append(operation)
        self._wake.set()

    def put(self, name: bytes, data: bytes, ttl_s: int, *, held: bool = False) -> None:
        self.say(Put(name, ttl_s, held, data))

    def take_back(self, name: bytes, data: bytes) -> None:
        self.put(name, data, 0)

    def watch(self, name: bytes, heard: Heard) -> None:
        self._heard[name] = heard
        self.say(Watch(name))

    def unwatch(self, name: bytes) -> None:
        if self._heard.pop(name, None) is not None:
            self.say(Unwatch(name))

    def hear(self, item: Item) -> bool:
        """Whether anybody wanted to know."""
        heard = self._heard.get(item.name)
        if heard is None:
            return False
        heard(item)
        return True

    async def send(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._unsent:
                count = min(len(self._unsent), mailbox.OPERATIONS_MAX)
                operations = [self._unsent.popleft() for _ in range(count)]
                try:
                    await self._socket.send_bytes(mailbox.encode(operations))
                except (ConnectionError, aiohttp.ClientError):
                    return  # reading ends too


class MailboxCarrier:
    """`url` as `mailbox_url` gives it. Does nothing until `run`, and connects for a slot only.

    `local`: the address to connect from, if not any. `ignored` counts what the server told that was
    no letter of ours, by reason.
    """

    name = "mailbox"

    def __init__(
        self, url: str, *, random: Random, wall: Callable[[], float], local: str | None = None
    ) -> None:
        self.url = url
        self.ignored: Counter[str] = Counter()
        self.connected = asyncio.Event()
        self._random = random
        self._wall = wall
        self._local = local
        self._slots: dict[_Slot, None] = {}
        self._watches: dict[_Watch, None] = {}
        self._putting = 0
        self._wanted, self._unwanted = asyncio.Event(), asyncio.Event()
        self._stale = asyncio.Event()
        self._connection: _Connection | None = None
        self._away = False
        self._answered: dict[bytes, None] = {}
        self._offering = asyncio.Semaphore(_OFFERING_MAX)
        self._answering = asyncio.Semaphore(_ANSWERING_MAX)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, random: Random, wall: Callable[[], float]
    ) -> AsyncIterator["MailboxCarrier"]:
        """Run for as long as the context lasts. Raises ValueError as `mailbox_url`."""
        carrier = cls(mailbox_url(url), random=random, wall=wall)
        async with owned_tasks() as tasks:
            tasks.create_task(carrier.run())
            yield carrier

    def reach(self) -> Reach:
        return Reach(int(self.connected.is_set()), self.url)

    # -- slots ---------------------------------------------------------------------------------

    def serve(self, slot: SlotKeys, answer: Answer) -> _Slot:
        return self._add(_Slot(self, slot, None, answer))

    def seek(self, slot: SlotKeys, offer: Offer) -> _Slot:
        return self._add(_Slot(self, slot, offer, None))

    @property
    def idle(self) -> bool:
        """Whether nobody needs us."""
        return not (self._slots or self._watches or self._putting)

    def _need(self) -> None:
        """Be connected, or no longer, as may be."""
        if self.idle:
            self._wanted.clear()
            self._unwanted.set()
        else:
            self._wanted.set()
            self._unwanted.clear()

    def _add(self, slot: _Slot) -> _Slot:
        self._slots[slot] = None
        self._need()
        if self._connection is not None:
            self._begin(slot, self._connection)
        return slot

    def drop(self, slot: _Slot) -> None:
        self._slots.pop(slot, None)
        self._need()
        if slot.task is not None:
            slot.task.cancel()
            slot.task = None

    # -- names that are no slot's --------------------------------------------------------------

    def watch(self, name: bytes, heard: Heard) -> _Watch:
        """Hear what lies under a name, and what comes; again after each new connection."""
        watch = _Watch(self, name, heard)
        self._watches[watch] = None
        self._need()
        if self._connection is not None:
            self._connection.watch(name, heard)
        return watch

    def forget(self, watch: _Watch) -> None:
        if self._watches.pop(watch, self) is not self and self._connection is not None:
            self._connection.unwatch(watch.name)
        self._need()

    async def put(self, name: bytes, data: bytes, ttl_s: int) -> None:
        """Leave something under a name, once there is a connection."""
        self._putting += 1
        self._need()
        try:
            await self.connected.wait()
            if self._connection is not None:
                self._connection.put(name, data, ttl_s)
        finally:
            self._putting -= 1
            self._need()

    # -- the connection ------------------------------------------------------------------------

    def reconnect(self) -> None:
        """Connect anew, without waiting: the connection there is may be dead."""
        self._stale.set()

    async def run(self) -> None:
        """Be connected while there are slots, until cancelled."""
        loop = asyncio.get_running_loop()
        wait_s = _FIRST_S
        connector = aiohttp.TCPConnector(local_addr=(self._local, 0) if self._local else None)
        # No proxies or passwords from the environment, no cookies.
        async with aiohttp.ClientSession(
            connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as client:
            while True:
                await self._wanted.wait()
                self._stale.clear()
                begun, away = loop.time(), self._away
                try:
                    await self._connect(client)
                except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                    # Aloud once: it may stay away for long, and we ask often.
                    self._away = True
                    level = logging.INFO if away else logging.WARNING
                    _log.log(level, "the mailbox %s is not there: %r", self.url, error)
                except Exception:  # noqa: BLE001  (a task's edge: the others carry on without us)
                    _log.exception("mailbox %s", self.url)
                if loop.time() - begun > _STABLE_S:
                    wait_s = _FIRST_S
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s * (0.5 + self._random(1)[0] / 512)):
                        await self._stale.wait()
                wait_s = _FIRST_S if self._stale.is_set() else min(_LONGEST_S, 2 * wait_s)

    async def _connect(self, client: aiohttp.ClientSession) -> None:
        async with asyncio.timeout(_CONNECT_S):
            socket = await client.ws_connect(
                self.url,
                max_msg_size=mailbox.MESSAGE_MAX,
                heartbeat=_HEARTBEAT_S,
                timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
            )
        try:
            async with owned_tasks() as tasks:
                connection = _Connection(socket, tasks)
                tasks.create_task(connection.send())
                tasks.create_task(self._leave(socket))
                tasks.create_task(self._renew(socket))
                self._connection = connection
                for slot in list(self._slots):
                    self._begin(slot, connection)
                for watch in self._watches:
                    connection.watch(watch.name, watch.heard)
                self.connected.set()
                self._away = False
                _log.info("mailbox %s: connected", self.url)
                await self._read(socket, connection)
        finally:
            self.connected.clear()
            self._connection = None
            for slot in self._slots:
                slot.task = None
            await socket.close()
        _log.info("mailbox %s: closed, %s", self.url, socket.close_code)

    async def _renew(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        await self._stale.wait()
        await socket.close()

    async def _leave(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Nobody has to know where we are while nobody is looked for."""
        while True:
            await self._unwanted.wait()
            await asyncio.sleep(_LINGER_S)
            if self.idle:
                await socket.close()
                return

    async def _read(self, socket: aiohttp.ClientWebSocketResponse, connection: _Connection) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.BINARY:
                self.ignored["not binary"] += 1
                return
            try:
                items = mailbox.decode_items(message.data)
            except mailbox.Malformed:
                self.ignored["malformed"] += 1
                return
            for item in items:
                if not connection.hear(item):
                    self.ignored["not asked for"] += 1

    def _begin(self, slot: _Slot, connection: _Connection) -> None:
        slot.ways.clear()
        working = self._seek(slot, connection) if slot.offer else self._serve(slot, connection)
        slot.task = _start(connection.tasks, working)

    # -- seeking -------------------------------------------------------------------------------

    async def _seek(self, slot: _Slot, connection: _Connection) -> None:
        """Look for greetings in a slot, and answer each with an offer when it is due."""
        loop = asyncio.get_running_loop()
        names: list[bytes] = []

        def heard(item: Item) -> None:
            self._greeted(slot, item, loop.time())

        async with owned_tasks() as tasks:
            try:
                while True:
                    wanted = letter.greeting_names(slot.keys, self._wall())
                    for name in names:
                        if name not in wanted:
                            connection.unwatch(name)
                    for name in wanted:
                        if name not in names:
                            connection.watch(name, heard)
                    names = wanted
                    slot.wake.clear()
                    for nonce, way in slot.ways.items():
                        if way.due(loop.time()):
                            # One that is gone without a word must not hold up the others.
                            _start(tasks, self._offer(slot, connection, nonce, way))
                    timers = [at for way in slot.ways.values() if (at := way.next_timer())]
                    with suppress(TimeoutError):
                        async with asyncio.timeout_at(min([*timers, loop.time() + _GREET_S])):
                            await slot.wake.wait()
            finally:
                for name in names:
                    connection.unwatch(name)

    def _greeted(self, slot: _Slot, item: Item, now: float) -> None:
        nonce = letter.open_letter(slot.keys, Kind.GREETING, item.name, item.data)
        if nonce is None or len(nonce) != letter.NONCE_BYTES:
            self.ignored["not for us"] += 1
        elif item.ttl_s == 0:
            slot.ways.pop(nonce, None)
        elif nonce not in slot.ways:
            if len(slot.ways) >= _GREETINGS_MAX:
                # The one that greeted first is the likeliest to be gone.
                del slot.ways[next(iter(slot.ways))]
            slot.ways[nonce] = Rendezvous()
            slot.ways[nonce].found(now)
            slot.wake.set()

    async def _offer(
        self, slot: _Slot, connection: _Connection, nonce: bytes, way: Rendezvous
    ) -> None:
        assert slot.offer is not None
        loop = asyncio.get_running_loop()
        attempt, accepted = None, False
        try:
            async with self._offering:
                attempt = await slot.offer()
                if attempt is None:
                    way.unwanted(loop.time())
                    return
                answer = await self._exchange(slot, connection, nonce, attempt.description)
            if answer is not None and not slot.closed:
                await attempt.accept(answer)
                accepted = True
                way.answered(loop.time())
        finally:
            way.failed(loop.time(), self._random(1)[0] / 256)
            slot.wake.set()
            if attempt is not None and not accepted:
                await attempt.abandon()

    async def _exchange(
        self, slot: _Slot, connection: _Connection, nonce: bytes, offer: Description
    ) -> Description | None:
        """The answer to an offer; None: not now, or none in time."""
        keys = slot.keys
        envelope = seal_offer(keys, offer, self._wall(), self._random)
        binding = offer_binding(envelope)
        to, back = letter.offer_name(keys, nonce), letter.answer_name(keys, binding)
        answered: asyncio.Future[Description | None] = asyncio.get_running_loop().create_future()

        def heard(item: Item) -> None:
            data = letter.open_letter(keys, Kind.ANSWER, back, item.data)
            if data is None or item.ttl_s == 0 or answered.done():
                self.ignored["not for us"] += data is None
                return
            answer = open_answer(keys, data, binding) if data else None
            if data and answer is None:
                self.ignored["not for us"] += 1
                return
            answered.set_result(answer)

        connection.watch(back, heard)
        sealed = letter.seal_letter(keys, Kind.OFFER, to, envelope, self._random)
        connection.put(to, sealed, _LETTER_S, held=True)
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await answered
        except TimeoutError:
            return None
        finally:
            connection.unwatch(back)
            connection.take_back(to, sealed)

    # -- serving -------------------------------------------------------------------------------

    async def _serve(self, slot: _Slot, connection: _Connection) -> None:
        """Greet in a slot, and answer the offers that come of it."""
        keys, nonce = slot.keys, self._random(letter.NONCE_BYTES)
        here = letter.offer_name(keys, nonce)
        rate: Rate[None] = Rate(_ANSWERS_BURST, _ANSWERS_PER_S)
        greetings: dict[bytes, bytes] = {}

        async with owned_tasks() as tasks:

            def heard(item: Item) -> None:
                envelope = letter.open_letter(keys, Kind.OFFER, here, item.data)
                if item.ttl_s == 0:
                    return
                offer = open_offer(keys, envelope) if envelope else None
                if envelope is None or offer is None:
                    self.ignored["not for us"] += 1
                    return
                binding = offer_binding(envelope)
                if binding in self._answered:
                    self.ignored["again"] += 1
                    return
                if rate.take(None, asyncio.get_running_loop().time()) != 0:
                    self.ignored["too fast"] += 1
                    return
                self._answered[binding] = None
                if len(self._answered) > _REPLAYS_MAX:
                    del self._answered[next(iter(self._answered))]
                _start(tasks, self._answer(slot, connection, offer, binding))

            connection.watch(here, heard)
            try:
                while True:
                    names = letter.greeting_names(keys, self._wall())
                    for name in names:
                        if name not in greetings:
                            greetings[name] = letter.seal_letter(
                                keys, Kind.GREETING, name, nonce, self._random
                            )
                        connection.put(name, greetings[name], _GREETING_S, held=True)
                    for name in [name for name in greetings if name not in names]:
                        connection.take_back(name, greetings.pop(name))
                    await asyncio.sleep(_GREET_S)
            finally:
                connection.unwatch(here)
                for name, data in greetings.items():
                    connection.take_back(name, data)

    async def _answer(
        self, slot: _Slot, connection: _Connection, offer: Description, binding: bytes
    ) -> None:
        assert slot.answer is not None
        async with self._answering:
            answer = None if slot.closed else await slot.answer(offer)
        data = b""
        if answer is not None:
            data = seal_answer(slot.keys, answer, binding, self._wall(), self._random)
        name = letter.answer_name(slot.keys, binding)
        sealed = letter.seal_letter(slot.keys, Kind.ANSWER, name, data, self._random)
        connection.put(name, sealed, _LETTER_S)


def _start(
    tasks: asyncio.TaskGroup, work: Coroutine[object, object, None]
) -> asyncio.Task[None] | None:
    """None where the group is ending."""
    guarded = _guarded(work)
    try:
        return tasks.create_task(guarded)
    except RuntimeError:
        guarded.close()
        work.close()
        return None


async def _guarded(work: Coroutine[object, object, None]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001  (a task's edge: one slot must not end the others)
        _log.warning("a slot of the mailbox failed: %r", error, exc_info=error)
