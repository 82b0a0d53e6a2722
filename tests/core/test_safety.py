import re

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.core.safety import WORD_BITS, safety_number

KEYS = st.binary(min_size=32, max_size=32)
few = settings(max_examples=15, deadline=None)


@few
@given(KEYS, KEYS)
def test_both_sides_see_the_same(one: bytes, other: bytes) -> None:
    number = safety_number(one, other)
    assert number == safety_number(other, one)
    assert len(number.digits) == 12
    assert all(re.fullmatch(r"\d{5}", group) for group in number.digits)
    assert len(number.words) == 8
    assert number.qr == "P2PCHAT:1:" + "".join(number.digits)


@few
@given(KEYS, KEYS, st.integers(0, 255))
def test_every_change_of_a_key_changes_it(one: bytes, other: bytes, bit: int) -> None:
    changed = bytearray(other)
    changed[bit // 8] ^= 1 << bit % 8
    before, after = safety_number(one, other), safety_number(one, bytes(changed))
    assert before.digits != after.digits
    assert before.words != after.words


def test_the_number_of_two_keys_is_the_one_of_the_protocol() -> None:
    number = safety_number(bytes(range(32)), bytes(range(32, 64)))
    assert (" ".join(number.digits), " ".join(number.words)) == (EXPECTED, WORDS)
    assert WORD_BITS == 88


EXPECTED = "32948 54556 79863 68381 69030 78628 91885 84996 08655 67525 30431 56263"
WORDS = "vault champion correct palm bag squeeze squirrel payment"
