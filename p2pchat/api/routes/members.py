"""Routes of a room's members: who they are, who is let in, who has to go."""

from typing import TYPE_CHECKING, Literal

from p2pchat import events
from p2pchat.api.routes.asking import Request, RoomRequest, Stream

if TYPE_CHECKING:
    # Commands import this for its requests, and most of them need no node of their own.
    from p2pchat.node.node import Node

__all__ = [
    "MemberRequest",
    "RoleRequest",
    "approve",
    "deny",
    "expel",
    "members",
    "role",
]


class MemberRequest(Request, frozen=True, kw_only=True):
    room: str
    peer: str


class RoleRequest(MemberRequest, frozen=True, kw_only=True):
    role: Literal["admin", "member"]


async def members(node: "Node", request: RoomRequest) -> Stream:
    room = await node.room(request.room)
    for row in await room.members():
        yield row
    for asking in await room.requests():
        yield asking


async def approve(node: "Node", request: MemberRequest) -> Stream:
    yield await (await node.room(request.room)).approve(request.peer)


async def deny(node: "Node", request: MemberRequest) -> Stream:
    denied = await (await node.room(request.room)).deny(request.peer)
    yield events.Note(text=f"{denied.name} was turned away")


async def expel(node: "Node", request: MemberRequest) -> Stream:
    found = await node.room(request.room)
    await found.remove(request.peer)
    for row in await found.members():
        yield row


async def role(node: "Node", request: RoleRequest) -> Stream:
    yield await (await node.room(request.room)).set_role(request.peer, request.role)
