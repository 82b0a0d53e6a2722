"""The bytes of one DHT item, the keys it stands under, and when those change (docs/protocol.md, 4).

To whoever lacks the slot's secret each item is random bytes of one size under a key of its own:
neither what it says, nor whose it is, nor which two items belong together can be told.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from signaling.envelope import derive

__all__ = ["ENVELOPE_ROOM", "ITEM_SIZE", "Content", "ItemKeys", "Kind", "open_item", "periods",
           "seal_item"]  # fmt: skip

ITEM_SIZE = 640
"""Bytes, always: room for the largest description of 16 candidates; BEP 44 allows 1,000."""
_HEAD = 1 + 1 + 8 + 2
_NONCE, _TAG = 12, 16
ENVELOPE_ROOM = ITEM_SIZE - _NONCE - _TAG - _HEAD
_VERSION = 1
_CONTEXT = b"p2pchat/1/dht/item"
_PERIOD_S = 86_400
_OVERLAP_S = 7_200
"""How far off clocks may be, both together twice as much."""


class Kind(IntEnum):
    EMPTY = 0
    """Nothing any more: what stood here is taken back."""
    HERE = 1
    """Somebody serves this slot."""
    ENVELOPE = 2
    """An offer or an answer; with an answer, somebody serves this slot too."""


@dataclass(frozen=True, slots=True)
class Content:
    """`presence`: 8 random bytes, new ones whenever a server says to be here."""

    kind: Kind
    presence: bytes = bytes(8)
    envelope: bytes = b""


@dataclass(frozen=True, slots=True)
class ItemKeys:
    """Of one item in one period: `seed` signs, `public` finds, `cipher` opens."""

    seed: bytes
    public: bytes
    cipher: bytes

    def __repr__(self) -> str:
        return "ItemKeys(…)"

    @classmethod
    def derive(cls, slot_key: bytes, period: int) -> "ItemKeys":
        """`slot_key`: the slot's `offer` key for what seekers write, `answer` for servers."""
        root = derive(slot_key, b"p2pchat/1/dht" + period.to_bytes(4, "big"))
        seed = derive(root, b"p2pchat/1/dht/sign")
        public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        return cls(seed, public, derive(root, b"p2pchat/1/dht/cipher"))


def periods(now: float) -> tuple[int, ...]:
    """The periods to look into: today's, and for some hours its neighbour's. Unix seconds."""
    at = int(now)
    spans = (at // _PERIOD_S, (at - _OVERLAP_S) // _PERIOD_S, (at + _OVERLAP_S) // _PERIOD_S)
    return tuple(dict.fromkeys(max(0, span) for span in spans))


def seal_item(keys: ItemKeys, content: Content, random: Callable[[int], bytes]) -> bytes:
    """Raises ValueError for an envelope that does not fit."""
    if len(content.envelope) > ENVELOPE_ROOM:
        raise ValueError("an envelope larger than an item")
    length = len(content.envelope).to_bytes(2, "big")
    plaintext = bytes((_VERSION, content.kind)) + content.presence + length + content.envelope
    nonce = random(_NONCE)
    padded = plaintext.ljust(_HEAD + ENVELOPE_ROOM, b"\0")
    return nonce + AESGCM(keys.cipher).encrypt(nonce, padded, _CONTEXT)


def open_item(keys: ItemKeys, value: bytes) -> Content | None:
    """What an item says, None if it was not made for this slot, or not by these rules."""
    if len(value) != ITEM_SIZE:
        return None
    try:
        plaintext = AESGCM(keys.cipher).decrypt(value[:_NONCE], value[_NONCE:], _CONTEXT)
    except InvalidTag:
        return None
    version, kind, presence = plaintext[0], plaintext[1], plaintext[2:10]
    length, rest = int.from_bytes(plaintext[10:_HEAD], "big"), plaintext[_HEAD:]
    if version != _VERSION or kind not in tuple(Kind) or length > ENVELOPE_ROOM:
        return None
    if any(rest[length:]) or (length > 0) != (kind == Kind.ENVELOPE):
        return None
    return Content(Kind(kind), presence, rest[:length])
