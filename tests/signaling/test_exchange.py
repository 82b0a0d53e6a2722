import asyncio
import struct
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.carriers import exchange
from signaling.carriers.exchange import TAGS_MAX, Gate
from signaling.envelope import ENVELOPE_MAX, SlotKeys

KEYS = SlotKeys.derive(bytes(32))


def read(decode: Callable[[asyncio.StreamReader], Awaitable[object]], data: bytes) -> object:
    """What `decode` makes of a stream of `data`: its result, or "bad"."""

    async def run() -> object:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        try:
            return await decode(reader)
        except (ValueError, asyncio.IncompleteReadError):
            return "bad"

    return asyncio.run(run())


@given(st.binary(max_size=64))
def test_arbitrary_bytes_are_tags_or_an_error(data: bytes) -> None:
    found = read(exchange.read_tags, data)
    assert found == "bad" or (isinstance(found, tuple) and all(len(tag) == 16 for tag in found[1]))


@given(st.binary(max_size=64))
def test_arbitrary_bytes_are_offers_and_answers_in_bounds_or_an_error(data: bytes) -> None:
    known = read(lambda reader: exchange.read_known(reader, 4), data)
    assert known == "bad" or (isinstance(known, list) and set(known) <= set(range(4)))
    offer = read(exchange.read_offer, data)
    assert offer == "bad" or (isinstance(offer, tuple) and offer[1])
    answer = read(exchange.read_answer, data)
    assert answer is None or answer == "bad" or (isinstance(answer, bytes) and answer)


@pytest.mark.parametrize(
    ("decode", "data"),
    [
        (exchange.read_opening, b"GET / HTTP/1.1\r\n"),
        (exchange.read_opening, b"P2PL\x02\x00\x00"),
        (exchange.read_tags, bytes(16) + struct.pack("!H", TAGS_MAX + 1) + bytes(16 * 300)),
        (exchange.read_offer, struct.pack("!HH", 0, 0)),
        (exchange.read_offer, struct.pack("!HH", 0, ENVELOPE_MAX + 1) + bytes(2_000)),
        (exchange.read_answer, struct.pack("!H", ENVELOPE_MAX + 1) + bytes(2_000)),
    ],
)
def test_what_is_out_of_bounds_is_refused(
    decode: Callable[[asyncio.StreamReader], Awaitable[object]], data: bytes
) -> None:
    assert read(decode, data) == "bad"


def test_a_server_cannot_claim_more_than_was_asked() -> None:
    for indexes in ((0, 1, 2), (2,), (65_535,)):
        data = struct.pack(f"!H{len(indexes)}H", len(indexes), *indexes)
        assert read(lambda reader: exchange.read_known(reader, 2), data) == "bad"
    doubled = struct.pack("!HHH", 2, 1, 1)
    assert read(lambda reader: exchange.read_known(reader, 2), doubled) == [1]


def test_a_tag_changes_with_the_nonce_the_salt_and_the_slot() -> None:
    values = (bytes(16), b"\x01" * 16)
    tags = {
        exchange.slot_tag(keys, nonce, salt)
        for keys in (KEYS, SlotKeys.derive(b"\x01" * 32))
        for nonce in values
        for salt in values
    }
    assert len(tags) == 8


def test_one_source_cannot_take_every_place() -> None:
    gate = Gate()
    assert sum(gate.enter("10.0.0.1", 0) for _ in range(100)) == Gate.OPEN_EACH
    assert gate.enter("10.0.0.2", 0)
    gate.leave("10.0.0.1")
    assert gate.enter("10.0.0.1", 0)


def test_all_sources_together_are_bounded() -> None:
    gate = Gate()
    entered = sum(gate.enter(f"10.0.{n}.1", 0) for n in range(250))
    assert entered == Gate.OPEN_MAX


def test_a_source_that_hurries_is_slowed_to_the_rate() -> None:
    gate, entered = Gate(), 0
    for step in range(2_000):
        if gate.enter("10.0.0.1", step / 100):
            gate.leave("10.0.0.1")
            entered += 1
    assert entered == pytest.approx(Gate.BURST + 20 * Gate.PER_S, abs=2)


def test_what_a_gate_remembers_is_bounded() -> None:
    gate = Gate()
    for n in range(5_000):
        if gate.enter(f"10.1.{n // 256}.{n % 256}", 0):
            gate.leave(f"10.1.{n // 256}.{n % 256}")
    assert len(gate._left) <= 1_024
    assert not gate._open
