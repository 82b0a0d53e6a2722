from hypothesis import given
from hypothesis import strategies as st

from signaling.pake import MESSAGE_BYTES, Exchange
from tests.harness.pair import random_from


def _pair(
    one: bytes, other: bytes, contexts: tuple[bytes, bytes] = (b"c", b"c")
) -> tuple[bytes | None, bytes | None]:
    a = Exchange("a", one, contexts[0], random_from(1))
    b = Exchange("b", other, contexts[1], random_from(2))
    assert len(a.message) == len(b.message) == MESSAGE_BYTES
    return a.key(b.message), b.key(a.message)


def test_one_secret_makes_one_key() -> None:
    one, other = _pair(b"secret", b"secret")
    assert one is not None
    assert len(one) == 32
    assert one == other


def test_another_secret_or_context_makes_another_key() -> None:
    for one, other in (_pair(b"secret", b"Secret"), _pair(b"s", b"s", (b"c", b"d"))):
        assert one is not None
        assert other is not None
        assert one != other


def test_two_of_one_side_and_a_reflected_message_make_none() -> None:
    a, again = (Exchange("a", b"s", b"", random_from(seed)) for seed in (1, 2))
    own = a.message
    assert a.key(again.message) is None
    assert again.key(b"B" + again.message[1:]) is None
    assert own != again.message


@given(st.binary(max_size=80))
def test_arbitrary_bytes_never_raise(data: bytes) -> None:
    assert (Exchange("b", b"s", b"", random_from(1)).key(b"A" + data) is None) or len(data) == 32


def test_points_of_small_order_make_no_key() -> None:
    for point in (bytes(32), b"\1" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"):
        assert Exchange("b", b"s", b"", random_from(1)).key(b"A" + point) is None
