"""One entry of the journal: a signed header, and its body apart (docs/protocol.md, 8).

The id covers the header as received; the signature signs the id and is not part of it, since one
message has many valid Ed25519 signatures and must not look like a fork. The body may go missing
(deleted) and the chain still verifies.
"""

import hashlib
from typing import Annotated

import msgspec

from p2pchat.core import acts
from p2pchat.core.bounds import AFTER_MAX, BODY_BYTES_MAX, HEADER_BYTES_MAX, LIFETIME_S_MAX
from p2pchat.core.clock import in_bounds
from p2pchat.core.identity import Certificate, digest, signed_by

__all__ = [
    "DELETE",
    "DENIAL",
    "DEVICE",
    "EDIT",
    "EPOCH",
    "GRANT",
    "MESSAGE",
    "PIN",
    "REACTION",
    "REQUEST",
    "SHARE",
    "VERSION",
    "VOUCH",
    "DeleteBody",
    "DenialBody",
    "EditBody",
    "Entry",
    "EpochBody",
    "EpochLink",
    "GrantBody",
    "Header",
    "MessageBody",
    "PinBody",
    "ReactionBody",
    "Recipient",
    "RequestBody",
    "ShareBody",
    "VouchBody",
    "body_fits",
    "body_hash",
    "certificate_of",
    "chain_id",
    "decode_body",
    "entry_id",
    "header_holds",
    "is_act",
    "is_sealed",
    "parse_header",
    "signature_holds",
    "statement",
]

VERSION = 1
DEVICE, EPOCH, MESSAGE, SHARE = 1, 2, 3, 4
VOUCH = 32
GRANT, REQUEST, DENIAL = 22, 33, 34
EDIT, DELETE, REACTION, PIN = 5, 6, 7, 8
_WHOLE = frozenset({DELETE, REACTION, PIN, VOUCH})
"""Sealed kinds whose body nobody may leave out: they say something of others."""


class Header(msgspec.Struct, frozen=True, array_like=True):
    """What is hashed and signed. `time` is a hybrid clock value, `length` that of the body."""

    version: int
    room: bytes
    device: bytes
    incarnation: bytes
    seq: int
    prev: bytes
    after: tuple[bytes, ...]
    time: int
    kind: int
    epoch: bytes
    length: int
    body_hash: bytes


class Entry(msgspec.Struct, frozen=True):
    """A header that passed `parse_header`, its bytes as received, and what goes with it.

    `body` is as stored (sealed unless of a plain kind), None if deleted; `signature` is None inside
    a run, where the last one vouches for all before it.
    """

    id: bytes
    chain: bytes
    header: Header
    raw: bytes
    body: bytes | None
    signature: bytes | None


class MessageBody(msgspec.Struct, frozen=True, array_like=True):
    """`lifetime_s`: what the room's timer was when it was written; None where it stays."""

    text: str
    reply_to: bytes | None = None
    lifetime_s: Annotated[int, msgspec.Meta(ge=1, le=LIFETIME_S_MAX)] | None = None


class EditBody(msgspec.Struct, frozen=True, array_like=True):
    target: bytes
    text: str


class DeleteBody(msgspec.Struct, frozen=True, array_like=True):
    target: bytes


class ReactionBody(msgspec.Struct, frozen=True, array_like=True):
    target: bytes
    text: str
    on: bool


class PinBody(msgspec.Struct, frozen=True, array_like=True):
    target: bytes
    on: bool


class ShareBody(msgspec.Struct, frozen=True, array_like=True):
    share: bytes
    name: str
    size: int
    magnet: str


class VouchBody(msgspec.Struct, frozen=True, array_like=True):
    """The author has compared safety numbers with `person`, or takes that back."""

    person: bytes
    verified: bool


