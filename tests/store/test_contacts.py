"""People are kept with the newest that they showed, and with the secret that we share."""

import os

from p2pchat.core.identity import Certificate
from p2pchat.store import contacts
from p2pchat.store.contacts import Contact
from p2pchat.store.database import Database


def certificate(person: bytes, name: str = "ann") -> Certificate:
    return Certificate(person * 32, b"d" * 32, os.urandom(64), b"k" * 32, os.urandom(64), name)


async def test_a_contact_is_kept_and_found(database: Database) -> None:
    ann, bob = certificate(b"a"), certificate(b"b", "bob")
    await database.write(lambda tx: contacts.put(tx, bob, b"shared", 20.0))
    await database.write(lambda tx: contacts.put(tx, ann, b"common", 10.0))
    assert await database.read(contacts.all_contacts) == [
        Contact(ann, b"common", created=10.0, last_seen=10.0),
        Contact(bob, b"shared", created=20.0, last_seen=20.0),
    ]


async def test_a_later_invite_replaces_the_secret_and_keeps_the_rest(database: Database) -> None:
    old, new = certificate(b"a"), certificate(b"a", "anna")
    await database.write(lambda tx: contacts.put(tx, old, b"first", 10.0))
    await database.write(lambda tx: contacts.put(tx, new, b"second", 20.0))
    assert await database.read(contacts.all_contacts) == [
        Contact(new, b"second", created=10.0, last_seen=20.0)
    ]


async def test_a_newer_certificate_leaves_the_secret(database: Database) -> None:
    old, new = certificate(b"a"), certificate(b"a", "anna")
    await database.write(lambda tx: contacts.put(tx, old, b"secret", 10.0))
    await database.write(lambda tx: contacts.put(tx, new, None, 20.0))
    await database.write(lambda tx: contacts.seen(tx, new.person, 30.0))
    (contact,) = await database.read(contacts.all_contacts)
    assert (contact.certificate, contact.secret, contact.last_seen) == (new, b"secret", 30.0)


async def test_nobody_becomes_a_contact_without_a_secret(database: Database) -> None:
    await database.write(lambda tx: contacts.put(tx, certificate(b"a"), None, 10.0))
    assert await database.read(contacts.all_contacts) == []


async def test_a_contact_is_shown_by_its_newest_certificate_and_nobody_is_added(
    database: Database,
) -> None:
    old, new, other = certificate(b"a"), certificate(b"a", "anna"), certificate(b"b")
    await database.write(lambda tx: contacts.put(tx, old, b"first", 10.0))
    await database.write(lambda tx: contacts.renew(tx, new))
    await database.write(lambda tx: contacts.renew(tx, other))
    assert await database.read(contacts.all_contacts) == [
        Contact(new, b"first", created=10.0, last_seen=10.0)
    ]
