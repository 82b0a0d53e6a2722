import msgspec

from p2pchat.core.pushing import PUSH_BYTES, is_short, pushed_together
from tests.harness.pair import journals


def test_what_waits_to_be_pushed_shares_frames_and_is_never_torn() -> None:
    ann, _ = journals(60, 0)
    entries = ann.entries[ann.own]
    parts = list(pushed_together(entries))
    assert [entry for part in parts for entry in part] == entries
    assert 3 < len(parts) < 20
    assert all(part[-1].signature is not None for part in parts)
    # As one run that came from a peer: the last one's signature stands for all.
    run = [*(msgspec.structs.replace(entry, signature=None) for entry in entries[:5]), entries[5]]
    assert list(pushed_together(run)) == [run]
    assert list(pushed_together([entries[3], entries[5]])) == [[entries[3]], [entries[5]]]


def test_a_run_is_short_up_to_what_is_pushed() -> None:
    ann, _ = journals(60, 0)
    entries = ann.entries[ann.own]
    sizes = [len(entry.raw) + len(entry.body or b"") for entry in entries]
    most = next(count for count in range(60) if sum(sizes[: count + 1]) > PUSH_BYTES)
    assert is_short(entries[:most])
    assert not is_short(entries[: most + 1])
    assert is_short([])


def test_bodies_that_are_missing_count_for_what_is_pushed() -> None:
    ann, _ = journals(0, 0)
    entries = [*ann.begin([]), *(ann.say("x" * 500) for _ in range(12))]
    gone = [msgspec.structs.replace(entry, body=None) for entry in entries[2:]]
    assert sum(len(entry.raw) for entry in gone) < PUSH_BYTES
    assert not is_short(gone)
    assert len(list(pushed_together(gone))) > 1
