import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.bounds import VISIBLE_ROOMS_MAX
from p2pchat.core.knock import Knock, Listing, VisibleRoom, check_words
from p2pchat.text import NAME_BYTES_MAX, printable
from signaling.knocking import CHECK_BITS, PAYLOAD_MAX

TAG = bytes(8)
ROOM = VisibleRoom(TAG, "crew")


def test_a_listing_and_a_knock_come_back_as_they_were() -> None:
    listing = Listing(TAG, "Ann", person=True, rooms=(ROOM,))
    assert Listing.decode(listing.encode()) == listing
    assert Knock.decode(Knock("Bob", TAG).encode()) == Knock("Bob", TAG)


def test_the_largest_listing_fits_a_frame() -> None:
    name = "x" * NAME_BYTES_MAX
    full = Listing(TAG, name, person=True, rooms=(VisibleRoom(TAG, name),) * VISIBLE_ROOMS_MAX)
    assert len(full.encode()) <= PAYLOAD_MAX
    assert Listing.decode(full.encode()) == full


@pytest.mark.parametrize(
    "said",
    [
        [b"short", "Ann", True, []],
        [TAG, "x" * 65, True, []],
        [TAG, "Ann", 1, []],
        [TAG, "Ann", True, [[TAG, "crew"]] * (VISIBLE_ROOMS_MAX + 1)],
        [TAG, "Ann", True, [[b"", "crew"]]],
        [TAG],
        {},
    ],
)
def test_a_listing_out_of_bounds_is_none(said: object) -> None:
    assert Listing.decode(msgspec.msgpack.encode(said)) is None


@given(st.binary(max_size=PAYLOAD_MAX))
def test_no_bytes_raise(data: bytes) -> None:
    Listing.decode(data)
    Knock.decode(data)


@given(st.text(max_size=NAME_BYTES_MAX))
def test_whatever_a_name_is_it_can_be_shown(name: str) -> None:
    try:
        data = Knock(name, TAG).encode()
    except UnicodeEncodeError:
        return
    knock = Knock.decode(data)
    assert knock is not None
    assert knock.name == printable(knock.name)
    assert 0 < len(knock.name.encode()) <= NAME_BYTES_MAX


@given(st.integers(0, (1 << CHECK_BITS) - 1), st.integers(0, (1 << CHECK_BITS) - 1))
def test_words_are_three_and_differ_where_the_check_does(one: int, other: int) -> None:
    assert len(check_words(one).split()) == 3
    assert (check_words(one) == check_words(other)) == (one == other)
