"""Routes by which a face tells of whoever sits at it: being there, writing, having read."""

from typing import TYPE_CHECKING

from p2pchat.api.routes.asking import Request, Stream

if TYPE_CHECKING:
    # Commands import this for its requests, and most of them need no node of their own.
    from p2pchat.node.node import Node

__all__ = [
    "PresenceRequest",
    "ReadRequest",
    "TypingRequest",
    "presence",
    "read",
    "typing",
]


class PresenceRequest(Request, frozen=True, kw_only=True):
    """Somebody is at the face, has written a line (`wrote`), or says to be `away`."""

    away: bool = False
    wrote: bool = False


class TypingRequest(Request, frozen=True, kw_only=True):
    room: str
    typing: bool = True


class ReadRequest(Request, frozen=True, kw_only=True):
    """`upto`: a message; else all that is here."""

    room: str
    upto: str | None = None


async def presence(node: "Node", request: PresenceRequest) -> Stream:
    yield node.presence.leave() if request.away else node.presence.active(wrote=request.wrote)


async def typing(node: "Node", request: TypingRequest) -> Stream:
    room = await node.room(request.room)
    yield node.presence.active()
    node.presence.write(room.key, typing=request.typing)


async def read(node: "Node", request: ReadRequest) -> Stream:
    yield await (await node.room(request.room)).mark_read(request.upto)
