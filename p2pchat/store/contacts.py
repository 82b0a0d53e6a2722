"""People we have met, on disk."""

from dataclasses import dataclass

import msgspec

from p2pchat.core.identity import Certificate
from p2pchat.store.database import Connection

__all__ = ["Contact", "all_contacts", "meet", "put", "renew", "seen"]


@dataclass(frozen=True, slots=True)
class Contact:
    """`secret` is shared by the two of us alone; times are Unix seconds."""

    certificate: Certificate
    secret: bytes
    created: float
    last_seen: float

    @property
    def person(self) -> bytes:
        return self.certificate.person


_encode = msgspec.msgpack.Encoder().encode
_DECODER = msgspec.msgpack.Decoder(Certificate)


def put(tx: Connection, certificate: Certificate, secret: bytes | None, now: float) -> None:
    """Add a contact, or bring its certificate (and its secret, if given) up to date."""
    person, encoded = certificate.person, _encode(certificate)
    if secret is None:
        tx.execute(
            "UPDATE contacts SET certificate = ?, last_seen = ? WHERE person = ?",
            (encoded, now, person),
        )
        return
    tx.execute(
        "INSERT INTO contacts (person, certificate, secret, created, last_seen)"
        " VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT (person) DO UPDATE"
        " SET certificate = ?2, secret = ?3, last_seen = ?4",
        (person, encoded, secret, now),
    )


def meet(tx: Connection, certificate: Certificate, secret: bytes, now: float) -> bool:
    """Add a contact by a secret that no invite made; whether it was none. Not seen yet: 0."""
    cursor = tx.execute(
        "INSERT OR IGNORE INTO contacts (person, certificate, secret, created, last_seen)"
        " VALUES (?, ?, ?, ?, 0)",
        (certificate.person, _encode(certificate), secret, now),
    )
    return bool(cursor.rowcount)


def renew(tx: Connection, certificate: Certificate) -> None:
    """A contact shows another certificate, under another name maybe; of others nothing is kept."""
    tx.execute(
        "UPDATE contacts SET certificate = ? WHERE person = ?",
        (_encode(certificate), certificate.person),
    )


def seen(tx: Connection, person: bytes, now: float) -> None:
    tx.execute("UPDATE contacts SET last_seen = ? WHERE person = ?", (now, person))


def all_contacts(tx: Connection) -> list[Contact]:
    rows = tx.execute(
        "SELECT certificate, secret, created, last_seen FROM contacts ORDER BY created, person"
    )
    return [Contact(_DECODER.decode(row[0]), *row[1:]) for row in rows]
