"""Who is called in a message: by name, and not by part of one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.mention import calls


@pytest.mark.parametrize(
    "text",
    [
        "@Ann",
        "hey @ann!",
        "HEY @ANN, look",
        "(@Ánn)",
        "mail a@b.c, or @ann.",
        '@"ann" and others',
        "@annette or @ann",
        "@@ann",
    ],
)
def test_a_name_after_an_at_is_a_mention(text: str) -> None:
    assert calls(text, ["Ann"])


@pytest.mark.parametrize("text", ["Ann", "@annette", "bo@ann", "@ ann", "@an", "@ann_b", "", "@"])
def test_a_part_of_another_word_is_none(text: str) -> None:
    assert not calls(text, ["Ann"])


def test_names_may_have_spaces_and_there_may_be_several() -> None:
    assert calls("so @Ann Lee said", ["Ann Lee", "abcdefgh"])
    assert calls("so @ABCDEFGH said", ["Ann Lee", "abcdefgh"])
    assert not calls("so @Ann said", ["Ann Lee"])
    assert not calls("so @ said", ["", "x"])


@given(st.text(), st.text(min_size=1, max_size=9), st.text())
def test_no_text_breaks_it(before: str, name: str, after: str) -> None:
    calls(f"{before}@{name}{after}", [name, before])


@given(st.text(alphabet=st.characters(categories=["Lu", "Ll", "Nd"]), min_size=1, max_size=20))
def test_every_name_can_be_called(name: str) -> None:
    assert calls(f"well, @{name}: hello", [name])
