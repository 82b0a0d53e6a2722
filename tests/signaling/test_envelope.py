import os
import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from signaling import sdp
from signaling.envelope import (
    ENVELOPE_MAX,
    SlotKeys,
    derive,
    offer_binding,
    open_answer,
    open_offer,
    seal_answer,
    seal_offer,
)
from tests.signaling.descriptions import HOST, HOST6, PUBLIC, description, descriptions

NOW = 1_800_000_000.5
KEYS = SlotKeys.derive(bytes(32))
OFFER = seal_offer(KEYS, description(HOST), NOW, os.urandom)
BINDING = offer_binding(OFFER)
ANSWER = seal_answer(KEYS, description(PUBLIC), BINDING, NOW, os.urandom)


@given(descriptions)
def test_what_is_sealed_is_opened(one: sdp.Description) -> None:
    carried = sdp.unpack(sdp.pack(one))
    offer = seal_offer(KEYS, one, NOW, os.urandom)
    assert len(offer) <= ENVELOPE_MAX
    assert open_offer(KEYS, offer) == carried
    answer = seal_answer(KEYS, one, offer_binding(offer), NOW, os.urandom)
    assert open_answer(KEYS, answer, offer_binding(offer)) == carried


@given(st.binary(max_size=1_200) | st.binary(max_size=300).map(lambda data: OFFER[:14] + data))
def test_arbitrary_bytes_are_not_opened(data: bytes) -> None:
    assert open_offer(KEYS, data) is None
    assert open_answer(KEYS, data, BINDING) is None


@given(st.integers(0, len(OFFER) - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed(at: int, flip: int) -> None:
    changed = bytearray(OFFER)
    changed[at] ^= flip
    assert open_offer(KEYS, bytes(changed)) is None


def test_an_answer_belongs_to_one_offer() -> None:
    another = seal_offer(KEYS, description(HOST), NOW, os.urandom)
    assert open_answer(KEYS, ANSWER, BINDING) == description(PUBLIC)
    assert open_answer(KEYS, ANSWER, offer_binding(another)) is None


def test_an_offer_is_no_answer_and_reflected_to_nobody() -> None:
    assert open_answer(KEYS, OFFER, b"") is None
    assert open_offer(KEYS, ANSWER) is None
    # Not even where kind and binding are made to look right: each kind has its own key.
    assert open_answer(KEYS, b"\x01\x02" + OFFER[2:], b"") is None


def test_another_slot_opens_nothing() -> None:
    assert open_offer(SlotKeys.derive(b"\x01" * 32), OFFER) is None


def test_a_key_holder_who_seals_rubbish_is_refused() -> None:
    head, nonce = b"\x01\x01", bytes(12)
    for plaintext in (b"", bytes(11), bytes(12) + b"rubbish", bytes(900)):
        sealed = AESGCM(KEYS.offer).encrypt(nonce, plaintext, b"p2pchat/1/envelope" + head)
        assert open_offer(KEYS, head + nonce + sealed) is None


def test_the_bytes_are_those_written_down() -> None:
    random = iter((b"n" * 12, b"attempt!"))
    sealed = seal_offer(KEYS, description(HOST), NOW, lambda _size: next(random))
    plaintext = struct.pack("!I", int(NOW)) + b"attempt!" + sdp.pack(description(HOST))
    key = derive(bytes(32), b"p2pchat/1/slot/offer")
    expected = AESGCM(key).encrypt(b"n" * 12, plaintext, b"p2pchat/1/envelope\x01\x01")
    assert sealed == b"\x01\x01" + b"n" * 12 + expected


def test_the_largest_description_fits() -> None:
    many = [sdp.Candidate("host", HOST6.address, port) for port in range(1, 17)]
    largest = sdp.Description("active", "u" * 32, "p" * 64, bytes(32), tuple(many))
    opened = open_offer(KEYS, seal_offer(KEYS, largest, NOW, os.urandom))
    assert opened == largest


@pytest.mark.parametrize("shown", [repr(KEYS), str(KEYS), f"{KEYS}"])
def test_keys_show_in_no_log(shown: str) -> None:
    assert shown == "SlotKeys(…)"
