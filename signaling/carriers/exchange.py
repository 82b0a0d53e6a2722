"""The bytes of one LAN exchange, and who may start how many (docs/protocol.md, 4).

    seeker  "P2PL" | version u8             "P2PC" instead: a line (`lan_lines`)
    seeker  salt 16 | count u16 | tags 16…
    server  count u16 | indexes u16…             of the tags it knows
    seeker  index u16 | length u16 | offer       for one of them at a time
    server  length u16 | answer                  length 0: no

Readers raise ValueError for what is out of bounds, IncompleteReadError for what is cut short. Time
is bounded by the caller, bytes by the counts here: at most 256 tags and 256 envelopes each way.
"""

import asyncio
import hmac
import struct
from collections.abc import Sequence
from typing import Literal

from signaling.envelope import ENVELOPE_MAX, SlotKeys

__all__ = [
    "SALT",
    "TAG",
    "TAGS_MAX",
    "TAGS_STEP",
    "Gate",
    "read_answer",
    "read_known",
    "read_offer",
    "read_opening",
    "read_tags",
    "slot_tag",
    "write_answer",
    "write_call",
    "write_known",
    "write_offer",
    "write_tags",
]

TAGS_MAX = 256
_SLOTS, _LINE = b"P2PL\x01", b"P2PC\x01"
TAG = SALT = 16
TAGS_STEP = 16
"""Tags are filled up with random ones to a multiple of this."""


def slot_tag(keys: SlotKeys, nonce: bytes, salt: bytes) -> bytes:
    """What names a slot to an instance with this nonce, on one connection, and to nobody else.

    With the nonce alone an instance that never changes its own would know a seeker again.
    """
    return hmac.digest(keys.tag, b"p2pchat/1/lan" + nonce + salt, "sha256")[:TAG]


# -- seeker ----------------------------------------------------------------------------------------


async def write_tags(writer: asyncio.StreamWriter, salt: bytes, tags: Sequence[bytes]) -> None:
    writer.write(_SLOTS + salt + struct.pack("!H", len(tags)) + b"".join(tags))
    await writer.drain()


async def read_known(reader: asyncio.StreamReader, asked: int) -> list[int]:
    """Indexes of the tags known there, each once."""
    (count,) = struct.unpack("!H", await reader.readexactly(2))
    if count > asked:
        raise ValueError("more indexes than tags")
    indexes = struct.unpack(f"!{count}H", await reader.readexactly(2 * count))
    if any(index >= asked for index in indexes):
        raise ValueError("an index without a tag")
    return list(dict.fromkeys(indexes))


async def write_offer(writer: asyncio.StreamWriter, index: int, envelope: bytes) -> None:
    writer.write(struct.pack("!HH", index, len(envelope)) + envelope)
    await writer.drain()


async def read_answer(reader: asyncio.StreamReader) -> bytes | None:
    """The envelope, None if the offer was declined."""
    (length,) = struct.unpack("!H", await reader.readexactly(2))
    if length > ENVELOPE_MAX:
        raise ValueError("answer too long")
    return await reader.readexactly(length) if length else None


async def write_call(writer: asyncio.StreamWriter, nameplate: int) -> None:
    writer.write(_LINE + struct.pack("!H", nameplate))
    await writer.drain()


# -- server ----------------------------------------------------------------------------------------


async def read_opening(reader: asyncio.StreamReader) -> Literal["slots", "line"]:
    """What the connection is for."""
    opening = await reader.readexactly(len(_SLOTS))
    if opening not in (_SLOTS, _LINE):
        raise ValueError("not an exchange of ours")
    return "slots" if opening == _SLOTS else "line"


async def read_tags(reader: asyncio.StreamReader) -> tuple[bytes, list[bytes]]:
    """The salt, and the tags."""
    salt = await reader.readexactly(SALT)
    (count,) = struct.unpack("!H", await reader.readexactly(2))
    if count > TAGS_MAX:
        raise ValueError("too many tags")
    tags = await reader.readexactly(TAG * count)
    return salt, [tags[at : at + TAG] for at in range(0, len(tags), TAG)]


async def write_known(writer: asyncio.StreamWriter, indexes: Sequence[int]) -> None:
    writer.write(struct.pack(f"!H{len(indexes)}H", len(indexes), *indexes))
    await writer.drain()


async def read_offer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    index, length = struct.unpack("!HH", await reader.readexactly(4))
    if not 0 < length <= ENVELOPE_MAX:
        raise ValueError("offer of a wrong length")
    return index, await reader.readexactly(length)


async def write_answer(writer: asyncio.StreamWriter, envelope: bytes | None) -> None:
    data = envelope or b""
    writer.write(struct.pack("!H", len(data)) + data)
    await writer.drain()


class Gate:
    """How many exchanges a source address may have open, and how fast it may begin them.

    Generous for homes that share a machine, and so an address; one neighbour alone cannot take all.
    """

    OPEN_MAX = 64
    OPEN_EACH = 32
    BURST = 64.0
    PER_S = 4.0
    _SOURCES_MAX = 1_024

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        # Per source: what is left of its burst, and when that was counted.
        self._left: dict[str, tuple[float, float]] = {}

    def enter(self, source: str, now: float) -> bool:
        """Whether `source` may begin an exchange; `leave` must follow if so."""
        left, counted = self._left.pop(source, (self.BURST, now))
        left = min(self.BURST, left + (now - counted) * self.PER_S)
        admitted = (
            left >= 1
            and self._open.get(source, 0) < self.OPEN_EACH
            and sum(self._open.values()) < self.OPEN_MAX
        )
        # Put back at the end, so that the one unheard of for longest is forgotten first.
        self._left[source] = (left - admitted, now)
        if len(self._left) > self._SOURCES_MAX:
            del self._left[next(iter(self._left))]
        if admitted:
            self._open[source] = self._open.get(source, 0) + 1
        return admitted

    def leave(self, source: str) -> None:
        self._open[source] -= 1
        if not self._open[source]:
            del self._open[source]
