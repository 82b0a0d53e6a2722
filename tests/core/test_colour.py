from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.colour import PALETTE, colour

_LEVELS = ("00", "5f", "87", "af", "d7", "ff")


def luminance(shade: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(shade[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_every_colour_is_readable_on_dark_and_on_light_ground() -> None:
    for shade in PALETTE:
        assert contrast(shade, "#000000") >= 3, shade
        assert contrast(shade, "#ffffff") >= 3, shade


def test_the_colours_are_distinct_and_terminals_have_them() -> None:
    assert len(set(PALETTE)) == len(PALETTE)
    for shade in PALETTE:
        assert {shade[1:3], shade[3:5], shade[5:]} <= set(_LEVELS)


@given(st.binary(min_size=32, max_size=32))
def test_a_key_has_its_colour_for_ever(key: bytes) -> None:
    assert colour(key) == colour(bytes(key)) in PALETTE


def test_many_people_use_all_of_them_evenly() -> None:
    used = [colour(bytes([number % 256, number // 256]) * 16) for number in range(1_400)]
    assert all(60 <= used.count(shade) <= 145 for shade in PALETTE)