class Recipient(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One device's copy of an epoch key, sealed by HPKE to the prekey named."""

    person: bytes
    device: bytes
    prekey: bytes
    sealed: bytes


class EpochLink(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The key of an earlier epoch, for whoever has that of the one this stands in."""

    epoch: bytes
    sealed: bytes


class EpochBody(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    suite: int
    parents: tuple[bytes, ...]
    recipients: tuple[Recipient, ...]
    links: tuple[EpochLink, ...] = ()


class GrantBody(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The key of the epoch that the header names, for people who came since."""

    recipients: tuple[Recipient, ...]


class RequestBody(msgspec.Struct, frozen=True, array_like=True):
    """Somebody asks to be let in; `secret` is how members find it once it is."""

    certificate: Certificate
    secret: bytes


class DenialBody(msgspec.Struct, frozen=True, array_like=True):
    request: bytes


_BODIES: dict[int, type[msgspec.Struct]] = {
    DEVICE: Certificate,
    EPOCH: EpochBody,
    MESSAGE: MessageBody,
    SHARE: ShareBody,
    VOUCH: VouchBody,
    acts.CREATE: acts.Create,
    acts.ADMIT: acts.Admit,
    acts.REMOVE: acts.Remove,
    acts.LEAVE: acts.Leave,
    acts.ROLE: acts.Role,
    acts.SETTING: acts.Setting,
    GRANT: GrantBody,
    REQUEST: RequestBody,
    DENIAL: DenialBody,
    EDIT: EditBody,
    DELETE: DeleteBody,
    REACTION: ReactionBody,
    PIN: PinBody,
}
_DECODERS = {kind: msgspec.msgpack.Decoder(type_) for kind, type_ in _BODIES.items()}
_HEADER = msgspec.msgpack.Decoder(Header)
_ENTRY = b"p2pchat/1/entry"
_SIGNATURE = b"p2pchat/1/entry/signature"


def is_sealed(kind: int) -> bool:
    """Whether bodies of this kind are sealed under an epoch; what says who reads is in the clear.

    Only what is sealed may be deleted: what proves membership must stay.
    """
    return kind >= MESSAGE and not acts.CREATE <= kind < 32


def is_act(kind: int) -> bool:
    """Whether entries of this kind make, or may one day make, membership."""
    return acts.CREATE <= kind < 32 and kind != GRANT


def entry_id(raw_header: bytes) -> bytes:
    return hashlib.sha256(_ENTRY + raw_header).digest()


def chain_id(room: bytes, device: bytes, incarnation: bytes) -> bytes:
    return digest("chain", room, device, incarnation)[:16]


def body_hash(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()


def body_fits(header: Header, body: bytes | None) -> bool:
    """Whether `body` is what `header` names, or may be missing."""
    if body is None:
        # Only what a person may delete may be missing: what proves something may not.
        return is_sealed(header.kind) and header.kind not in _WHOLE
    return len(body) == header.length and body_hash(body) == header.body_hash


def statement(id_: bytes) -> bytes:
    """What an entry's signature signs."""
    return _SIGNATURE + id_


def signature_holds(entry: Entry) -> bool:
    return entry.signature is not None and signed_by(
        entry.header.device, statement(entry.id), entry.signature
    )


def parse_header(raw: bytes) -> Header | None:
    """The header in `raw`, or None if it breaks a rule that needs no other entry to see."""
    if len(raw) > HEADER_BYTES_MAX:
        return None
    try:
        header = _HEADER.decode(raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return header if header_holds(header) else None


def header_holds(header: Header) -> bool:
    """Whether a header breaks no rule that needs no other entry to see."""
    return (
        header.version == VERSION
        and len(header.room) == len(header.device) == len(header.body_hash) == 32
        and len(header.incarnation) == 8
        and len(header.prev) == (32 if header.seq else 0)
        and len(header.epoch) in (0, 32)
        and (not header.after or _causes_fit(header.after))
        and 0 <= header.seq < 1 << 63
        and 0 <= header.kind < 1 << 31
        and 0 <= header.length <= BODY_BYTES_MAX
        and in_bounds(header.time)
    )


def _causes_fit(after: tuple[bytes, ...]) -> bool:
    return (
        len(after) <= AFTER_MAX
        and all(len(cause) == 32 for cause in after)
        and list(after) == sorted(set(after))
    )


def decode_body(kind: int, plaintext: bytes) -> msgspec.Struct | None:
    """The body of a known kind, or None if it is malformed or of a kind not known here."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        return None
    try:
        return decoder.decode(plaintext)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def certificate_of(header: Header, body: bytes | None) -> Certificate | None:
    """What a DEVICE or CREATE says of its author's device, if it holds and is of that very device.

    A body can be put below any header before hash and signature are looked at: what is believed of
    its author is the author's own word, or nothing.
    """
    found = decode_body(header.kind, body or b"")
    certificate = found.certificate if isinstance(found, acts.Create) else found
    if (
        not isinstance(certificate, Certificate)
        or certificate.device != header.device
        or not certificate.holds()
    ):
        return None
    return certificate
