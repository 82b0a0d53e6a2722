"""Rooms of many on disk, and who is on the way into one."""

from dataclasses import dataclass

import msgspec

from p2pchat.core.acts import CREATE, Create
from p2pchat.core.chain import ForkProof, Head
from p2pchat.core.entry import DEVICE, EPOCH, GRANT, Entry
from p2pchat.core.group import Group
from p2pchat.core.identity import Certificate
from p2pchat.store import amendments, journal, rooms, withheld
from p2pchat.store.database import Connection

__all__ = [
    "Arrival",
    "Join",
    "add_arrival",
    "add_join",
    "arrivals",
    "drop_arrival",
    "drop_join",
    "forget",
    "forked_acts",
    "invite_room",
    "joins",
    "load",
    "set_invite_room",
]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Certificate).decode


def load(tx: Connection, room: bytes, prekey: bytes) -> Group:
    """All that this node knows of a room of many. `prekey`: what keys are sealed to for us."""
    group = Group(room)
    for row in journal.heads(tx, room):
        group.restore(row.chain, Head(row.seq, row.id, row.device, row.time))
    for entry in [*journal.of_kind(tx, room, CREATE), *journal.of_kind(tx, room, DEVICE)]:
        body = group.read(entry)
        certificate = body.certificate if isinstance(body, Create) else body
        if isinstance(certificate, Certificate):
            group.certify(certificate)
        if entry.header.seq == 0:
            group.begun(entry)
    for entry in journal.acts(tx, room):
        _add_act(group, entry, group.certificates.get(entry.header.device))
    in_chains = group.membership.acts().keys()
    apart = [
        (certificate, entry)
        for certificate, entry in withheld.acts(tx, room)
        if entry.id not in in_chains
    ]
    for certificate, entry in apart:
        _add_act(group, entry, certificate)
    for chain, proof in journal.forks(tx, room).items():
        group.stop(chain, msgspec.msgpack.decode(proof, type=ForkProof))
    group.keep([*apart, *forked_acts(tx, group)])
    for kind in (EPOCH, GRANT):
        for entry in journal.of_kind(tx, room, kind):
            author = group.certificates.get(entry.header.device)
            if author is not None:
                group.learn_epoch(entry, author.person)
    group.epochs.update(rooms.epochs(tx, room))
    for grant in journal.of_kind(tx, room, GRANT):
        group.await_epoch(grant, prekey)
    return group


def forked_acts(tx: Connection, group: Group) -> list[tuple[Certificate, Entry]]:
    """The acts that are here of chains which are known to be forked, with their authors."""
    return [
        (group.certificates[group.heads[chain].device], entry)
        for chain in list(group.forks)
        if chain in group.heads
        for entry in journal.acts(tx, group.room, chain)
    ]


def _add_act(group: Group, entry: Entry, author: Certificate | None) -> None:
    placed = group.placed(entry, author.person) if author is not None else None
    if placed is not None:
        group.act(placed)


def forget(tx: Connection, room: bytes) -> None:
    """Delete all that is here of a room."""
    amendments.forget(tx, room)
    ids = tx.execute("SELECT id FROM entries WHERE room = ?", (room,)).fetchall()
    tx.executemany("DELETE FROM causes WHERE follower = ?", ids)
    for table in (
        "entries", "chains", "forks", "withheld", "arrivals", "invite_rooms", "receipts", "epochs",
        "unsettled", "members", "rooms",
    ):  # fmt: skip
        tx.execute(f"DELETE FROM {table} WHERE room = ?", (room,))  # noqa: S608  (constants)
    tx.memory.clear()


# -- invites into rooms --------------------------------------------------------------------------


def set_invite_room(tx: Connection, id_: bytes, room: bytes, *, ask: bool) -> None:
    tx.execute("INSERT INTO invite_rooms VALUES (?, ?, ?)", (id_, room, int(ask)))


def invite_room(tx: Connection, id_: bytes) -> tuple[bytes, bool] | None:
    """The room that an invite leads to, and whether members are asked."""
    row = tx.execute("SELECT room, ask FROM invite_rooms WHERE id = ?", (id_,)).fetchone()
    return (row[0], bool(row[1])) if row else None


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody whom an invite has brought, and of whom the room does not know yet."""

    room: bytes
    certificate: Certificate
    ask: bool


def add_arrival(tx: Connection, arrival: Arrival) -> None:
    tx.execute(
        "INSERT OR REPLACE INTO arrivals VALUES (?, ?, ?, ?)",
        (
            arrival.room,
            arrival.certificate.person,
            _encode(arrival.certificate),
            int(arrival.ask),
        ),
    )


def arrivals(tx: Connection) -> list[Arrival]:
    rows = tx.execute("SELECT room, certificate, ask FROM arrivals")
    return [Arrival(row[0], _decode(row[1]), bool(row[2])) for row in rows]


def drop_arrival(tx: Connection, room: bytes, person: bytes) -> None:
    tx.execute("DELETE FROM arrivals WHERE room = ? AND person = ?", (room, person))


@dataclass(frozen=True, slots=True)
class Join:
    """A room that `host` invited us to. `room` and `secret` once its members are asked."""

    host: bytes
    name: str
    made: float
    room: bytes | None = None
    secret: bytes | None = None


def add_join(tx: Connection, join: Join) -> None:
    tx.execute(
        "INSERT OR REPLACE INTO joins (host, room, name, secret, made) VALUES (?, ?, ?, ?, ?)",
        (join.host, join.room, join.name, join.secret, join.made),
    )


def joins(tx: Connection) -> list[Join]:
    rows = tx.execute("SELECT host, name, made, room, secret FROM joins ORDER BY made")
    return [Join(*row) for row in rows]


def drop_join(tx: Connection, host: bytes) -> None:
    tx.execute("DELETE FROM joins WHERE host = ?", (host,))
