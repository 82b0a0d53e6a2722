"""Routes of rooms: which there are, and making, setting, leaving and forgetting one."""

from typing import TYPE_CHECKING

from p2pchat import events
from p2pchat.api.routes.asking import NameRequest, Nothing, Request, RoomRequest, Stream

if TYPE_CHECKING:
    # Commands import this for its requests, and most of them need no node of their own.
    from p2pchat.node.node import Node

__all__ = [
    "SettingRequest",
    "create",
    "forget",
    "leave",
    "room",
    "rooms",
    "set_setting",
]


class SettingRequest(Request, frozen=True, kw_only=True):
    room: str
    key: str
    value: str


async def rooms(node: "Node", _: Nothing) -> Stream:
    for row in await node.rooms():
        yield row
    for waiting in await node.waiting():
        yield waiting


async def room(node: "Node", request: RoomRequest) -> Stream:
    found = await node.room(request.room)
    for row in await node.rooms():
        if row.room == found.id:
            yield row
    for asking in await found.requests():
        yield asking


async def create(node: "Node", request: NameRequest) -> Stream:
    made = await node.create_room(request.name)
    async for row in room(node, RoomRequest(room=made.id)):
        yield row


async def leave(node: "Node", request: RoomRequest) -> Stream:
    found = await node.room(request.room)
    await found.leave()
    yield events.Note(
        text=f"you are no member of {found.name} any more; its history stays here until you run: "
        f"p2pchat room forget {found.id[:8]}"
    )


async def forget(node: "Node", request: RoomRequest) -> Stream:
    await node.forget(request.room)
    yield events.Note(text="nothing of the room is left here")


async def set_setting(node: "Node", request: SettingRequest) -> Stream:
    found = await node.room(request.room)
    await found.set(request.key, request.value)
    async for row in room(node, RoomRequest(room=found.id)):
        yield row
