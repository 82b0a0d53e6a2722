import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.names import skeleton

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
