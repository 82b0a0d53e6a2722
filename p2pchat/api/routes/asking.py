"""What requests have in common: the form of all, and those that several routes take.

Frozen structs, decoded strictly. Paths in them are absolute: the node's own working directory means
nothing to whoever asks.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import msgspec

from p2pchat import errors, events

__all__ = [
    "NameRequest",
    "Nothing",
    "Request",
    "RoomRequest",
    "Seconds",
    "Stream",
    "absolute",
]


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
"""How long to wait."""


class Nothing(Request, frozen=True, kw_only=True):
    pass


class NameRequest(Request, frozen=True, kw_only=True):
    name: str


class RoomRequest(Request, frozen=True, kw_only=True):
    room: str


Stream = AsyncIterator[events.Event]


def absolute(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise errors.Usage("usage", "the path is not absolute", "name the file from the root on")
    return path
