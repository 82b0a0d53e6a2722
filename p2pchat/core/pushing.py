"""How much of what is new a link is pushed at once: as much as delays nothing beside it."""

from collections.abc import Iterator, Sequence

from p2pchat.core.entry import Entry, is_act

__all__ = ["PUSH_BYTES", "is_short", "pushed_together"]

PUSH_BYTES = 4_096
"""Longer runs are told, not pushed: every link would bring them, and one is enough. What is pushed
goes on `live`, where it must delay nothing."""


def pushed_together(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Entries of one chain, committed one after the other, in parts that are pushed whole."""
    part: list[Entry] = []
    signed: list[Entry] = []
    size = 0
    for entry in entries:
        signed.append(entry)
        if entry.signature is None:
            continue
        grown = sum(len(one.raw) + one.header.length for one in signed)
        follows = not part or part[-1].header.seq + 1 == signed[0].header.seq
        if part and (size + grown > PUSH_BYTES or not follows):
            yield part
            part, size = [], 0
        part += signed
        size += grown
        signed = []
        if is_act(entry.header.kind):
            yield part
            part, size = [], 0
    if part:
        yield part


def is_short(entries: Sequence[Entry]) -> bool:
    """Whether a run of these may be pushed, their bodies counted whether or not they are here."""
    left = PUSH_BYTES
    for entry in entries:
        left -= len(entry.raw) + entry.header.length
        if left < 0:
            return False
    return True
