"""The text form of an invite or a reply: letters and digits only, with a checksum.

Survives line wraps, quotes and spaces, and is selected whole by a double click. Base58 with the
Bitcoin alphabet: no character that a chat program styles, none that looks like another.
"""

import hashlib
from enum import IntEnum

from signaling.errors import SignalingError

__all__ = ["PREFIX", "Kind", "decode", "encode"]

PREFIX = "p2p1"
VERSION = 1
_TEXT_MAX = 2_048
"""Characters looked at: a blob has 300, wraps and quotes of a long mail thread some more."""
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_QUOTES = "\"'“”‘’«»`<>"
_DROPPED = dict.fromkeys(map(ord, _QUOTES + "\u200b\ufeff"))
_CONTEXT = b"p2pchat/1/blob"
_CHECKSUM = 4


class Kind(IntEnum):
    INVITE = 1
    REPLY = 2


def encode(kind: Kind, payload: bytes) -> str:
    data = bytes((VERSION, kind)) + payload
    # The leading byte is the version and never zero, so the number keeps its length.
    number = int.from_bytes(data + _checksum(data), "big")
    digits = []
    while number:
        number, value = divmod(number, 58)
        digits.append(_ALPHABET[value])
    return PREFIX + "".join(reversed(digits))


def decode(text: str) -> tuple[Kind, bytes]:
    """Kind and payload.

    Raises SignalingError: `blob-foreign`, `blob-damaged`, `blob-newer`.
    """
    if len(text) > _TEXT_MAX:
        raise _foreign()
    # Quote marks may stand around it and, from a mail program, before each wrapped line.
    compact = "".join(text.split()).translate(_DROPPED)
    if not compact.startswith(PREFIX):
        raise _foreign()
    if compact[len(PREFIX) :].startswith(_ALPHABET[0]):
        # A leading zero digit would change the text and not the number.
        raise _damaged()
    number = 0
    for character in compact[len(PREFIX) :]:
        value = _VALUES.get(character)
        if value is None:
            raise _damaged()
        number = number * 58 + value
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    if len(data) < 2 + _CHECKSUM or _checksum(data[:-_CHECKSUM]) != data[-_CHECKSUM:]:
        raise _damaged()
    if data[0] != VERSION:
        raise SignalingError(
            "blob-newer", "this blob was made by a newer p2pchat", "update p2pchat and try again"
        )
    try:
        kind = Kind(data[1])
    except ValueError:
        raise SignalingError(
            "blob-newer",
            "this blob is of a kind that this p2pchat does not know",
            "update p2pchat and try again",
        ) from None
    return kind, data[2:-_CHECKSUM]


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(_CONTEXT + data).digest()[:_CHECKSUM]


def _foreign() -> SignalingError:
    return SignalingError(
        "blob-foreign",
        "this is not a p2pchat blob",
        f"a blob begins with {PREFIX} and is about 250 letters and digits long; paste all of it",
    )


def _damaged() -> SignalingError:
    return SignalingError(
        "blob-damaged",
        "this blob is damaged or cut short",
        "copy it again, from the first character to the last",
    )
