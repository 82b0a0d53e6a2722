"""What a message reads as: who may say what of it, and what wins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.bounds import (
    PINS_MAX,
    REACTION_BYTES_MAX,
    REACTIONS_MAX,
    TEXT_BYTES_MAX,
)
from p2pchat.core.entry import (
    DELETE,
    EDIT,
    MESSAGE,
    PIN,
    REACTION,
    DeleteBody,
    EditBody,
    MessageBody,
    PinBody,
    ReactionBody,
)
from p2pchat.core.talk import (
    Amendment,
    Reaction,
    amendment,
    expiry,
    is_reaction,
    may_delete,
    pinned,
    read,
)

_TARGET = b"t" * 32
_ANN, _BOB, _CAT = b"A" * 32, b"B" * 32, b"C" * 32


def _say(
    kind: int, person: bytes, text: str | None = None, *, on: bool = True, number: int = 0
) -> Amendment:
    return Amendment(number.to_bytes(32, "big"), _TARGET, kind, person, text, on)


def test_the_last_edit_of_the_author_wins() -> None:
    said = [_say(EDIT, _ANN, number=1), _say(EDIT, _BOB, number=2), _say(EDIT, _ANN, number=3)]
    assert [int.from_bytes(id_, "big") for id_ in read(_ANN, said).edits] == [1, 3]


def test_a_delete_wins_wherever_it_stands_and_names_the_edits_that_go_with_it() -> None:
    said = [_say(DELETE, _ANN), _say(EDIT, _ANN, number=1), _say(REACTION, _BOB, "x")]
    for order in (said, said[::-1]):
        amended = read(_ANN, order)
        assert (amended.deleted_by, len(amended.edits), amended.reactions) == (_ANN, 1, ())


def test_another_may_delete_only_as_an_admin() -> None:
    assert read(_ANN, [_say(DELETE, _BOB)]).deleted_by is None
    assert read(_ANN, [_say(DELETE, _BOB)], admins={_BOB}).deleted_by == _BOB
    assert not may_delete(_BOB, _ANN)
    # An admin deletes, and puts no words into anybody's mouth.
    assert read(_ANN, [_say(EDIT, _BOB)], admins={_BOB}).edits == ()


def test_reactions_of_most_people_come_first_and_are_bounded() -> None:
    said = [_say(REACTION, _BOB, f"{number:03}") for number in range(REACTIONS_MAX + 9)]
    said += [_say(REACTION, _CAT, "050"), _say(REACTION, _CAT, "051")]
    said += [_say(REACTION, _CAT, "051", on=False)]
    found = read(_ANN, said).reactions
    assert found[0] == Reaction("050", (_BOB, _CAT))
    assert len(found) == REACTIONS_MAX


@given(
    st.lists(
        st.builds(
            _say,
            st.sampled_from([EDIT, DELETE, REACTION]),
            st.sampled_from([_ANN, _BOB, _CAT]),
            st.sampled_from(["a", "b"]),
            on=st.booleans(),
            number=st.integers(0, 99),
        ),
        max_size=30,
    )
)
def test_each_person_has_one_word_on_each_reaction_and_the_author_on_the_text(
    said: list[Amendment],
) -> None:
    amended = read(_ANN, said)
    deletes = [one for one in said if one.kind == DELETE and one.person == _ANN]
    assert (amended.deleted_by is not None) == bool(deletes)
    assert list(amended.edits) == [
        one.id for one in said if one.kind == EDIT and one.person == _ANN
    ]
    last = {(one.text, one.person): one.on for one in said if one.kind == REACTION}
    expected = {key for key, on in last.items() if on and not deletes}
    assert {(one.text, who) for one in amended.reactions for who in one.people} == expected
    assert len(amended.reactions) == len({one.text for one in amended.reactions})


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (EDIT, None),
        (EDIT, EditBody(_TARGET, " \n")),
        (EDIT, EditBody(_TARGET, "x" * (TEXT_BYTES_MAX + 1))),
        (EDIT, EditBody(b"short", "x")),
        (EDIT, MessageBody("x")),
        (DELETE, EditBody(_TARGET, "x")),
        (DELETE, DeleteBody(b"")),
        (REACTION, ReactionBody(_TARGET, "", True)),
        (REACTION, ReactionBody(_TARGET, "two\nlines", True)),
        (REACTION, ReactionBody(_TARGET, "\x1b[31m", True)),
        (REACTION, ReactionBody(_TARGET, "x" * (REACTION_BYTES_MAX + 1), True)),
        (PIN, PinBody(b"t" * 33, True)),
        (MESSAGE, MessageBody("x")),
    ],
)
def test_what_is_malformed_says_nothing(kind: int, body: MessageBody | None) -> None:
    assert amendment(b"i" * 32, _ANN, kind, body) is None


def test_what_is_well_formed_says_who_says_what_of_which() -> None:
    family = "\U0001f468\U0001f3fd\u200d\U0001f469\U0001f3fd\u200d\U0001f467\U0001f3fd"
    assert is_reaction(family)
    said = amendment(b"i" * 32, _ANN, REACTION, ReactionBody(_TARGET, family, False))
    assert said == Amendment(b"i" * 32, _TARGET, REACTION, _ANN, family, False)
    assert amendment(b"i" * 32, _ANN, PIN, PinBody(_TARGET, True)) is not None
    assert amendment(b"i" * 32, _ANN, DELETE, DeleteBody(_TARGET)) is not None
    assert amendment(b"i" * 32, _ANN, EDIT, EditBody(_TARGET, "x" * TEXT_BYTES_MAX)) is not None


@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.booleans()), max_size=12))
def test_the_newest_word_on_a_pin_counts(said: list[tuple[bytes, bool]]) -> None:
    newest = dict(reversed(said))
    assert set(pinned(said)) == {target for target, on in newest.items() if on}


def test_pins_are_bounded_and_the_latest_kept() -> None:
    many = [(number.to_bytes(2, "big"), True) for number in range(PINS_MAX + 5)]
    assert pinned(many) == [target for target, _ in many[:PINS_MAX]]


@pytest.mark.parametrize(
    ("time_s", "place_s", "counts_from_s"),
    [
        (1_000, 1_000, 1_000),
        (100, 100, 100),  # came late
        (1_001, 1_001, 1_000),
        (9_999, 9_999, 1_000),  # a clock ahead
        (9_999, 100, 1_000),  # and pulled back
        (1_000, 10, 1_000),  # pulled back though it was right
        (1_000, 9_999, 1_000),  # others' clocks ahead
        (100, 9_999, 1_000),
        (10, 900, 900),  # a clock behind, and what it had seen
    ],
)
def test_a_lifetime_counts_from_its_authors_time_within_what_we_know(
    time_s: int, place_s: int, counts_from_s: int
) -> None:
    time, place = time_s * 1000 << 16 | 7, place_s * 1000 << 16 | 9
    assert expiry(time, place, 1_000_000, 5) == counts_from_s * 1000 + 5_000
