"""The carrier over a DHT in memory, where hostile items are easily put; a real one: tests/files."""

import asyncio
import os
import time
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from signaling.carriers import dht as dht_module
from signaling.carriers.dht import DhtCarrier
from signaling.carriers.dhtitem import Content, ItemKeys, Kind, open_item, periods, seal_item
from signaling.dhtnode import DhtUnavailable, Item
from signaling.envelope import SlotKeys, seal_offer
from signaling.sdp import Description
from tests.signaling.descriptions import HOST, PUBLIC, description
from tests.signaling.neighbours import Attempt

SLOT = SlotKeys.derive(bytes(32))
OFFER = description(HOST)
ANSWER = description(PUBLIC, role="active")
_DAY_S = 86_400


class Memory:
    """A DHT that answers at once; `down` and it does not."""

    def __init__(self) -> None:
        self.items: dict[bytes, Item] = {}
        self.down = False
        self.up = asyncio.Event()
        self.up.set()
        self.gets = 0
        self.nodes = 8
        self.changed = asyncio.Event()

    async def ready(self) -> None:
        await self.up.wait()

    async def get(self, key: bytes, newer_than: int) -> Item | None:
        self.gets += 1
        await asyncio.sleep(0)
        if self.down:
            raise DhtUnavailable("down")
        item = self.items.get(key)
        return item if item is not None and item.seq > newer_than else None

    async def put(self, seed: bytes, value: bytes) -> int:
        await asyncio.sleep(0)
        if self.down:
            raise DhtUnavailable("down")
        key = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        self.put_raw(key, value)
        return 8

    def put_raw(self, key: bytes, value: bytes) -> None:
        earlier = self.items.get(key)
        self.items[key] = Item(value, earlier.seq + 1 if earlier else 1)
        self.changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self.changed.clear()
            await self.changed.wait()


class Seeker:
    def __init__(self, *, wanted: bool = True) -> None:
        self.attempts: asyncio.Queue[Attempt] = asyncio.Queue()
        self.wanted = wanted

    async def __call__(self) -> Attempt | None:
        if not self.wanted:
            return None
        attempt = Attempt(OFFER)
        self.attempts.put_nowait(attempt)
        return attempt


class Server:
    def __init__(self, answer: Description | None = ANSWER) -> None:
        self.offers: list[Description] = []
        self.answer = answer

    async def __call__(self, offer: Description) -> Description | None:
        self.offers.append(offer)
        return self.answer


def noon() -> float:
    """Today's: for hours about the end of a period two are looked into, and each has its offer."""
    return time.time() // _DAY_S * _DAY_S + _DAY_S / 2


def carrier(memory: Memory, wall: Callable[[], float] = noon):  # type: ignore[no-untyped-def]
    return DhtCarrier.open(memory, random=os.urandom, wall=wall)


def offers(wall: float | None = None) -> ItemKeys:
    return ItemKeys.derive(SLOT.offer, periods(wall or noon())[0])


def answers(wall: float | None = None) -> ItemKeys:
    return ItemKeys.derive(SLOT.answer, periods(wall or noon())[0])


def standing(memory: Memory, keys: ItemKeys) -> Content | None:
    item = memory.items.get(keys.public)
    return open_item(keys, item.value) if item else None


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_EAGER_LOOK_S", "_EAGER_EACH_S", "_LOOK_S", "_EACH_S", "_ANSWER_LOOK_S"):
        monkeypatch.setattr(dht_module, name, 0.01)
    monkeypatch.setattr(dht_module, "_PUT_AGAIN_S", 0.01)


async def test_two_who_share_a_slot_find_each_other_and_swap() -> None:
    memory, seeker, server = Memory(), Seeker(), Server()
    async with asyncio.timeout(10), carrier(memory) as one, carrier(memory) as two:
        two.serve(SLOT, server)
        one.seek(SLOT, seeker)
        attempt = await seeker.attempts.get()
        assert await attempt.answer == ANSWER
        assert server.offers == [OFFER]
        # Once it has served, the offer is taken back.
        await memory.until(lambda: standing(memory, offers()) == Content(Kind.EMPTY))
    assert not attempt.abandoned.is_set()
    assert seeker.attempts.empty()


async def test_order_of_coming_does_not_matter_and_nobody_there_costs_no_offer() -> None:
    memory, seeker = Memory(), Seeker()
    async with asyncio.timeout(10), carrier(memory) as one:
        one.seek(SLOT, seeker)
        while memory.gets < 3:
            await asyncio.sleep(0.01)
        assert not memory.items
        async with carrier(memory) as two:
            two.serve(SLOT, Server())
            assert await (await seeker.attempts.get()).answer == ANSWER


