from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.vouching import Vouches, Word

PEOPLE = [bytes([number]) * 32 for number in range(4)]
WORDS = st.lists(
    st.builds(
        Word, st.sampled_from(PEOPLE), st.sampled_from(PEOPLE), st.booleans(), st.integers(0, 5)
    ),
    max_size=12,
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
def test_the_newest_word_stands_and_nobody_vouches_for_themselves(words: list[Word]) -> None:
    vouches = said(words)
    for subject in PEOPLE:
        for author in PEOPLE:
            own = [word for word in words if (word.author, word.subject) == (author, subject)]
            newest = max((word.time for word in own), default=None)
            expected = author != subject and {
                word.verified for word in own if word.time == newest
            } == {True}
            assert vouches.vouches(author, subject) is expected


def test_a_word_says_whether_it_changes_anything() -> None:
    vouches = Vouches()
    assert not vouches.take(Word(ANN, BOB, verified=False, time=1))
    assert vouches.take(Word(ANN, BOB, verified=True, time=2))
    assert not vouches.take(Word(ANN, BOB, verified=True, time=3))
    assert not vouches.take(Word(ANN, BOB, verified=False, time=2))
    assert vouches.vouchers(BOB, [CAT, ANN]) == [ANN]
    assert vouches.take(Word(ANN, BOB, verified=False, time=3))
    assert vouches.vouchers(BOB, [CAT, ANN]) == []
