"""How a message reads now: what the store keeps of its amendments, put together.

Knows one transaction to read in; what it all means is `core.talk`'s to say.
"""

from collections.abc import Callable, Collection, Container, Iterable
from dataclasses import dataclass

from p2pchat.core.bounds import TEXT_BYTES_MAX
from p2pchat.core.chain import Chains
from p2pchat.core.clock import seconds
from p2pchat.core.entry import MESSAGE, SHARE, EditBody, Entry, MessageBody
from p2pchat.core.identity import id_text
from p2pchat.core.talk import (
    Amended,
    Amendment,
    expiry,
    pinned,
    read,
)
from p2pchat.core.timeline import clock_off_ms
from p2pchat.events import Message, Reaction, rfc3339
from p2pchat.store import amendments, expiring, journal
from p2pchat.store.database import Connection

__all__ = [
    "Admins",
    "Reading",
    "clock_off_s",
    "current",
    "message",
    "person_of",
    "read_of",
    "readings",
    "text_of",
    "unnamed",
]

_YEAR_9999_MS = 253_370_764_800_000
Admins = Callable[[bytes], Collection[bytes]]
"""People who may delete what others wrote in a room."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a message reads now, beside what its own entry says."""

    amended: Amended
    edit: Entry | None
    """whose text it has"""
    pinned: bool
    place: int
    """in the order"""
    ends_ms: int | None
    """when it disappears, if that is settled"""
    gone: bool
    """whether its body was dropped"""


def readings(
    tx: Connection,
    chains: Chains,
    entries: Iterable[Entry],
    admins: Admins,
    fresh: Container[bytes] = (),
) -> dict[bytes, Reading]:
    """How those of a room's entries read that are messages or shares; of `fresh` ones nothing was
    said."""
    messages = [entry for entry in entries if entry.header.kind in (MESSAGE, SHARE)]
    places = journal.places(tx, [entry.id for entry in messages])
    ids = [entry.id for entry in messages if entry.id not in fresh]
    gone = amendments.dropped(tx, ids)
    # As a rule nothing was said of them.
    said = list(amendments.named(tx, chains.room, ids))
    named = amendments.naming(tx, chains.room, said)
    pins = set(pinned(amendments.pins(tx, chains.room))) if said else set()
    ends = expiring.of(tx, [entry.id for entry in messages])
    amended = {
        entry.id: read_of(chains, entry, named.get(entry.id, ()), admins) for entry in messages
    }
    edits = current(tx, amended.values())
    return {
        id_: Reading(one, edits.get(one), id_ in pins, places[id_], ends.get(id_), id_ in gone)
        for id_, one in amended.items()
        if id_ in places
    }


def current(tx: Connection, found: Iterable[Amended]) -> dict[Amended, Entry]:
    """The edit whose text each has that has one: the last whose body is here."""
    with_edits = [one for one in found if one.edits and one.deleted_by is None]
    edits = amendments.entries(tx, [id_ for one in with_edits for id_ in one.edits])
    here = {
        one: [edits[id_] for id_ in one.edits if id_ in edits and edits[id_].body is not None]
        for one in with_edits
    }
    return {one: some[-1] for one, some in here.items() if some}


def unnamed(place: int) -> Reading:
    """How an entry in this place reads of which nothing was said, and which stays."""
    return Reading(Amended(), None, pinned=False, place=place, ends_ms=None, gone=False)


def person_of(chains: Chains, entry: Entry) -> bytes:
    certificate = chains.certificates.get(entry.header.device)
    return certificate.person if certificate else b""


def read_of(chains: Chains, entry: Entry, named: Iterable[Amendment], admins: Admins) -> Amended:
    return read(person_of(chains, entry), named, admins(chains.room))


def text_of(chains: Chains, entry: Entry | None) -> str | None:
    """What a message or an edit says, if it can be read and is no longer than it may be."""
    return _text(chains.read(entry)) if entry is not None else None


def _text(body: object) -> str | None:
    match body:
        case MessageBody(text) | EditBody(_, text) if len(text.encode()) <= TEXT_BYTES_MAX:
            return text
    return None


def clock_off_s(entry: Entry, reading: Reading | None, now_ms: int) -> int | None:
    """How far the clock was ahead (less than 0: behind) that an entry was written by, if it was."""
    time = entry.header.time
    off_ms = clock_off_ms(time, reading.place if reading is not None else time, now_ms)
    return off_ms // 1000 if off_ms is not None else None


def message(chains: Chains, entry: Entry, reading: Reading | None, now_ms: int) -> Message | None:
    """A message as it reads now; None if there is nothing to read."""
    certificate, body = chains.certificates.get(entry.header.device), chains.read(entry)
    amended = reading.amended if reading is not None else Amended()
    edit = reading.edit if reading is not None else None
    end_ms = None
    if reading is not None and isinstance(body, MessageBody) and body.lifetime_s is not None:
        end_ms = reading.ends_ms
        if end_ms is None:
            end_ms = expiry(entry.header.time, reading.place, now_ms, body.lifetime_s)
    deleted = amended.deleted_by is not None
    first = _text(body)
    # Without its own body nobody knows how long it may be shown, whatever an edit says.
    text = "" if deleted else first and (text_of(chains, edit) if edit is not None else first)
    over = (end_ms is not None and end_ms <= now_ms) or (reading is not None and reading.gone)
    if certificate is None or text is None or (over and not deleted):
        return None
    answered = body.reply_to if isinstance(body, MessageBody) else None
    ends = end_ms is not None and end_ms < _YEAR_9999_MS
    return Message(
        room=id_text(chains.room),
        id=id_text(entry.id),
        author=id_text(certificate.person),
        name=certificate.safe_name(),
        time=rfc3339(seconds(entry.header.time)),
        text=text,
        reply_to=id_text(answered) if answered and len(answered) == 32 else None,
        edited=edit is not None,
        deleted=deleted,
        pinned=reading is not None and reading.pinned and not deleted,
        reactions=[
            Reaction(text=one.text, peers=[id_text(person) for person in one.people])
            for one in amended.reactions
        ]
        or None,
        expires=rfc3339(end_ms / 1000) if end_ms is not None and ends else None,
        clock_off=clock_off_s(entry, reading, now_ms),
    )
