"""The DHT carrier: mutable items that hosts of others keep for a while (docs/protocol.md, 4).

Whoever serves a slot says so in an item; whoever seeks it, and finds that, puts an offer into
another, which is answered in the first. Nobody is called, so both look again and again: often
while something has just begun, then less, and never more often in all than a fixed rate. Each of a
slot's two items has one writer. Putting one takes libtorrent up to half a minute where nodes have
gone, so nothing waits for it. What is taken from the DHT may be anybody's: it counts only if it
opens with the slot's keys, and each offer counts once.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from signaling.carriers import Answer, Attempt, Offer, Reach
from signaling.carriers.dhtitem import (
    ENVELOPE_ROOM,
    Content,
    ItemKeys,
    Kind,
    open_item,
    periods,
    seal_item,
)
from signaling.dhtnode import DhtNode, DhtUnavailable
from signaling.envelope import (
    SlotKeys,
    offer_binding,
    open_answer,
    open_offer,
    seal_answer,
    seal_offer,
)
from signaling.rendezvous import Rendezvous
from signaling.sdp import Description
from signaling.tasks import owned_tasks

__all__ = ["DhtCarrier"]

_log = logging.getLogger(__name__)
_EAGER_S = 120.0
"""For so long after it was begun, or a link was lost, a slot is looked into often."""
_EAGER_LOOK_S, _EAGER_EACH_S = 0.5, 0.5
_LOOK_S, _EACH_S = 10.0, 1.0
"""Between two looks; the second is what each slot adds to that, so that the sum is bounded."""
_ANSWER_LOOK_S = 0.25
_ANSWER_WAIT_S = 90.0
"""Two puts, with a look of a server between them that has many slots, or began long ago."""
_ANSWER_STANDS_S = 120.0
_PUT_AGAIN_S = 5.0
_REPUBLISH_S = 2_700.0
"""Nodes forget an item after two hours (BEP 44)."""
_TRIES_MAX = 8
"""Offers to one that says to be there and does not answer: it has gone without a word."""
_OFFERS_MAX = 16
"""Offers that wait for answers at once, each with its socket."""
_REPLAYS_MAX = 4_096
_FAREWELL_S = 1.0
"""How long closing waits for what stands in the DHT to be taken back."""
Random = Callable[[int], bytes]


class _Way:
    """One slot in one period: what we write there, what we read, and how it stands."""

    def __init__(self, write: bytes, read: bytes, period: int) -> None:
        self.write = ItemKeys.derive(write, period)
        self.read = ItemKeys.derive(read, period)
        self.seen = -1
        """The seq up to which what we read is dealt with."""
        self.stands = False
        """Something of ours may be in the DHT."""
        self.saying: Content | None = None
        """What is to stand there, until it does."""
        self.writer: asyncio.Task[None] | None = None
        # Serving: when to say again that we are here, and as what.
        self.due = 0.0
        self.presence = bytes(8)
        # Seeking: what the server said last, and the offers it has left unanswered.
        self.here: bytes | None = None
        self.tries = 0
        self.rendezvous = Rendezvous()


class _Slot:
    """One registration: seeking if it has an `offer`, serving if it has an `answer`."""

    def __init__(
        self, keys: SlotKeys, offer: Offer | None, answer: Answer | None, now: float
    ) -> None:
        self.keys = keys
        self.offer = offer
        self.answer = answer
        self.closed = False
        self.eager_until = now + _EAGER_S
        self.wake = asyncio.Event()
        self.ways: dict[int, _Way] = {}
        self.task: asyncio.Task[None] | None = None

    def close(self) -> None:
        """Its task takes back what stands in the DHT, and ends."""
        self.closed = True
        self.wake.set()

    def retry(self) -> None:
        now = asyncio.get_running_loop().time()
        self.eager_until = now + _EAGER_S
        for way in self.ways.values():
            way.tries = 0
            way.rendezvous.retry(now)
        self.wake.set()

    async def rest(self, seconds: float) -> None:
        """Let time pass, less if something has changed since the last rest."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wake.wait()
        self.wake.clear()


