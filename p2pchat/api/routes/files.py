"""Routes of files: shared, fetched, listed."""

from pathlib import Path
from typing import TYPE_CHECKING

from p2pchat import errors, events
from p2pchat.api.routes.asking import Nothing, Request, Seconds, Stream

if TYPE_CHECKING:
    # Commands import this for its requests, and most of them need no node of their own.
    from p2pchat.node.node import Node

__all__ = [
    "GetRequest",
    "ShareRequest",
    "UnshareRequest",
    "files",
    "get",
    "share",
    "unshare",
]


class ShareRequest(Request, frozen=True, kw_only=True):
    paths: list[str]
    room: str | None = None


class GetRequest(Request, frozen=True, kw_only=True):
    target: str
    dest: str | None = None
    timeout: Seconds | None = None


class UnshareRequest(Request, frozen=True, kw_only=True):
    share: str


async def share(node: "Node", request: ShareRequest) -> Stream:
    paths = [Path(path) for path in request.paths]
    if not paths or not all(path.is_absolute() for path in paths):
        raise errors.Usage("usage", "no absolute path to share", "name at least one file or folder")
    yield await node.share(paths, room=request.room)


async def get(node: "Node", request: GetRequest) -> Stream:
    dest = Path(request.dest) if request.dest is not None else None
    async for event in node.get(request.target, dest=dest, timeout=request.timeout):
        yield event


async def files(node: "Node", _: Nothing) -> Stream:
    for row in await node.files():
        yield row


async def unshare(node: "Node", request: UnshareRequest) -> Stream:
    await node.unshare(request.share)
    yield events.Note(text="the share is gone from here; who has it may still pass it on")
