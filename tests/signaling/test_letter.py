import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling import letter
from signaling.envelope import ENVELOPE_MAX, SlotKeys
from signaling.letter import PERIOD_S, Kind, greeting_names, open_letter, seal_letter

SLOT = SlotKeys.derive(bytes(32))
OTHER = SlotKeys.derive(b"\x01" * 32)
NAME = bytes(16)
_NOON = 20_000 * PERIOD_S + PERIOD_S / 2


@given(st.sampled_from(Kind), st.binary(max_size=ENVELOPE_MAX))
def test_a_letter_is_opened_as_it_was_sealed(kind: Kind, content: bytes) -> None:
    sealed = seal_letter(SLOT, kind, NAME, content, os.urandom)
    assert open_letter(SLOT, kind, NAME, sealed) == content
    assert len(sealed) <= letter.LETTER_MAX


def test_a_letter_holds_for_its_slot_kind_and_name_alone() -> None:
    sealed = seal_letter(SLOT, Kind.OFFER, NAME, b"content", os.urandom)
    assert open_letter(OTHER, Kind.OFFER, NAME, sealed) is None
    assert open_letter(SLOT, Kind.ANSWER, NAME, sealed) is None
    assert open_letter(SLOT, Kind.OFFER, b"\x01" * 16, sealed) is None
    assert b"content" not in sealed


@given(st.binary(max_size=1_100))
def test_arbitrary_bytes_are_no_letter(data: bytes) -> None:
    assert open_letter(SLOT, Kind.OFFER, NAME, data) is None


@given(st.integers(0, 40), st.integers(1, 255))
def test_a_flipped_byte_is_noticed(place: int, flip: int) -> None:
    sealed = bytearray(seal_letter(SLOT, Kind.OFFER, NAME, b"c" * 16, os.urandom))
    sealed[place] ^= flip
    assert open_letter(SLOT, Kind.OFFER, NAME, bytes(sealed)) is None


def test_names_change_each_day_and_nothing_links_them() -> None:
    days = [greeting_names(SLOT, _NOON + day * PERIOD_S) for day in range(3)]
    assert all(len(names) == 1 for names in days)
    assert len({name for names in days for name in names}) == 3
    assert greeting_names(OTHER, _NOON) != days[0]


@pytest.mark.parametrize("skew", [0, 60, 3_600, 7_000])
@pytest.mark.parametrize("hour", range(24))
def test_clocks_that_differ_by_up_to_two_hours_meet(hour: int, skew: int) -> None:
    now = _NOON + hour * 3_600
    assert set(greeting_names(SLOT, now)) & set(greeting_names(SLOT, now + skew))


def test_names_of_different_kinds_differ() -> None:
    nonce = bytes(16)
    assert letter.offer_name(SLOT, nonce) != letter.answer_name(SLOT, nonce)
    assert len(letter.offer_name(SLOT, nonce)) == letter.NAME_BYTES
