"""Routes of the node itself: whose it is, how it is with it, and all that happens."""

import time
from typing import TYPE_CHECKING

from p2pchat import events
from p2pchat.api.routes.asking import NameRequest, Nothing, Request, Stream

if TYPE_CHECKING:
    # Commands import this for its requests, and most of them need no node of their own.
    from p2pchat.node.node import Node

__all__ = [
    "DoctorRequest",
    "doctor",
    "feed",
    "identity",
    "rename",
    "status",
]


class DoctorRequest(Request, frozen=True, kw_only=True):
    """`blob`: an invite to be examined in place of profile and network."""

    blob: str | None = None


async def identity(node: "Node", _: Nothing) -> Stream:
    yield node.identity_row()


async def rename(node: "Node", request: NameRequest) -> Stream:
    yield await node.rename(request.name)


async def status(node: "Node", _: Nothing) -> Stream:
    yield await node.status()
    for row in node.sync_rows():
        yield row
    for waiting in await node.waiting():
        yield waiting


async def doctor(node: "Node", request: DoctorRequest) -> Stream:
    async for finding in node.doctor(request.blob):
        yield finding


async def feed(node: "Node", _: Nothing) -> Stream:
    with node.events() as subscription:
        yield events.Note(text=f"events from {events.rfc3339(time.time())} on")
        async for event in subscription:
            yield event
