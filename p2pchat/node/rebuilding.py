"""What entries alone tell of a profile whose other tables are damaged: rooms, who is in them, keys.

Works on a database that was filled row by row (`store.remnants`), before its entries are checked
chain by chain; so each word taken here is its author's own, signed.
"""

from collections.abc import Iterable, Iterator

from p2pchat.core import sealing
from p2pchat.core.acts import CREATE, Create
from p2pchat.core.clock import seconds
from p2pchat.core.entry import (
    DEVICE,
    EPOCH,
    GRANT,
    Entry,
    EpochBody,
    GrantBody,
    body_fits,
    certificate_of,
    decode_body,
    parse_header,
)
from p2pchat.core.identity import Certificate, Identity, direct_room
from p2pchat.store import contacts, journal, rooms
from p2pchat.store.database import Connection

__all__ = ["explain"]

_OF_ROOMS = (
    "members", "epochs", "forks", "withheld", "arrivals", "invite_rooms", "receipts", "chains",
)  # fmt: skip


def explain(tx: Connection, identity: Identity, guessed: Iterable[bytes]) -> None:
    """Make whole what is known of rooms. `guessed`: those of which the row itself is lost.

    A room that nothing explains is forgotten, and what belongs to it.
    """
    known = {row.room: row for row in rooms.all_rooms(tx)}
    for room in guessed:
        if not (_is_group(tx, room) or _is_direct(tx, room, identity)):
            _forget(tx, room)
            del known[room]
    for room, row in known.items():
        if rooms.kind(tx, room) == "direct":
            _pair(tx, room, identity, row.created)
        _open(tx, room, identity)


def _is_group(tx: Connection, room: bytes) -> bool:
    """Whether its founder says so; it has the founder's name for it then."""
    for entry in _held(tx, room, CREATE):
        made = decode_body(CREATE, entry.body or b"")
        if isinstance(made, Create) and certificate_of(entry.header, entry.body) is not None:
            tx.execute(
                "UPDATE rooms SET kind = 'group', name = ?, created = ? WHERE room = ?",
                (made.name, seconds(entry.header.time), room),
            )
            return True
    return False


def _is_direct(tx: Connection, room: bytes, identity: Identity) -> bool:
    return any(direct_room(identity.person, other) == room for other in _others(tx, room))


def _pair(tx: Connection, room: bytes, identity: Identity, created: float) -> None:
    """Both of a room of two belong to it, and who writes in it is a contact."""
    for other in _others(tx, room):
        if direct_room(identity.person, other) == room:
            tx.executemany(
                "INSERT OR IGNORE INTO members VALUES (?, ?)",
                [(room, identity.person), (room, other)],
            )
            for certificate in _certificates(tx, room):
                if certificate.person == other:
                    # Where a contact is lost, so is the secret that the invite made. This one will
                    # find no way to the other by itself, but the person keeps its name.
                    contacts.meet(tx, certificate, identity.secret_with(certificate), created)


def _others(tx: Connection, room: bytes) -> set[bytes]:
    """Who might be the other one of a room of two."""
    found = {contact.person for contact in contacts.all_contacts(tx)}
    found |= {certificate.person for certificate in _certificates(tx, room)}
    for _, body in _epochs(tx, room):
        found |= {recipient.person for recipient in body.recipients}
    return found


def _certificates(tx: Connection, room: bytes) -> Iterator[Certificate]:
    for entry in _held(tx, room, DEVICE):
        if (certificate := certificate_of(entry.header, entry.body)) is not None:
            yield certificate


def _epochs(tx: Connection, room: bytes) -> Iterator[tuple[bytes, EpochBody]]:
    for entry in _held(tx, room, EPOCH):
        body = decode_body(EPOCH, entry.body or b"")
        if isinstance(body, EpochBody):
            yield entry.header.epoch, body


def _open(tx: Connection, room: bytes, identity: Identity) -> None:
    """Keys of epochs, as far as entries hand them to us; what they commit to proves them."""
    made = dict(_epochs(tx, room))
    claims = {
        epoch: tuple(recipient.person for recipient in body.recipients)
        for epoch, body in made.items()
    }
    keys: dict[bytes, bytes] = {}
    for epoch, body in made.items():
        if (key := sealing.open_epoch(room, epoch, body, identity)) is not None:
            keys[epoch] = key
    for entry in _held(tx, room, GRANT):
        epoch, grant = entry.header.epoch, decode_body(GRANT, entry.body or b"")
        if isinstance(grant, GrantBody) and epoch in claims and epoch not in keys:
            given = grant.recipients
            key = sealing.open_recipients(room, epoch, given, [claims[epoch]], identity)
            if key is not None:
                keys[epoch] = key
    waiting = list(keys)
    while waiting:
        epoch = waiting.pop()
        for link in made[epoch].links:
            if link.epoch in claims and link.epoch not in keys:
                of = [claims[link.epoch]]
                key = sealing.open_link(room, epoch, keys[epoch], link, of)
                if key is not None:
                    keys[link.epoch] = key
                    waiting.append(link.epoch)
    tx.executemany(
        "INSERT OR REPLACE INTO epochs VALUES (?, ?, ?)",
        [(room, epoch, key) for epoch, key in keys.items()],
    )


def _held(tx: Connection, room: bytes, kind: int) -> Iterator[Entry]:
    """Entries of a kind whose headers and bodies belong together."""
    rows = tx.execute(
        f"SELECT {journal.COLUMNS} FROM entries WHERE room = ? AND kind = ?",  # noqa: S608
        (room, kind),
    ).fetchall()
    for row in rows:
        if parse_header(row[2]) is not None:
            for entry in journal.entries_of([row]):
                if body_fits(entry.header, entry.body):
                    yield entry


def _forget(tx: Connection, room: bytes) -> None:
    tx.execute("DELETE FROM entries WHERE room = ?", (room,))
    for table in _OF_ROOMS:
        tx.execute(f"DELETE FROM {table} WHERE room = ?", (room,))  # noqa: S608
    tx.execute("DELETE FROM rooms WHERE room = ?", (room,))
