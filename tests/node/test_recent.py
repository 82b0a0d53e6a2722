"""What was written here last is known without the disk, or not at all."""

import msgspec

from p2pchat.core.entry import Entry, Header
from p2pchat.node import recent
from p2pchat.node.recent import Recent

_CHAIN = b"c" * 16


def _entry(seq: int, chain: bytes = _CHAIN) -> Entry:
    header = Header(1, b"r" * 32, b"d" * 32, b"i" * 8, seq, b"p" * 32, (), 0, 3, b"", 0, b"h" * 32)
    return Entry(chain + seq.to_bytes(16, "big"), chain, header, b"", None, b"s")


def _add(kept: Recent, entries: list[Entry]) -> None:
    kept.add(entries, {entry.id: 100 + entry.header.seq for entry in entries})


def test_entries_are_known_by_id_and_by_place() -> None:
    kept, entries = Recent(), [_entry(seq) for seq in range(5)]
    _add(kept, entries)
    _add(kept, [_entry(0, b"d" * 16)])
    assert kept.entry(entries[3].id) == entries[3]
    assert kept.entry(b"x" * 32) is None
    assert kept.between(_CHAIN, 1, 3) == entries[2:4]
    assert kept.between(_CHAIN, -1, 4) == entries
    assert kept.between(_CHAIN, 4, 4) == []


def test_a_range_that_is_not_all_here_is_none() -> None:
    kept = Recent()
    _add(kept, [_entry(seq) for seq in (3, 4, 6)])
    assert kept.between(_CHAIN, 1, 4) is None
    assert kept.between(_CHAIN, 3, 6) is None
    assert kept.between(b"d" * 16, 2, 4) is None
    assert kept.between(_CHAIN, 0, 1 << 62) is None


def test_no_text_is_kept() -> None:
    kept, entry = Recent(), _entry(0)
    _add(kept, [msgspec.structs.replace(entry, body=b"a blunder")])
    assert kept.entry(entry.id) == entry


def test_the_oldest_are_forgotten() -> None:
    kept = Recent()
    entries = [_entry(seq) for seq in range(recent._KEPT + 2)]
    _add(kept, entries)
    assert kept.entry(entries[1].id) is None
    assert kept.order(entries[1].id) is None
    assert kept.order(entries[2].id) == 102
    assert kept.between(_CHAIN, 0, 2) is None
    assert kept.entry(entries[2].id) == entries[2]
    assert kept.between(_CHAIN, 1, len(entries) - 1) == entries[2:]
