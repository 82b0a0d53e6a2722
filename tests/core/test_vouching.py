from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.vouching import Vouches, Word

PEOPLE = [bytes([number]) * 32 for number in range(4)]
CHAINS = [b"c", b"d"]
WORDS = st.lists(
    st.builds(
        Word,
        st.sampled_from(PEOPLE),
        st.sampled_from(PEOPLE),
        st.booleans(),
        st.integers(0, 5),
        st.sampled_from(CHAINS),
        st.integers(0, 9),
    ),
    max_size=12,
    unique_by=lambda word: (word.chain, word.seq),
)
ANN, BOB, CAT, _ = PEOPLE


def said(words: list[Word]) -> Vouches:
    vouches = Vouches()
    for word in words:
        vouches.take(word)
    return vouches


@given(WORDS, st.randoms())
def test_what_stands_does_not_depend_on_the_order_of_arrival(words: list[Word], chance) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(words)
    chance.shuffle(shuffled)
    one, other = said(words), said([*shuffled, *words])
    for subject in PEOPLE:
        assert one.vouchers(subject, PEOPLE) == other.vouchers(subject, PEOPLE)


@given(WORDS)
def test_the_newest_of_the_last_words_stands_and_nobody_vouches_for_themselves(
    words: list[Word],
) -> None:
    vouches = said(words)
    for subject in PEOPLE:
        for author in PEOPLE:
            own = [word for word in words if (word.author, word.subject) == (author, subject)]
            in_each = [[word for word in own if word.chain == chain] for chain in CHAINS]
            last = [max(some, key=lambda word: word.seq) for some in in_each if some]
            newest = max((word.time for word in last), default=None)
            expected = author != subject and {
                word.verified for word in last if word.time == newest
            } == {True}
            assert vouches.vouches(author, subject) is expected


def _word(author: bytes, subject: bytes, verified: bool, time: int, seq: int = 0) -> Word:
    """Each in a chain of its own but where `seq` says that it follows."""
    chain = b"c" if seq else bytes([time, verified])
    return Word(author, subject, verified, time, chain, seq)


def test_a_word_says_whether_it_changes_anything() -> None:
    vouches = Vouches()
    assert not vouches.take(_word(ANN, BOB, False, 1))
    assert vouches.take(_word(ANN, BOB, True, 2))
    assert not vouches.take(_word(ANN, BOB, True, 3))
    assert not vouches.take(_word(ANN, BOB, False, 2))
    assert vouches.vouchers(BOB, [CAT, ANN]) == [ANN]
    assert vouches.take(_word(ANN, BOB, False, 3))
    assert vouches.vouchers(BOB, [CAT, ANN]) == []


def test_what_was_said_by_a_clock_ahead_can_be_taken_back_once_it_is_right() -> None:
    vouches = Vouches()
    assert vouches.take(_word(ANN, BOB, True, 9_000_000, seq=1))
    assert vouches.take(_word(ANN, BOB, False, 5, seq=2))
    assert vouches.vouchers(BOB, [ANN]) == []
