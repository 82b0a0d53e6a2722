"""What the two ends of a slot leave for each other in a mailbox: where, and sealed (protocol, 4).

    greeting  from who serves, where both look      a nonce, fresh with each connection: I am here
    offer     from who seeks, at the nonce's name   an offer envelope
    answer    from who serves, at the offer's name  an answer envelope; empty: not now

Names and seals derive from the slot's secret, and a seal holds at its name alone: whoever keeps the
mailbox can link nothing across days, read nothing, and move nothing to another place or time.
"""

import hmac
from collections.abc import Callable
from enum import IntEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from signaling.envelope import ENVELOPE_MAX, SlotKeys, derive

__all__ = [
    "LETTER_MAX",
    "NAME_BYTES",
    "NONCE_BYTES",
    "PERIOD_S",
    "Kind",
    "answer_name",
    "greeting_names",
    "offer_name",
    "open_letter",
    "seal_letter",
]

NAME_BYTES = 16
NONCE_BYTES = 16
LETTER_MAX = ENVELOPE_MAX + 12 + 16
PERIOD_S = 86_400
"""Greetings lie elsewhere each day."""
_TOLERANCE_S = 3_600
"""By which two clocks may differ around midnight, half of it each way."""
_CONTEXT = b"p2pchat/1/mailbox/"
Random = Callable[[int], bytes]


class Kind(IntEnum):
    GREETING = 1
    OFFER = 2
    ANSWER = 3


def greeting_names(keys: SlotKeys, now: float) -> list[bytes]:
    """Where to greet, and where to look for greetings: one name, around midnight (UTC) two."""
    periods = {int(now + skew) // PERIOD_S for skew in (-_TOLERANCE_S, _TOLERANCE_S)}
    return [_name(keys, Kind.GREETING, period.to_bytes(8, "big")) for period in sorted(periods)]


def offer_name(keys: SlotKeys, nonce: bytes) -> bytes:
    return _name(keys, Kind.OFFER, nonce)


def answer_name(keys: SlotKeys, binding: bytes) -> bytes:
    """`binding`: that of the offer's envelope."""
    return _name(keys, Kind.ANSWER, binding)


def _name(keys: SlotKeys, kind: Kind, which: bytes) -> bytes:
    return hmac.digest(keys.tag, _CONTEXT + bytes((kind,)) + which, "sha256")[:NAME_BYTES]


def seal_letter(keys: SlotKeys, kind: Kind, name: bytes, content: bytes, random: Random) -> bytes:
    nonce = random(12)
    return nonce + _cipher(keys).encrypt(nonce, content, _CONTEXT + bytes((kind,)) + name)


def open_letter(keys: SlotKeys, kind: Kind, name: bytes, data: bytes) -> bytes | None:
    """The content, None if it is no letter of this slot, kind and name."""
    if not 12 + 16 <= len(data) <= LETTER_MAX:
        return None
    try:
        return _cipher(keys).decrypt(data[:12], data[12:], _CONTEXT + bytes((kind,)) + name)
    except InvalidTag:
        return None


def _cipher(keys: SlotKeys) -> AESGCM:
    return AESGCM(derive(keys.tag, _CONTEXT + b"seal"))
