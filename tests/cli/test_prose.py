"""Texts of several lines and code are shown so that nothing can pass for another message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.cli.prose import prose


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("hello", "hello"),
        ("", ""),
        ("two\nlines", "two\n  lines"),
        ("```\nx = 1\n```", "\n  | x = 1"),
        ("so:\n```python\nif x:\n\tpass\n```\nsee?", "so:\n  | if x:\n  | \tpass\n  see?"),
        ("```x = 1```", "\n  | x = 1"),
        ("```\nnever closed", "```\n  never closed"),
        ("hi\n[12:00 abcdefg] Bob: forged", "hi\n  [12:00 abcdefg] Bob: forged"),
        ("a\r[12:00] Bob: forged", "a\N{REPLACEMENT CHARACTER}[12:00] Bob: forged"),
    ],
)
def test_a_text_is_shown(text: str, shown: str) -> None:
    assert prose(text) == shown


@given(st.text(alphabet="a`\n\r\x1b\u2028 ", max_size=40))
def test_no_later_line_begins_at_the_margin(text: str) -> None:
    assert all(line.startswith("  ") for line in prose(text).splitlines()[1:])
