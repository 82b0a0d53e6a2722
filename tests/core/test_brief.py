"""Headers in brief are made again byte for byte, or not at all."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.bounds import (
    BODY_BYTES_MAX,
    FRAME_BYTES_MAX,
    HEADER_BYTES_MAX,
    RUN_FULL_BYTES_MAX,
)
from p2pchat.core.brief import Brief, in_brief, in_full
from p2pchat.core.chain import Accepted, Verdict
from p2pchat.core.entry import MESSAGE, Entry, entry_id, statement
from p2pchat.core.identity import Identity
from tests.harness.pair import Journal, random_from

_ANN, _BOB = (Identity.create(name, random_from(at)) for at, name in enumerate(("Ann", "Bob")))


def _journal(identity: Identity, seed: int) -> Journal:
    return Journal(identity, (_ANN.person, _BOB.person), seed)


def _talk() -> tuple[Journal, list[Entry]]:
    """Ann's chain; it names Bob's, and has two epochs."""
    ann, bob = _journal(_ANN, 1), _journal(_BOB, 2)
    entries = [*ann.begin([_BOB]), ann.say("one"), ann.say("two")]
    bob.take(entries)
    ann.take(bob.begin([_ANN]))
    return ann, [*entries, ann.say("three"), ann.say("four"), ann.say("five")]


_JOURNAL, _ENTRIES = _talk()
_BODIES = [entry.body for entry in _ENTRIES]
_WIDE = [*map(_talk()[0].say, ["x" * 60_000] * 3)]


def _raws(entries: Sequence[Entry]) -> list[tuple[bytes, object, bytes]]:
    return [(entry.raw, entry.header, entry.id) for entry in entries]


def _own_way(entry: Entry, raw: bytes) -> Entry:
    """The entry with a header of other bytes, signed for them."""
    header = msgspec.msgpack.decode(raw, type=type(entry.header))
    id_ = entry_id(raw)
    return Entry(id_, entry.chain, header, raw, entry.body, _ANN.sign(statement(id_)))


def test_headers_of_a_run_are_made_again() -> None:
    headers = list(in_brief(_ENTRIES))
    assert headers[0] == _ENTRIES[0].raw
    briefs = [header for header in headers if isinstance(header, Brief)]
    assert len(briefs) == len(headers) - 1
    assert {brief.epoch for brief in briefs} > {None}, "an epoch begins within"
    assert any(brief.after for brief in briefs), "and somebody else is named"
    assert in_full(headers, _BODIES) == _raws(_ENTRIES)


@given(st.integers(0, len(_ENTRIES) - 1), st.sets(st.integers(0, len(_ENTRIES) - 1)))
def test_so_are_those_of_any_part_with_any_bodies_missing(first: int, gone: set[int]) -> None:
    entries = [
        msgspec.structs.replace(entry, body=None) if at in gone else entry
        for at, entry in enumerate(_ENTRIES)
    ][first:]
    headers = list(in_brief(entries))
    whole = [at for at, header in enumerate(headers) if isinstance(header, bytes)]
    assert set(whole) == {0, *(at - first for at in gone if at >= first)}
    assert in_full(headers, [entry.body for entry in entries]) == _raws(entries)


def test_a_header_in_other_bytes_goes_as_it_is() -> None:
    last = _ENTRIES[-1]
    more = msgspec.msgpack.encode([*msgspec.to_builtins(last.header, builtin_types=[bytes]), "new"])
    longer = last.raw.replace(bytes([MESSAGE, 0xC4]), bytes([0xCC, MESSAGE, 0xC4]), 1)
    for raw in (more, longer):
        assert raw != last.raw
        entries = [*_ENTRIES[:-1], _own_way(last, raw)]
        headers = list(in_brief(entries))
        assert headers[-1] == raw
        assert in_full(headers, _BODIES) == _raws(entries)


@pytest.mark.parametrize(
    "brief",
    [
        Brief(0, MESSAGE, (), None),
        Brief(1 << 63, MESSAGE, (), None),
        Brief(_ENTRIES[3].header.time, -1, (), None),
        Brief(_ENTRIES[3].header.time, 1 << 31, (), None),
        Brief(_ENTRIES[3].header.time, MESSAGE, (bytes(31),), None),
        Brief(_ENTRIES[3].header.time, MESSAGE, (bytes(32), bytes(32)), None),
        Brief(_ENTRIES[3].header.time, MESSAGE, (), bytes(31)),
    ],
)
def test_what_breaks_a_rule_in_full_breaks_it_in_brief(brief: Brief) -> None:
    assert in_full([_ENTRIES[2].raw, brief], _BODIES[2:4]) is None


def test_what_cannot_be_made_is_refused() -> None:
    raw, brief = list(in_brief(_ENTRIES[2:4]))
    assert in_full([raw, brief], _BODIES[2:4])
    assert in_full([brief, brief], _BODIES[2:4]) is None, "nothing stands before the first"
    assert in_full([raw, brief], [_BODIES[2], None]) is None, "the hash of what?"
    assert in_full([raw, brief], [_BODIES[2], bytes(BODY_BYTES_MAX + 1)]) is None
    assert in_full([b"malformed", brief], _BODIES[2:4]) is None


def test_what_nobody_could_serve_again_is_refused() -> None:
    wide, few = bytes(60_000), (_ENTRIES[3].header.time, MESSAGE, (), None)
    bodies = [_BODIES[2], wide, wide]
    assert in_full([_ENTRIES[2].raw, Brief(*few), Brief(*few)], bodies)
    assert in_full([_ENTRIES[2].raw, *[Brief(*few)] * 3], [*bodies, wide]) is None
    assert in_full([entry.raw for entry in _WIDE[:2]], [None] * 2)
    assert in_full([entry.raw for entry in _WIDE], [None] * 3) is None, "they may come"
    # Short in brief, and not once their bodies are deleted.
    many = RUN_FULL_BYTES_MAX // len(_ENTRIES[3].raw)
    assert in_full([_ENTRIES[2].raw, *[Brief(*few)] * many], [_BODIES[2], *[b""] * many]) is None
    assert 2 * RUN_FULL_BYTES_MAX < FRAME_BYTES_MAX, "a proof has the headers of two"
    assert RUN_FULL_BYTES_MAX > BODY_BYTES_MAX + HEADER_BYTES_MAX, "and an entry always fits"


def test_a_run_in_brief_is_taken_and_one_with_another_body_is_not() -> None:
    headers, signature = list(in_brief(_ENTRIES)), _ENTRIES[-1].signature
    assert signature is not None
    bob = _journal(_BOB, 2).chains
    forged = [*_BODIES[:3], b"x" + (_BODIES[3] or b"")[1:], *_BODIES[4:]]
    assert bob.accept(headers, forged, signature) is Verdict.BAD
    assert bob.accept(headers[1:], _BODIES[1:], signature) is Verdict.BAD
    assert not bob.heads
    taken = bob.accept(headers, _BODIES, signature)
    assert isinstance(taken, Accepted)
    assert [entry.raw for entry in taken.entries] == [entry.raw for entry in _ENTRIES]
    assert bob.digest() != _JOURNAL.chains.digest(), "her chain is there, his own is not"
    assert bob.seq(_JOURNAL.own) == _JOURNAL.chains.seq(_JOURNAL.own)