class DhtCarrier:
    """Use `DhtCarrier.open`. `ignored` counts what was found under our keys and was of no use."""

    name = "dht"

    def __init__(
        self,
        node: DhtNode,
        tasks: asyncio.TaskGroup,
        random: Random,
        wall: Callable[[], float],
    ) -> None:
        self._node = node
        self._tasks = tasks
        self._random = random
        self._wall = wall
        self._slots: list[_Slot] = []
        self._offers = asyncio.Semaphore(_OFFERS_MAX)
        self._answered: dict[bytes, None] = {}
        self.ignored: Counter[str] = Counter()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, node: DhtNode, *, random: Random, wall: Callable[[], float]
    ) -> AsyncIterator["DhtCarrier"]:
        """Nothing is waited for: slots are looked into as soon as `node` is ready."""
        async with owned_tasks() as tasks:
            carrier = cls(node, tasks, random, wall)
            try:
                yield carrier
            finally:
                await carrier._farewell()

    def reach(self) -> Reach:
        return Reach(self._node.nodes)

    # -- slots ---------------------------------------------------------------------------------

    def serve(self, slot: SlotKeys, answer: Answer) -> _Slot:
        return self._register(slot, None, answer)

    def seek(self, slot: SlotKeys, offer: Offer) -> _Slot:
        return self._register(slot, offer, None)

    def _register(self, keys: SlotKeys, offer: Offer | None, answer: Answer | None) -> _Slot:
        slot = _Slot(keys, offer, answer, self._now())
        self._slots.append(slot)
        slot.task = self._tasks.create_task(self._run(slot))
        return slot

    async def _farewell(self) -> None:
        leaving = []
        for slot in self._slots:
            slot.close()
            if slot.task is not None and any(way.stands for way in slot.ways.values()):
                leaving.append(slot.task)
        if leaving:
            await asyncio.wait(leaving, timeout=_FAREWELL_S)

    async def _run(self, slot: _Slot) -> None:
        try:
            while not slot.closed:
                try:
                    await self._node.ready()
                    await self._look(slot)
                except DhtUnavailable as error:
                    _log.debug("DHT: %s", error)
                except Exception:  # noqa: BLE001  (a task's edge: one slot must not end others)
                    _log.exception("a slot on the DHT")
                await slot.rest(self._pause(slot))
            for way in slot.ways.values():
                if way.stands:
                    self._say(way, Content(Kind.EMPTY))
            writers = {way.writer for way in slot.ways.values() if way.writer is not None}
            if writers:
                await asyncio.wait(writers)
        finally:
            self._slots.remove(slot)

    def _pause(self, slot: _Slot) -> float:
        now = self._now()
        eager = sum(now < other.eager_until for other in self._slots)
        if now < slot.eager_until:
            pause = max(_EAGER_LOOK_S, _EAGER_EACH_S * eager)
        else:
            pause = max(_LOOK_S, _EACH_S * len(self._slots))
        return pause * self._jitter()

    async def _look(self, slot: _Slot) -> None:
        current = periods(self._wall())
        for period in [period for period in slot.ways if period not in current]:
            # Nobody looks there any more; the item goes by itself.
            del slot.ways[period]
        for period in current:
            way = slot.ways.get(period)
            if slot.offer is not None:
                way = way or _Way(slot.keys.offer, slot.keys.answer, period)
                slot.ways[period] = way
                await self._seek(slot, slot.offer, way)
            elif slot.answer is not None:
                way = way or _Way(slot.keys.answer, slot.keys.offer, period)
                slot.ways[period] = way
                await self._serve(slot, slot.answer, way)

    # -- seeking -------------------------------------------------------------------------------

    async def _seek(self, slot: _Slot, offer: Offer, way: _Way) -> None:
        if way.rendezvous.state == "resting" and not self._is_due(way):
            return
        content, _ = await self._get(way, -1)
        if content is None:
            return
        if content.kind is Kind.EMPTY:
            way.here = None
            return
        if content.presence != way.here:
            way.here, way.tries = content.presence, 0
            way.rendezvous.found(self._now())
            way.rendezvous.retry(self._now())
        if slot.closed or way.tries >= _TRIES_MAX or self._offers.locked():
            return
        if way.rendezvous.due(self._now()):
            async with self._offers:
                await self._offer(slot, offer, way)

    def _is_due(self, way: _Way) -> bool:
        at = way.rendezvous.next_timer()
        return at is not None and at <= self._now()

    async def _offer(self, slot: _Slot, offer: Offer, way: _Way) -> None:
        accepted = False
        attempt = None
        try:
            attempt = await offer()
            if attempt is not None:
                accepted = await self._exchange(slot, attempt, way)
        finally:
            if attempt is None:
                way.tries = 0
                way.rendezvous.unwanted(self._now())
            elif accepted:
                way.tries = 0
                way.rendezvous.answered(self._now())
            else:
                way.tries += 1
                way.rendezvous.failed(self._now(), self._random(1)[0] / 256)
                await attempt.abandon()
        if way.stands:
            self._say(way, Content(Kind.EMPTY))

    async def _exchange(self, slot: _Slot, attempt: Attempt, way: _Way) -> bool:
        """Put the offer, and wait for its answer; whether there was one."""
        envelope = seal_offer(
            slot.keys, attempt.description, self._wall(), self._random, room=ENVELOPE_ROOM
        )
        self._say(way, Content(Kind.ENVELOPE, envelope=envelope))
        binding, until = offer_binding(envelope), self._now() + _ANSWER_WAIT_S
        while not slot.closed and self._now() < until:
            content, seq = await self._get(way, way.seen)
            if content is not None and content.kind is Kind.ENVELOPE:
                answer = open_answer(slot.keys, content.envelope, binding)
                if answer is not None:
                    await attempt.accept(answer)
                    return True
                # To another's offer, or to an earlier one of ours.
                self.ignored["not for us"] += 1
            way.seen = max(way.seen, seq)
            await slot.rest(_ANSWER_LOOK_S)
        return False

    # -- serving -------------------------------------------------------------------------------

    async def _serve(self, slot: _Slot, answer: Answer, way: _Way) -> None:
        if self._now() >= way.due:
            way.presence = self._random(8)
            self._say(way, Content(Kind.HERE, way.presence))
            way.due = self._now() + _REPUBLISH_S * self._jitter()
        content, seq = await self._get(way, way.seen)
        if content is not None and content.kind is Kind.ENVELOPE and not slot.closed:
            offer, binding = (
                open_offer(slot.keys, content.envelope),
                offer_binding(content.envelope),
            )
            if offer is None:
                self.ignored["sealed"] += 1
            elif binding in self._answered:
                self.ignored["replayed"] += 1
            elif not await self._answer(slot, answer, way, offer, binding):
                return  # not now: it is seen again at the next look
        way.seen = max(way.seen, seq)

    async def _answer(
        self, slot: _Slot, answer: Answer, way: _Way, offer: Description, binding: bytes
    ) -> bool:
        answered = await answer(offer)
        if answered is None:
            return False
        self._answered[binding] = None
        if len(self._answered) > _REPLAYS_MAX:
            del self._answered[next(iter(self._answered))]
        envelope = seal_answer(
            slot.keys, answered, binding, self._wall(), self._random, room=ENVELOPE_ROOM
        )
        # Whatever comes of it, the answer is good for one link, which is made soon or never.
        way.due = self._now() + _ANSWER_STANDS_S
        self._say(way, Content(Kind.ENVELOPE, way.presence, envelope))
        return True

    # -- the DHT -------------------------------------------------------------------------------

    async def _get(self, way: _Way, newer_than: int) -> tuple[Content | None, int]:
        """What stands there, and its seq; None where that is nothing of use."""
        item = await self._node.get(way.read.public, newer_than)
        if item is None:
            return None, newer_than
        if item.seq <= newer_than:
            self.ignored["old"] += 1
            return None, newer_than
        content = open_item(way.read, item.value)
        if content is None:
            self.ignored["malformed"] += 1
        return content, item.seq

    def _say(self, way: _Way, content: Content) -> None:
        """Let this stand where we write, as soon as that can be."""
        way.stands, way.saying = True, content
        if way.writer is None or way.writer.done():
            way.writer = self._tasks.create_task(self._write(way))

    async def _write(self, way: _Way) -> None:
        """One put after the other: two at once would sign different items with one seq."""
        while (content := way.saying) is not None:
            nodes = 0
            try:
                if content.kind is not Kind.EMPTY:
                    await self._node.ready()
                value = seal_item(way.write, content, self._random)
                nodes = await self._node.put(way.write.seed, value)
            except DhtUnavailable as error:
                _log.debug("DHT: %s", error)
            except Exception:  # noqa: BLE001  (a task's edge: one slot must not end others)
                _log.exception("putting an item")
            if way.saying is not content:
                continue
            if nodes or content.kind is Kind.EMPTY:  # which goes by itself, should this have failed
                way.saying, way.stands = None, content.kind is not Kind.EMPTY
            else:
                await asyncio.sleep(_PUT_AGAIN_S)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _jitter(self) -> float:
        """Around 1, so that nodes do not fall into step."""
        return 0.9 + self._random(1)[0] / 1280
