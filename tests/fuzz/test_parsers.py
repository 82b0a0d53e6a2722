"""Whatever outsiders send: it is read, or refused as each parser refuses, and never more."""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.parsers import PARSERS, Parser

each = pytest.mark.parametrize("parser", PARSERS.values(), ids=PARSERS.keys())
some = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def _feed(parser: Parser, data: bytes) -> None:
    with contextlib.suppress(*parser.refuses):
        parser.parse(data)


@each
def test_what_is_valid_is_read(parser: Parser) -> None:
    for seed in parser.seeds:
        parser.parse(seed)


@each
@some
@given(st.binary(max_size=400))
def test_anything_is_read_or_refused(parser: Parser, data: bytes) -> None:
    _feed(parser, data)


@each
@some
@given(st.data())
def test_a_changed_example_is_read_or_refused(parser: Parser, data: st.DataObject) -> None:
    seed = bytearray(data.draw(st.sampled_from(parser.seeds)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(seed)))
        cut = data.draw(st.integers(0, 4))
        seed[at : at + cut] = data.draw(st.binary(max_size=4))
    _feed(parser, bytes(seed))


@each
@pytest.mark.parametrize("nesting", [b"\x91", b"\x81\xa1a", b"[", b'{"a":'])
def test_nesting_without_end_is_refused(parser: Parser, nesting: bytes) -> None:
    _feed(parser, nesting * 50_000)
    for seed in parser.seeds:
        # One field more than the arrays of MessagePack have: newer ones may.
        longer = bytes([seed[0] + 1]) + seed[1:] if seed and 0x90 <= seed[0] < 0x9F else seed
        _feed(parser, longer + nesting * 20_000)