async def test_who_leaves_takes_back_what_stands_there() -> None:
    memory = Memory()
    async with asyncio.timeout(10), carrier(memory) as one:
        registration = one.serve(SLOT, Server())
        await memory.until(lambda: len(memory.items) == len(periods(noon())))
        sizes = {len(item.value) for item in memory.items.values()}
        registration.close()
        await memory.until(lambda: standing(memory, answers()) == Content(Kind.EMPTY))
        # To look at, there is no difference.
        assert {len(item.value) for item in memory.items.values()} == sizes
        one.serve(SLOT, Server())
        await memory.until(
            lambda: (
                (content := standing(memory, answers())) is not None and content.kind is Kind.HERE
            )
        )
    # So does one whose node ends.
    assert standing(memory, answers()) == Content(Kind.EMPTY)


async def test_a_restarted_server_answers_although_its_earlier_self_did_not() -> None:
    memory, seeker = Memory(), Seeker()
    stale = seal_item(answers(), Content(Kind.HERE, b"earlier!"), os.urandom)
    memory.put_raw(answers().public, stale)
    async with asyncio.timeout(20), carrier(memory) as one:
        one.seek(SLOT, seeker)
        await memory.until(lambda: standing(memory, offers()) is not None)
        async with carrier(memory) as two:
            two.serve(SLOT, Server())
            # The offer that stands is answered.
            assert await (await seeker.attempts.get()).answer == ANSWER


async def test_a_replayed_offer_is_answered_once() -> None:
    memory, server = Memory(), Server()
    envelope = seal_offer(SLOT, OFFER, noon(), os.urandom)
    async with asyncio.timeout(10), carrier(memory) as two:
        two.serve(SLOT, server)
        for _ in range(3):
            value = seal_item(offers(), Content(Kind.ENVELOPE, envelope=envelope), os.urandom)
            memory.put_raw(offers().public, value)
            seen = memory.gets
            while memory.gets < seen + 4:
                await asyncio.sleep(0.01)
        assert len(server.offers) == 1
        assert two.ignored["replayed"] == 2


async def test_an_item_with_an_old_seq_is_counted_and_ignored() -> None:
    memory, server = Memory(), Server()
    keys = offers()

    class Rewinding(Memory):
        async def get(self, key: bytes, newer_than: int) -> Item | None:
            await asyncio.sleep(0)
            return self.items.get(key)

    memory = Rewinding()
    envelope = seal_offer(SLOT, OFFER, noon(), os.urandom)
    value = seal_item(keys, Content(Kind.EMPTY), os.urandom)
    memory.items[keys.public] = Item(value, 7)
    async with asyncio.timeout(10), carrier(memory) as two:
        two.serve(SLOT, server)
        while not two.ignored["old"]:
            await asyncio.sleep(0.01)
        value = seal_item(keys, Content(Kind.ENVELOPE, envelope=envelope), os.urandom)
        memory.items[keys.public] = Item(value, 6)
        before = two.ignored["old"]
        while two.ignored["old"] < before + 3:
            await asyncio.sleep(0.01)
        assert not server.offers


@given(st.lists(st.binary(max_size=1_000) | st.binary(min_size=640, max_size=640), max_size=5))
@settings(max_examples=25, deadline=None)
def test_garbage_is_counted_and_stops_nobody(garbage: list[bytes]) -> None:
    async def meet() -> int:
        memory, seeker = Memory(), Seeker()
        async with asyncio.timeout(20), carrier(memory) as one, carrier(memory) as two:
            two.serve(SLOT, Server())
            await memory.until(lambda: answers().public in memory.items)
            for value in garbage:
                memory.put_raw(offers().public, value)
                seen = two.ignored["malformed"]
                while two.ignored["malformed"] == seen:
                    await asyncio.sleep(0.001)
            one.seek(SLOT, seeker)
            assert await (await seeker.attempts.get()).answer == ANSWER
            return two.ignored["malformed"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dht_module, "_EAGER_LOOK_S", 0.001)
        patch.setattr(dht_module, "_EAGER_EACH_S", 0.001)
        assert asyncio.run(meet()) == len(garbage)


