"""Names from peers: whatever comes in, one harmless part goes out."""

import time
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.files.names import PART_BYTES_MAX, safe_part, unique


@given(st.text(max_size=600))
def test_any_name_becomes_one_short_part_below_its_folder(name: str) -> None:
    part = safe_part(name)
    assert part
    assert part not in (".", "..")
    assert not set(part) & set('/\\:*?"<>|\0')
    assert len(part.encode()) <= PART_BYTES_MAX + 1
    assert PurePosixPath("a", part).parent == PurePosixPath("a")
    assert PureWindowsPath("a", part).parent == PureWindowsPath("a")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("notes.txt", "notes.txt"),
        ("grüße 日本.txt", "grüße 日本.txt"),
        (".gitignore", ".gitignore"),
        ("..", "unnamed"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..hidden", "hidden"),
        ("CON.txt", "_CON.txt"),
        ("com1", "_com1"),
        ("lpt¹.txt", "_lpt¹.txt"),
        ("con .txt", "_con .txt"),
        ("trailing. . ", "trailing"),
        ("a\x1b[2Jb", "a_[2Jb"),
        ("evil\u202egnp.exe", "evil_gnp.exe"),
        ("", "unnamed"),
    ],
)
def test_known_tricks_come_out_harmless(name: str, expected: str) -> None:
    assert safe_part(name) == expected


def test_a_top_level_name_is_never_a_hidden_file() -> None:
    assert safe_part(".bashrc", hidden=False) == "bashrc"
    assert safe_part(" . .bashrc", hidden=False) == "bashrc"


def test_a_long_name_keeps_its_suffix() -> None:
    part = safe_part("ä" * 500 + ".tar")
    assert part.endswith("ä.tar")
    assert len(part.encode()) <= PART_BYTES_MAX


def test_a_huge_name_costs_no_time() -> None:
    begun = time.process_time()
    safe_part("a\u0301" * 4_000_000)
    assert time.process_time() - begun < 0.1


def test_a_taken_name_gets_a_number_before_its_suffix() -> None:
    taken = {"a.txt", "a (1).txt", ".rc"}
    assert unique("a.txt", taken.__contains__) == "a (2).txt"
    assert unique(".rc", taken.__contains__) == ".rc (1)"
    assert unique("b", taken.__contains__) == "b"
