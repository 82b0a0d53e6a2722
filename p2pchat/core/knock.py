"""What is said when somebody is visible on a network, and when somebody knocks (docs/protocol.md).

The bytes that `signaling.knocking` carries sealed, and the words that two people compare. Whoever
sends these is a stranger: names are tidied, and all beyond the bounds is refused.
"""

from typing import Annotated

import msgspec
from mnemonic import Mnemonic

from p2pchat.core.bounds import VISIBLE_ROOMS_MAX
from p2pchat.text import NAME_BYTES_MAX, tidy_name

__all__ = ["Knock", "Listing", "VisibleRoom", "check_words"]

_BITS_OF_A_WORD = 11
_WORDS = 3
_Tag = Annotated[bytes, msgspec.Meta(min_length=8, max_length=8)]
_Name = Annotated[str, msgspec.Meta(max_length=NAME_BYTES_MAX)]


class VisibleRoom(msgspec.Struct, frozen=True, array_like=True):
    """A room that may be knocked at. `tag` names it to this host only, and until it ends."""

    tag: _Tag
    name: _Name


class Listing(msgspec.Struct, frozen=True, array_like=True):
    """Who is visible. `tag` is random, new at each start; `person`: may be knocked at itself."""

    tag: _Tag
    name: _Name
    person: bool
    rooms: Annotated[tuple[VisibleRoom, ...], msgspec.Meta(max_length=VISIBLE_ROOMS_MAX)] = ()

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "Listing | None":
        """None for what nobody of ours says; names are as they may be shown."""
        try:
            said = msgspec.msgpack.decode(data, type=cls)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        rooms = tuple(VisibleRoom(one.tag, tidy_name(one.name, "?")) for one in said.rooms)
        return cls(said.tag, tidy_name(said.name, "?"), said.person, rooms)


class Knock(msgspec.Struct, frozen=True, array_like=True):
    """`name` asks to be let in, by `target`: the tag of a listing, or of a room in it."""

    name: _Name
    target: _Tag

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "Knock | None":
        """None for what nobody of ours says; the name is as it may be shown."""
        try:
            said = msgspec.msgpack.decode(data, type=cls)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        return cls(tidy_name(said.name, "?"), said.target)


def check_words(check: int) -> str:
    """33 bits as three words of BIP-39's English list."""
    words = Mnemonic("english").wordlist
    places = range((_WORDS - 1) * _BITS_OF_A_WORD, -1, -_BITS_OF_A_WORD)
    return " ".join(words[check >> place & 0x7FF] for place in places)