async def test_answers_that_are_not_for_us_are_ignored() -> None:
    memory, seeker = Memory(), Seeker()
    async with asyncio.timeout(10), carrier(memory) as one:
        for content in (
            Content(Kind.HERE, b"12345678"),
            Content(Kind.ENVELOPE, b"12345678", b"no answer"),
        ):
            memory.put_raw(answers().public, seal_item(answers(), content, os.urandom))
            one.seek(SLOT, seeker)
            attempt = await seeker.attempts.get()
        while not one.ignored["not for us"]:
            await asyncio.sleep(0.01)
        assert not attempt.answer.done()
    # And whoever waits in vain is told so when all ends.
    assert attempt.abandoned.is_set()


async def test_a_server_that_is_busy_takes_the_offer_later() -> None:
    memory, seeker, server = Memory(), Seeker(), Server(None)
    async with asyncio.timeout(10), carrier(memory) as one, carrier(memory) as two:
        two.serve(SLOT, server)
        one.seek(SLOT, seeker)
        while len(server.offers) < 2:
            await asyncio.sleep(0.01)
        server.answer = ANSWER
        assert await (await seeker.attempts.get()).answer == ANSWER


async def test_one_that_says_to_be_there_and_does_not_answer_costs_few_offers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dht_module, "_ANSWER_WAIT_S", 0.02)
    monkeypatch.setattr(dht_module, "_TRIES_MAX", 2)
    monkeypatch.setattr("signaling.rendezvous._FIRST_S", 0.01)
    memory, seeker = Memory(), Seeker()
    here = Content(Kind.HERE, b"12345678")
    memory.put_raw(answers().public, seal_item(answers(), here, os.urandom))
    async with asyncio.timeout(10), carrier(memory) as one:
        registration = one.seek(SLOT, seeker)
        for _ in range(2):
            await (await seeker.attempts.get()).abandoned.wait()
        seen = memory.gets
        while memory.gets < seen + 10:
            await asyncio.sleep(0.01)
        assert seeker.attempts.empty()
        # A link was lost, or it says so anew: there is hope again.
        registration.retry()
        await (await seeker.attempts.get()).abandoned.wait()


async def test_what_nobody_wants_is_not_offered() -> None:
    memory, seeker = Memory(), Seeker(wanted=False)
    async with asyncio.timeout(10), carrier(memory) as one, carrier(memory) as two:
        two.serve(SLOT, Server())
        registration = one.seek(SLOT, seeker)
        await memory.until(lambda: answers().public in memory.items)
        while registration.ways[periods(noon())[0]].rendezvous.state != "resting":
            await asyncio.sleep(0.01)
        assert offers().public not in memory.items
        seeker.wanted = True
        registration.retry()
        assert await (await seeker.attempts.get()).answer == ANSWER


async def test_a_dht_that_is_away_for_a_while_does_no_harm() -> None:
    memory, seeker = Memory(), Seeker()
    memory.down = True
    async with asyncio.timeout(10), carrier(memory) as one, carrier(memory) as two:
        two.serve(SLOT, Server())
        one.seek(SLOT, seeker)
        while memory.gets < 4:
            await asyncio.sleep(0.01)
        memory.down = False
        assert await (await seeker.attempts.get()).answer == ANSWER


async def test_a_dht_that_never_comes_delays_nothing() -> None:
    memory = Memory()
    memory.up.clear()
    began = time.monotonic()
    async with carrier(memory) as one:
        one.serve(SLOT, Server())
        one.seek(SLOT, Seeker())
        await asyncio.sleep(0)
    assert time.monotonic() - began < 0.5
    assert not memory.gets


async def test_over_midnight_both_still_meet() -> None:
    day = 86_400 * 20_000
    memory, seeker = Memory(), Seeker()
    async with (
        asyncio.timeout(10),
        carrier(memory, lambda: day - 600) as one,
        carrier(memory, lambda: day + 600) as two,
    ):
        two.serve(SLOT, Server())
        one.seek(SLOT, seeker)
        assert await (await seeker.attempts.get()).answer == ANSWER


async def test_many_slots_are_looked_into_no_more_often_in_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dht_module, "_EAGER_S", 0.0)
    monkeypatch.setattr(dht_module, "_LOOK_S", 10.0)
    monkeypatch.setattr(dht_module, "_EACH_S", 1.0)
    memory = Memory()
    async with carrier(memory) as one:
        slots = [one.seek(SlotKeys.derive(bytes([n]) * 32), Seeker()) for n in range(50)]
        assert 44 < one._pause(slots[0]) < 56
