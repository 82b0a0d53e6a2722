"""What carriers move: offers and answers, sealed under keys that only the two ends have.

A carrier learns neither names nor addresses, and can neither alter nor swap anything: each kind has
its own key, and an answer is bound to the offer it answers (docs/protocol.md, 2 and 3).
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from signaling import sdp
from signaling.errors import SignalingError
from signaling.sdp import Description

__all__ = [
    "ENVELOPE_MAX",
    "SlotKeys",
    "derive",
    "offer_binding",
    "open_answer",
    "open_offer",
    "seal_answer",
    "seal_offer",
]

ENVELOPE_MAX = 1_000
"""Bytes: what one BEP 44 item holds, the narrowest carrier."""

_VERSION, _OFFER, _ANSWER = 1, 1, 2
_CONTEXT = b"p2pchat/1/envelope"
_OVERHEAD = 2 + 12 + 16 + 12
Random = Callable[[int], bytes]


def derive(key: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 with an empty salt, 32 bytes (RFC 5869)."""
    extracted = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


@dataclass(frozen=True, slots=True)
class SlotKeys:
    """The keys of one rendezvous."""

    offer: bytes
    answer: bytes
    tag: bytes

    def __repr__(self) -> str:
        return "SlotKeys(…)"

    @classmethod
    def derive(cls, secret: bytes) -> "SlotKeys":
        return cls(
            derive(secret, b"p2pchat/1/slot/offer"),
            derive(secret, b"p2pchat/1/slot/answer"),
            derive(secret, b"p2pchat/1/slot/tag"),
        )


def seal_offer(
    keys: SlotKeys, offer: Description, now: float, random: Random, *, room: int = ENVELOPE_MAX
) -> bytes:
    """At most `room` bytes, with as many candidates as fit."""
    return _seal(keys.offer, _OFFER, b"", offer, now, random, room)


def open_offer(keys: SlotKeys, data: bytes) -> Description | None:
    """The offer in `data`, None if it is not one of this slot."""
    return _open(keys.offer, _OFFER, b"", data)


def seal_answer(
    keys: SlotKeys,
    answer: Description,
    binding: bytes,
    now: float,
    random: Random,
    *,
    room: int = ENVELOPE_MAX,
) -> bytes:
    """`binding`: SHA-256 of the offer's envelope, or what a reply blob says instead."""
    return _seal(keys.answer, _ANSWER, binding, answer, now, random, room)


def open_answer(keys: SlotKeys, data: bytes, binding: bytes) -> Description | None:
    return _open(keys.answer, _ANSWER, binding, data)


def offer_binding(envelope: bytes) -> bytes:
    return hashlib.sha256(envelope).digest()


def _seal(
    key: bytes,
    kind: int,
    binding: bytes,
    description: Description,
    now: float,
    random: Random,
    room: int,
) -> bytes:
    head, nonce = bytes((_VERSION, kind)), random(12)
    body = sdp.pack(description, room - _OVERHEAD)
    plaintext = int(now).to_bytes(4, "big") + random(8) + body
    return head + nonce + AESGCM(key).encrypt(nonce, plaintext, _CONTEXT + head + binding)


def _open(key: bytes, kind: int, binding: bytes, data: bytes) -> Description | None:
    head = bytes((_VERSION, kind))
    if len(data) > ENVELOPE_MAX or len(data) < _OVERHEAD or data[:2] != head:
        return None
    try:
        plaintext = AESGCM(key).decrypt(data[2:14], data[14:], _CONTEXT + head + binding)
        return sdp.unpack(plaintext[12:])
    except (InvalidTag, SignalingError):
        return None
