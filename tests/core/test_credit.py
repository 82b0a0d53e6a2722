from p2pchat.core.bounds import OUTSTANDING_BYTES
from p2pchat.core.credit import Credit

ROOM, OTHER = b"room", b"other"


def _spent(*chains: bytes, size_bytes: int = OUTSTANDING_BYTES // 2) -> Credit:
    credit = Credit()
    for chain in chains:
        credit.spend(ROOM, chain, 9, size_bytes, bulk=True)
    return credit


def test_credit_ends_with_what_is_on_its_way_and_what_is_aside_goes_beyond() -> None:
    credit = _spent(b"one")
    assert credit.left()
    credit.spend(ROOM, b"two", 9, OUTSTANDING_BYTES // 2, bulk=True)
    assert not credit.left()
    assert credit.left(1)


def test_what_the_peer_has_gives_its_credit_back_once() -> None:
    credit = _spent(b"one", b"two")
    credit.return_(ROOM, {b"one": 8})
    credit.return_(OTHER, {b"one": 9})
    assert not credit.left()
    for _ in range(2):
        credit.return_(ROOM, {b"one": 9})
        assert credit.left()
        assert not credit.left(-OUTSTANDING_BYTES // 2)
    assert [credit.carries(chain) for chain in (b"one", b"two")] == [False, True]


def test_nothing_of_a_room_that_is_gone_is_waited_for() -> None:
    credit = _spent(b"one", b"two")
    credit.forget(OTHER)
    assert not credit.left()
    credit.forget(ROOM)
    assert credit.left(1 - OUTSTANDING_BYTES)


def test_what_is_not_answered_returns_after_a_minute() -> None:
    credit = _spent(b"one", b"two")
    credit.tick()
    assert not credit.left(), "it may have been sent just now"
    credit.spend(ROOM, b"three", 9, 1, bulk=True)
    credit.tick()
    assert credit.left(2 - OUTSTANDING_BYTES)
    assert credit.carries(b"three")


def test_it_is_known_what_is_on_its_way_among_the_bulk() -> None:
    credit = Credit()
    credit.spend(ROOM, b"one", 9, 100, bulk=False)
    assert credit.carries(b"one")
    assert not credit.carries(b"one", bulk=True)
    credit.spend(ROOM, b"one", 19, 10_000, bulk=True)
    assert credit.carries(b"one", bulk=True)
