"""Bodies and epoch keys under encryption (docs/protocol.md, 8: Bodies).

A fresh key for each body, from the epoch key and a random salt that travels with it: never from the
entry's place alone, since a cloned home would write two bodies at one place. So the nonce may be
fixed. AES-256-GCM does not commit to its key; the epoch id does.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from p2pchat.core.bounds import RECIPIENTS_MAX
from p2pchat.core.entry import EpochBody, EpochLink, Header, Recipient
from p2pchat.core.identity import Certificate, Identity, Random, derive, digest

__all__ = [
    "epoch_id",
    "open_body",
    "open_epoch",
    "open_link",
    "open_recipients",
    "place",
    "seal_body",
    "seal_epoch",
    "seal_recipients",
]

_SALT = 16
_NONCE = bytes(12)
_HPKE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
_SUITE = 1


def place(room: bytes, device: bytes, incarnation: bytes, seq: int, kind: int) -> bytes:
    """The associated data of a body: where it stands."""
    return (
        b"p2pchat/1/body"
        + room
        + device
        + incarnation
        + seq.to_bytes(8, "big")
        + kind.to_bytes(8, "big")
    )


def seal_body(epoch_key: bytes, plaintext: bytes, where: bytes, random: Random) -> bytes:
    salt = random(_SALT)
    key = derive(epoch_key, b"p2pchat/1/body" + salt)
    return salt + AESGCM(key).encrypt(_NONCE, plaintext, where)


def open_body(epoch_key: bytes, body: bytes, header: Header) -> bytes | None:
    """The plaintext of a body, or None if it was not sealed under `epoch_key` for this place."""
    if len(body) < _SALT + 16:
        return None
    key = derive(epoch_key, b"p2pchat/1/body" + body[:_SALT])
    where = place(header.room, header.device, header.incarnation, header.seq, header.kind)
    try:
        return AESGCM(key).decrypt(_NONCE, body[_SALT:], where)
    except InvalidTag:
        return None


def epoch_id(room: bytes, key: bytes, persons: Iterable[bytes]) -> bytes:
    """Commits to the key and to whom it was given."""
    return digest("epoch", room, digest("epoch/key", key), *sorted(set(persons)))


def _info(room: bytes, epoch: bytes) -> bytes:
    return b"p2pchat/1/epoch" + room + epoch


def seal_epoch(
    room: bytes,
    key: bytes,
    members: Sequence[Certificate],
    parents: Sequence[bytes],
    linked: Mapping[bytes, bytes] = MappingProxyType({}),
) -> tuple[bytes, EpochBody]:
    """A new epoch's id, and the body that hands `key` to each of `members`.

    `linked` are earlier epochs that they shall read too, with their keys.
    """
    epoch = epoch_id(room, key, [member.person for member in members])
    links = tuple(
        EpochLink(earlier, AESGCM(_link_key(key, earlier)).encrypt(_NONCE, inner, room + epoch))
        for earlier, inner in sorted(linked.items())
    )
    recipients = seal_recipients(room, epoch, key, members)
    return epoch, EpochBody(_SUITE, tuple(sorted(parents)), recipients, links)


def seal_recipients(
    room: bytes, epoch: bytes, key: bytes, members: Sequence[Certificate]
) -> tuple[Recipient, ...]:
    """The key of an epoch for each of `members`."""
    info = _info(room, epoch)
    return tuple(
        Recipient(
            member.person,
            member.device,
            member.prekey,
            _HPKE.encrypt(key, X25519PublicKey.from_public_bytes(member.prekey), info),
        )
        for member in members
    )


def open_epoch(room: bytes, epoch: bytes, body: EpochBody, identity: Identity) -> bytes | None:
    """The epoch's key, if it was sealed to `identity` and is the key that `epoch` commits to."""
    if body.suite != _SUITE:
        return None
    persons = tuple(recipient.person for recipient in body.recipients)
    return open_recipients(room, epoch, body.recipients, [persons], identity)


def open_recipients(
    room: bytes,
    epoch: bytes,
    recipients: Sequence[Recipient],
    claims: Collection[tuple[bytes, ...]],
    identity: Identity,
) -> bytes | None:
    """The key of `epoch`, if it was sealed to `identity` and is what `epoch` commits to.

    `claims`: people whom the epoch may have been made for; of several one alone can be right.
    """
    if len(recipients) > RECIPIENTS_MAX:
        return None
    for recipient in recipients:
        if recipient.prekey != identity.certificate.prekey:
            continue
        secret = X25519PrivateKey.from_private_bytes(identity.prekey_secret)
        try:
            key = _HPKE.decrypt(recipient.sealed, secret, _info(room, epoch))
        except (InvalidTag, ValueError):
            continue
        if len(key) == 32 and any(epoch_id(room, key, claim) == epoch for claim in claims):
            return key
    return None


def open_link(
    room: bytes,
    epoch: bytes,
    key: bytes,
    link: EpochLink,
    claims: Collection[tuple[bytes, ...]],
) -> bytes | None:
    """The key of the epoch that `link` leads to, from that of `epoch`; `claims` as above."""
    try:
        earlier = AESGCM(_link_key(key, link.epoch)).decrypt(_NONCE, link.sealed, room + epoch)
    except (InvalidTag, ValueError):
        return None
    if len(earlier) != 32:
        return None
    if not any(epoch_id(room, earlier, claim) == link.epoch for claim in claims):
        return None
    return earlier


def _link_key(key: bytes, earlier: bytes) -> bytes:
    # One key for one link, so that the nonce may be fixed.
    return derive(key, b"p2pchat/1/epoch/link" + earlier)
