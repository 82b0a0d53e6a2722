"""Marks only grow, in whatever order and however often they come."""

from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.receipts import Mark, Receipts

_key = st.sampled_from([b"a", b"b"])
_words = st.lists(
    st.tuples(_key, _key, _key, st.booleans(), st.integers(0, 9)),
    max_size=30,
)


def told(words: list[tuple[bytes, bytes, bytes, bool, int]]) -> Receipts:
    receipts = Receipts()
    for room, person, chain, has_read, seq in words:
        (receipts.read if has_read else receipts.had)(room, person, chain, seq)
    return receipts


@given(_words, st.randoms(use_true_random=False))
def test_the_order_and_number_of_words_do_not_matter(words: list, shuffle: object) -> None:  # type: ignore[type-arg]
    again = [*words, *words]
    shuffle.shuffle(again)  # type: ignore[attr-defined]
    one, other = told(words), told(again)
    assert sorted(one.moved()) == sorted(other.moved())


@given(_words)
def test_who_has_read_something_has_it(words: list) -> None:  # type: ignore[type-arg]
    for mark in told(words).moved():
        assert mark.had >= mark.read


def test_news_is_told_once_with_what_was_known_before() -> None:
    receipts = Receipts()
    assert receipts.had(b"r", b"p", b"c", 4) == -1
    assert receipts.had(b"r", b"p", b"c", 4) is None
    assert receipts.had(b"r", b"p", b"c", 3) is None
    assert receipts.had(b"r", b"p", b"c", 9) == 4
    assert receipts.read(b"r", b"p", b"c", 7) == -1
    assert receipts.moved() == [Mark(b"r", b"p", b"c", 9, 7)]
    assert receipts.moved() == []


def test_an_entry_tells_who_has_it_and_who_has_read_it() -> None:
    receipts = Receipts()
    receipts.restore([Mark(b"r", b"p", b"c", 5, 2), Mark(b"r", b"q", b"c", 1, -1)])
    assert dict(receipts.at(b"r", b"c", 1)) == {b"p": True, b"q": False}
    assert dict(receipts.at(b"r", b"c", 3)) == {b"p": False}
    assert dict(receipts.at(b"r", b"other", 0)) == {}
    assert receipts.moved() == [], "what is on disk has not moved"


def test_of_a_room_that_is_forgotten_nothing_is_kept() -> None:
    receipts = Receipts()
    receipts.had(b"r", b"p", b"c", 5)
    receipts.had(b"s", b"p", b"c", 6)
    receipts.forget(b"r")
    assert [mark.room for mark in receipts.moved()] == [b"s"]
    assert not receipts.of(b"r", b"p")
