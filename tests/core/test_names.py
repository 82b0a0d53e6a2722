import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.names import Claim, Rank, clashes, skeleton

ALIKE = [
    ("Bob", "bob"),
    ("Bob", "B\N{CYRILLIC SMALL LETTER O}b"),
    ("Bob", "B0b"),
    ("Bob", " Bob\N{ZERO WIDTH JOINER} "),
    ("Bob", "\N{FULLWIDTH LATIN CAPITAL LETTER B}ob"),
    ("Rene", "Ren\N{LATIN SMALL LETTER E WITH ACUTE}"),
    ("Bill", "BiIl"),
    ("Mary Ann", "MaryAnn"),
    ("Tom", "Torn"),
    ("Paula", "\N{CYRILLIC CAPITAL LETTER ER}aula"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_names_that_look_alike_have_one_skeleton(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)


@pytest.mark.parametrize(
    ("one", "other"), [("Bob", "Rob"), ("Ann", "Anna"), ("Ann", "Jan"), ("李雷", "韩梅")]
)
def test_other_names_have_others(one: str, other: str) -> None:
    assert skeleton(one) != skeleton(other)


@given(st.text(min_size=1))
def test_any_text_has_one_that_is_not_empty(name: str) -> None:
    assert skeleton(name)
    assert skeleton(name) == skeleton(name.casefold())


def claim(number: int, rank: Rank, shown: str, own: str = "", since: float = 0.0) -> Claim:
    return Claim(rank, since, bytes([number]) * 32, shown, own or shown)


ONE, TWO, THREE = (bytes([number]) * 32 for number in (1, 2, 3))


def test_who_comes_later_under_a_name_clashes_with_who_had_it() -> None:
    first = claim(2, Rank.CONTACT, "Bob", since=1.0)
    later = claim(1, Rank.CONTACT, "B0b", since=2.0)
    other = claim(3, Rank.MEMBER, "Cat")
    assert clashes([later, first, other]) == {ONE: TWO}


def test_the_verified_key_has_the_better_claim_and_is_never_marked() -> None:
    first = claim(1, Rank.CONTACT, "Bob", since=1.0)
    verified = claim(2, Rank.VERIFIED, "Bob", since=2.0)
    also = claim(3, Rank.VERIFIED, "Bob", since=3.0)
    assert clashes([first, verified, also]) == {ONE: TWO}


def test_our_own_name_is_taken_too() -> None:
    assert clashes([claim(1, Rank.OURSELVES, "Ann"), claim(2, Rank.CONTACT, "ann")]) == {TWO: ONE}


def test_a_name_of_ours_for_somebody_ends_a_clash_and_keeps_their_name_taken() -> None:
    first = claim(1, Rank.CONTACT, "Bobby", "Bob", since=1.0)
    later = claim(2, Rank.CONTACT, "Bob", since=2.0)
    renamed = claim(2, Rank.CONTACT, "that one", "Bob", since=2.0)
    assert clashes([first, later]) == {TWO: ONE}
    assert clashes([first, renamed]) == {}


def test_of_two_strangers_neither_was_known_before_the_other() -> None:
    strangers = [claim(1, Rank.MEMBER, "Bob"), claim(2, Rank.MEMBER, "Bob")]
    assert clashes(strangers) == {ONE: TWO, TWO: ONE}


@given(
    st.lists(
        st.builds(
            claim,
            st.integers(1, 250),
            st.sampled_from(Rank),
            st.sampled_from(["Bob", "b0b", "Ann", "Cat"]),
            st.sampled_from(["Bob", "Ann", "Eve"]),
            st.sampled_from([0.0, 1.0]),
        ),
        unique_by=lambda one: one.person,
    )
)
def test_whoever_is_marked_goes_by_a_name_that_another_has(claims: list[Claim]) -> None:
    known = {one.person: one for one in claims}
    found = clashes(claims)
    for person, holder in found.items():
        marked, other = known[person], known[holder]
        assert person != holder
        assert marked.rank > Rank.VERIFIED
        assert skeleton(marked.shown) in {skeleton(other.shown), skeleton(other.own)}
    # Among those that one name is shown for, one at most is left unmarked and unverified.
    for name in {skeleton(one.shown) for one in claims}:
        left = [
            one
            for one in claims
            if skeleton(one.shown) == name and one.rank > Rank.VERIFIED and one.person not in found
        ]
        assert len(left) <= 1
