import os
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.code import NAMEPLATE_MAX, Code, is_code
from signaling.errors import SignalingError
from signaling.words import ADJECTIVES, NOUNS

CODE = Code(4, "acid", "pelican")
codes = st.builds(
    Code, st.integers(1, NAMEPLATE_MAX), st.sampled_from(ADJECTIVES), st.sampled_from(NOUNS)
)
apart = st.text(" -_.,:/\t\n\u2010\u2013\u2014", min_size=1, max_size=4)


@given(codes, apart, apart, st.sampled_from([str.lower, str.upper, str.title]), st.integers(3, 12))
def test_a_code_is_read_however_it_is_typed(
    code: Code, one: str, two: str, case: object, letters: int
) -> None:
    typed = f"{code.nameplate}{one}{code.adjective[:letters]}{two}{code.noun[:letters]}"
    assert callable(case)
    for text in (code.text(), case(typed), f' "{typed}"\n'):
        assert is_code(text)
        assert Code.parse(text) == code


@given(st.text(max_size=100) | st.from_regex(r"[0-9]{1,5}[- ][a-z]{1,9}[- ][a-z]{1,9}"))
def test_arbitrary_text_is_a_code_or_malformed(text: str) -> None:
    with suppress(SignalingError):
        code = Code.parse(text)
        assert Code.parse(code.text()) == code


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("4-acid", "a number and two words"),
        ("4-acid-pelican-4", "a number and two words"),
        ("0-acid-pelican", "from 1 to"),
        ("10000-acid-pelican", "from 1 to"),
        ("4-acit-pelican", "is it acid?"),
        ("4-ac-pelican", "friend"),
        ("4-pelican-acid", "friend"),
        ("\u0664-acid-pelican", "a number and two words"),
        ("4-acid-pelican" + " " * 99, "a number and two words"),
    ],
)
def test_a_slip_is_told_with_what_to_do(text: str, hint: str) -> None:
    with pytest.raises(SignalingError, match=r".") as caught:
        Code.parse(text)
    assert caught.value.code == "code-malformed"
    assert hint in caught.value.hint


def test_blobs_and_other_texts_are_no_codes() -> None:
    for text in ("p2p13Q4RFAHikCfHp6", "", "acid pelican", "-", "1BoatSLRHtKNngkdXEeobR76b53", "4"):
        assert not is_code(text)


def test_made_codes_have_nameplates_in_reach_and_all_words() -> None:
    made = [Code.make(3, os.urandom) for _ in range(200)]
    assert {code.nameplate for code in made} == {1, 2, 3}
    zero, last = Code.make(9, bytes), Code.make(9, lambda size: b"\xff" * size)
    assert (zero.adjective, zero.noun) == (ADJECTIVES[0], NOUNS[0])
    assert (last.adjective, last.noun) == (ADJECTIVES[-1], NOUNS[-1])


def test_the_secret_is_of_the_words_and_is_not_shown() -> None:
    assert CODE.secret == Code(5, "acid", "pelican").secret != Code(4, "acid", "penguin").secret
    assert "acid" not in repr(CODE)
