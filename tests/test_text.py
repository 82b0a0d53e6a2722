import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.errors import BadInput
from p2pchat.text import (
    NAME_BYTES_MAX,
    checked_name,
    folded,
    is_blank,
    printable,
    span,
    tidy_name,
)

_anything = st.text(st.characters(codec=None, categories=None), max_size=80)


@given(_anything)
def test_nothing_printable_moves_a_terminal(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown)
    assert not set(shown) & set("\u202e\u2066\u200b\u2028")


def test_lines_are_kept_where_lines_may_be() -> None:
    assert printable("a\nb\tc\r", lines=True) == "a\nb\tc\ufffd"
    assert "\n" not in printable("a\nb")


def test_ordinary_writing_is_left_alone() -> None:
    for text in ("Zoë", "李雷", "نام‌ها", "👩‍👧"):
        assert printable(text) == text
        assert checked_name(text) == text


@given(_anything)
def test_a_claimed_name_is_made_safe_and_never_empty(name: str) -> None:
    tidy = tidy_name(name, "fallback")
    assert tidy
    assert len(tidy.encode()) <= NAME_BYTES_MAX
    assert printable(tidy) == tidy


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "name-empty"),
        ("\u200d", "name-empty"),
        (65 * "x", "name-too-long"),
        ("a\nb", "name-control"),
        ("a\x1bb", "name-control"),
    ],
)
def test_names_that_are_none(name: str, code: str) -> None:
    with pytest.raises(BadInput) as caught:
        checked_name(name)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (-61, "1 minute"),
        (10_799, "3 hours"),
        (2 * 86_400, "2 days"),
        (-315_576_000, "10 years"),
    ],
)
def test_a_length_of_time_has_one_unit(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_what_nobody_could_see_is_blank() -> None:
    for text in ("", " \n\t", "\u200b", "\x1b", "\u202e\u200d", "\ufeff \u2060"):
        assert is_blank(text)
    for text in ("a", "\x1b[0m", "\u200bx", "👩\u200d👧"):
        assert not is_blank(text)


def test_names_are_folded_whatever_their_form() -> None:
    assert folded("E\u0301LISE") == folded("élise")
    assert folded("Bob") != folded("Rob")
