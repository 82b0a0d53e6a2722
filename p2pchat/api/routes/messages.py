"""Routes of messages: written, amended, read and followed."""

from typing import TYPE_CHECKING, Annotated

import msgspec

from p2pchat import events
from p2pchat.api.routes.asking import Request, RoomRequest, Seconds, Stream

if TYPE_CHECKING:
    # Commands import this for its requests, and most of them need no node of their own.
    from p2pchat.node.node import Node

__all__ = [
    "LAST_MAX",
    "EditRequest",
    "LogRequest",
    "MessageRequest",
    "PinRequest",
    "ReactRequest",
    "SendRequest",
    "delete",
    "edit",
    "log",
    "pin",
    "pins",
    "react",
    "send",
    "versions",
]

LAST_MAX = (1 << 31) - 1
"""Messages; nobody has as many."""
_REMEMBERED = 100_000
"""Messages that came while somebody follows: what comes again does so sooner."""


class SendRequest(Request, frozen=True, kw_only=True):
    room: str
    text: str
    reply_to: str | None = None
    lifetime_s: int | None = None
    wait: bool = False
    timeout: Seconds = 30.0


class EditRequest(Request, frozen=True, kw_only=True):
    room: str
    id: str
    text: str


class MessageRequest(Request, frozen=True, kw_only=True):
    room: str
    id: str


class ReactRequest(Request, frozen=True, kw_only=True):
    """`on`: None turns what is into its opposite."""

    room: str
    id: str
    text: str
    on: bool | None = None


class PinRequest(Request, frozen=True, kw_only=True):
    room: str
    id: str
    on: bool = True


class LogRequest(Request, frozen=True, kw_only=True):
    """`last`: None for all. `since`: Unix seconds. `read`: what is shown counts as read.

    `more`: while following, also who gets, reads and writes messages there, comes and goes.
    """

    room: str
    last: Annotated[int, msgspec.Meta(ge=0, le=LAST_MAX)] | None = 50
    since: Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)] | None = None
    search: str | None = None
    follow: bool = False
    read: bool = False
    more: bool = False


async def send(node: "Node", request: SendRequest) -> Stream:
    room = await node.room(request.room)
    message = await room.send(
        request.text, reply_to=request.reply_to, lifetime_s=request.lifetime_s
    )
    yield message
    if request.wait:
        async for event in room.delivered(message.id, timeout=request.timeout):
            yield event


async def edit(node: "Node", request: EditRequest) -> Stream:
    yield await (await node.room(request.room)).edit(request.id, request.text)


async def delete(node: "Node", request: MessageRequest) -> Stream:
    yield await (await node.room(request.room)).delete(request.id)


async def react(node: "Node", request: ReactRequest) -> Stream:
    room = await node.room(request.room)
    yield await room.react(request.id, request.text, on=request.on)


async def pin(node: "Node", request: PinRequest) -> Stream:
    yield await (await node.room(request.room)).pin(request.id, on=request.on)


async def pins(node: "Node", request: RoomRequest) -> Stream:
    for message in await (await node.room(request.room)).pins():
        yield message


async def versions(node: "Node", request: MessageRequest) -> Stream:
    for message in await (await node.room(request.room)).versions(request.id):
        yield message


async def log(node: "Node", request: LogRequest) -> Stream:
    room = await node.room(request.room)
    with node.events() as feed:
        shown = _Shown()
        async for message in room.history(
            last=request.last, since=request.since, search=request.search
        ):
            shown.begin(message.id)
            yield message
        if request.read:
            await room.mark_read()
        if not request.follow:
            return
        async for event in feed:
            if isinstance(event, events.Message) and event.room == room.id:
                if shown.add(event.id):
                    yield event
                    if request.read:
                        await room.mark_read(event.id)
            elif _is_in(room.id, event, _IN_ROOM if request.more else (events.Changed,)):
                if isinstance(event, events.Changed) and event.change == "deleted":
                    shown.forget(event.id)
                yield event


class _Shown:
    """Ids of messages that somebody was shown; of those that came while they looked on the newest.

    A message may come again: with the end of history, when a removal that took it out of the room
    is undone, or when a delete is. Only the last is news.
    """

    def __init__(self) -> None:
        self._history: set[str] = set()
        self._live: dict[str, None] = {}

    def begin(self, id_: str) -> None:
        """It stood in the history."""
        self._history.add(id_)

    def add(self, id_: str) -> bool:
        """It has come; whether it was not shown before."""
        if id_ in self._history or id_ in self._live:
            return False
        self._live[id_] = None
        if len(self._live) > _REMEMBERED:
            del self._live[next(iter(self._live))]
        return True

    def forget(self, id_: str) -> None:
        self._history.discard(id_)
        self._live.pop(id_, None)


def _is_in(room: str, event: events.Event, kinds: tuple[type, ...]) -> bool:
    """Whether something of these kinds happened in a room."""
    return isinstance(event, kinds) and getattr(event, "room", None) == room


_IN_ROOM = (
    events.Changed,
    events.Delivered,
    events.Read,
    events.Typing,
    events.Membership,
    events.JoinRequest,
)
