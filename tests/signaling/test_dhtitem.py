import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from signaling.carriers.dhtitem import (
    ENVELOPE_ROOM,
    ITEM_SIZE,
    Content,
    ItemKeys,
    Kind,
    open_item,
    periods,
    seal_item,
)
from signaling.envelope import SlotKeys, seal_offer
from signaling.sdp import Candidate
from tests.signaling.descriptions import description

SLOT = SlotKeys.derive(bytes(32))
KEYS = ItemKeys.derive(SLOT.offer, 20_000)
DAY = 86_400

contents = st.one_of(
    st.builds(Content, st.just(Kind.EMPTY), st.binary(min_size=8, max_size=8)),
    st.builds(Content, st.just(Kind.HERE), st.binary(min_size=8, max_size=8)),
    st.builds(
        Content,
        st.just(Kind.ENVELOPE),
        st.binary(min_size=8, max_size=8),
        st.binary(min_size=1, max_size=ENVELOPE_ROOM),
    ),
)


@given(contents)
def test_what_is_sealed_is_opened_and_of_one_size(content: Content) -> None:
    value = seal_item(KEYS, content, os.urandom)
    assert len(value) == ITEM_SIZE
    assert open_item(KEYS, value) == content


@given(st.binary(max_size=1_000) | st.binary(min_size=ITEM_SIZE, max_size=ITEM_SIZE))
def test_bytes_of_anybody_say_nothing(value: bytes) -> None:
    assert open_item(KEYS, value) is None


@given(contents, st.integers(0, ITEM_SIZE * 8 - 1))
def test_one_changed_bit_is_noticed(content: Content, bit: int) -> None:
    value = bytearray(seal_item(KEYS, content, os.urandom))
    value[bit // 8] ^= 1 << bit % 8
    assert open_item(KEYS, bytes(value)) is None


@given(st.binary(min_size=ITEM_SIZE - 28, max_size=ITEM_SIZE - 28))
def test_one_who_has_the_keys_cannot_break_the_rules_either(plaintext: bytes) -> None:
    """Whatever was sealed: it is nothing, or a content that we would have sealed so ourselves."""
    value = bytes(12) + AESGCM(KEYS.cipher).encrypt(bytes(12), plaintext, b"p2pchat/1/dht/item")
    content = open_item(KEYS, value)
    if content is not None:
        assert seal_item(KEYS, content, bytes) == value


@pytest.mark.parametrize(
    "plaintext",
    [
        bytes((2, 1)),  # another version
        bytes((1, 3)),  # another kind
        bytes((1, 2)),  # an envelope of no bytes
        bytes((1, 1)) + bytes(8) + b"\0\1x",  # an envelope where there is none
        bytes((1, 2)) + bytes(8) + b"\xff\xff",  # longer than the item
        bytes((1, 2)) + bytes(8) + b"\0\1xx",  # something behind it
    ],
)
def test_a_sealed_item_that_breaks_the_rules_is_none(plaintext: bytes) -> None:
    padded = plaintext.ljust(ITEM_SIZE - 28, b"\0")
    value = bytes(12) + AESGCM(KEYS.cipher).encrypt(bytes(12), padded, b"p2pchat/1/dht/item")
    assert open_item(KEYS, value) is None


def test_an_item_of_one_key_is_nothing_under_another() -> None:
    value = seal_item(KEYS, Content(Kind.HERE), os.urandom)
    others = [
        ItemKeys.derive(SLOT.answer, 20_000),
        ItemKeys.derive(SLOT.offer, 20_001),
        ItemKeys.derive(SlotKeys.derive(b"\x01" * 32).offer, 20_000),
    ]
    assert all(open_item(other, value) is None for other in others)
    assert len({keys.public for keys in (KEYS, *others)}) == 4


def test_keys_do_not_show_in_a_traceback() -> None:
    assert repr(KEYS) == "ItemKeys(…)"


def test_an_item_fits_bep_44_and_holds_the_largest_description() -> None:
    assert len(str(ITEM_SIZE)) + 1 + ITEM_SIZE <= 1_000
    many = description(*(Candidate("host", f"2001:db8::{n:x}", 50_000) for n in range(1, 17)))
    whole = seal_offer(SLOT, many, 0, os.urandom)
    assert len(whole) <= ENVELOPE_ROOM
    with pytest.raises(ValueError, match="larger"):
        seal_item(KEYS, Content(Kind.ENVELOPE, envelope=bytes(ENVELOPE_ROOM + 1)), os.urandom)


@given(st.floats(0, 2**32), st.floats(-4 * 3600, 4 * 3600))
def test_two_clocks_four_hours_apart_look_into_a_period_in_common(at: float, off: float) -> None:
    assert set(periods(at)) & set(periods(max(0.0, at + off)))


def test_in_the_middle_of_a_day_there_is_one_period() -> None:
    assert periods(5 * DAY + DAY / 2) == (5,)
    assert periods(5 * DAY + 60) == (5, 4)
    assert periods(6 * DAY - 60) == (5, 6)
