"""What a message reads as, given what was said of it later (docs/protocol.md, 8: Amendments).

Edits, deletes, reactions and pins are entries of their own that name a target. Rules: they may come
before it; those of a wrong author count for nothing; of edits the last in the room's order wins; a
delete, whatever its place, wins over all. So the result is a pure function of the set of entries.
Knows bodies and people, and neither where they lie nor how they are shown.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import msgspec

from p2pchat.core.bounds import (
    PINS_MAX,
    REACTION_BYTES_MAX,
    REACTIONS_MAX,
    TEXT_BYTES_MAX,
)
from p2pchat.core.entry import (
    DELETE,
    EDIT,
    PIN,
    REACTION,
    DeleteBody,
    EditBody,
    PinBody,
    ReactionBody,
)
from p2pchat.text import printable

__all__ = [
    "AMENDING",
    "Amended",
    "Amendment",
    "Reaction",
    "amendment",
    "expiry",
    "is_reaction",
    "may_delete",
    "may_edit",
    "pinned",
    "read",
]

AMENDING = (EDIT, DELETE, REACTION, PIN)
"""Kinds whose body names a target."""


@dataclass(frozen=True, slots=True)
class Amendment:
    """A well-formed entry of one of these kinds. `text`: of a reaction; an edit's is its body's."""

    id: bytes
    target: bytes
    kind: int
    person: bytes
    text: str | None = None
    on: bool = True


@dataclass(frozen=True, slots=True)
class Reaction:
    text: str
    people: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Amended:
    """What became of a message. `edits`: ids in the room's order; the last has its text.

    Those of a deleted message are named too: their bodies go with its own.
    """

    edits: tuple[bytes, ...] = ()
    deleted_by: bytes | None = None
    reactions: tuple[Reaction, ...] = ()


def amendment(
    id_: bytes, person: bytes, kind: int, body: msgspec.Struct | None
) -> Amendment | None:
    """What an entry says of another, None if it says nothing that counts."""
    match body:
        case EditBody(target, text) if kind == EDIT and _is_text(text, TEXT_BYTES_MAX):
            found = Amendment(id_, target, kind, person)
        case DeleteBody(target) if kind == DELETE:
            found = Amendment(id_, target, kind, person)
        case ReactionBody(target, text, on) if kind == REACTION and is_reaction(text):
            found = Amendment(id_, target, kind, person, text, on)
        case PinBody(target, on) if kind == PIN:
            found = Amendment(id_, target, kind, person, None, on)
        case _:
            return None
    return found if len(found.target) == 32 else None


def is_reaction(text: str) -> bool:
    """Whether it may stand beside a message: one short line of what can be shown."""
    return _is_text(text, REACTION_BYTES_MAX) and printable(text) == text


def _is_text(text: str, bytes_max: int) -> bool:
    return bool(text.strip()) and len(text.encode()) <= bytes_max


def may_edit(person: bytes, author: bytes) -> bool:
    """Whether `person` may edit a message of `author`."""
    return person == author


def may_delete(person: bytes, author: bytes, admins: Collection[bytes] = ()) -> bool:
    """Whether `person` may delete a message of `author` in a room of these admins."""
    return person == author or person in admins


def read(author: bytes, amendments: Iterable[Amendment], admins: Collection[bytes] = ()) -> Amended:
    """Fold what names one message of `author`, given in the room's order."""
    edits: list[bytes] = []
    deleted_by: bytes | None = None
    reactions: dict[str, dict[bytes, None]] = {}
    for one in amendments:
        if one.kind == EDIT and may_edit(one.person, author):
            edits.append(one.id)
        elif one.kind == DELETE and may_delete(one.person, author, admins):
            deleted_by = deleted_by or one.person
        elif one.kind == REACTION and one.text is not None:
            people = reactions.setdefault(one.text, {})
            if one.on:
                people[one.person] = None
            else:
                people.pop(one.person, None)
    if deleted_by is not None:
        return Amended(tuple(edits), deleted_by)
    shown = [Reaction(text, tuple(people)) for text, people in reactions.items() if people]
    shown.sort(key=lambda reaction: (-len(reaction.people), reaction.text))
    return Amended(tuple(edits), None, tuple(shown[:REACTIONS_MAX]))


def pinned(pins: Iterable[tuple[bytes, bool]]) -> list[bytes]:
    """What is pinned in a room, the latest first; `pins`: target and on, the newest first."""
    decided: dict[bytes, bool] = {}
    for target, on in pins:
        decided.setdefault(target, on)
    return [target for target, on in decided.items() if on][:PINS_MAX]


def expiry(time: int, eff: int, received_ms: int, lifetime_s: int) -> int:
    """When a message disappears: Unix milliseconds.

    It counts from when its author says that it was written, though not from later than we had it.
    Its place in the order `eff` only helps where the author's clock was behind: then it counts from
    what the author had seen. So others make it neither go before its time nor stay.
    """
    return min(max(time, eff) >> 16, received_ms) + lifetime_s * 1000
