"""Routes of meeting: invites and joins, and knocks at who is nearby."""

import asyncio
from typing import TYPE_CHECKING

from p2pchat import errors, events
from p2pchat.api.routes.asking import Request, Seconds, Stream
from p2pchat.api.routes.working import drain, until

if TYPE_CHECKING:
    # Commands import this for its requests, and most of them need no node of their own.
    from p2pchat.node.node import Node

__all__ = [
    "CancelRequest",
    "InviteRequest",
    "JoinRequest",
    "KnockAnswerRequest",
    "KnockRequest",
    "NearbyRequest",
    "ReplyRequest",
    "WithdrawRequest",
    "answer_knock",
    "cancel",
    "invite",
    "join",
    "knock",
    "nearby",
    "reply",
    "withdraw",
]


class InviteRequest(Request, frozen=True, kw_only=True):
    """`wait`: until a friend has come. The invite lives on if whoever asked goes away.

    `ask`: whoever comes into the room has to be approved by its members.
    """

    room: str | None = None
    ask: bool = False
    expires_s: float = 86_400.0
    wait: bool = True
    password: str | None = None
    code: bool = False


class WithdrawRequest(Request, frozen=True, kw_only=True):
    invite: str


class ReplyRequest(Request, frozen=True, kw_only=True):
    blob: str


class JoinRequest(Request, frozen=True, kw_only=True):
    """`approval`: wait for it where a room's members have to approve.

    `keep`: where the inviter does not answer in time, go on until the invite expires.
    """

    blob: str
    timeout: Seconds | None = None
    approval: bool = True
    password: str | None = None
    keep: bool = False


class CancelRequest(Request, frozen=True, kw_only=True):
    """`join`: the number of one that waits, or its inviter's name."""

    join: str


class NearbyRequest(Request, frozen=True, kw_only=True):
    """`visible`: be so for as long as the answer is read, which then goes on with knocks."""

    visible: bool = False
    timeout: Seconds = 3.0


class KnockRequest(Request, frozen=True, kw_only=True):
    name: str
    timeout: Seconds | None = None


class KnockAnswerRequest(Request, frozen=True, kw_only=True):
    """`knock`: the name, the words or the beginning of the id of one that waits."""

    knock: str
    accept: bool


async def invite(node: "Node", request: InviteRequest) -> Stream:
    if not 1 <= request.expires_s <= 365 * 86_400:
        raise errors.Usage("usage", "an invite lives from a second to a year", "try --expires 24h")
    with node.events() as feed:
        invitation = await node.invite(
            request.room,
            expires_s=request.expires_s,
            ask=request.ask,
            password=request.password,
            code=request.code,
        )
        yield invitation.event
        if not request.wait:
            return
        async for event in until(feed, invitation.wait):
            yield event


async def withdraw(node: "Node", request: WithdrawRequest) -> Stream:
    await node.withdraw(request.invite)
    yield events.Note(text="the invite is withdrawn")


async def reply(node: "Node", request: ReplyRequest) -> Stream:
    yield await node.reply(request.blob)


async def join(node: "Node", request: JoinRequest) -> Stream:
    told: asyncio.Queue[events.Event] = asyncio.Queue()

    async def run() -> events.Event:
        return await node.join(
            request.blob,
            timeout=request.timeout,
            on_event=told.put_nowait,
            approval=request.approval,
            password=request.password,
            keep=request.keep,
        )

    async for event in until(drain(told), run):
        yield event


async def cancel(node: "Node", request: CancelRequest) -> Stream:
    given_up = await node.cancel_join(request.join)
    yield events.Note(text=f"the join by the invite of {given_up.name} is given up")


async def nearby(node: "Node", request: NearbyRequest) -> Stream:
    if not 0 < request.timeout <= 60:
        raise errors.Usage("usage", "looking takes up to a minute", "try --timeout 3")
    found = node.online_parts.nearby
    if not request.visible:
        for waiting in found.waiting():
            yield waiting
        async for row in found.look(request.timeout):
            yield row
        return
    with node.events() as feed, found.shown():
        yield events.Note(text=f"visible on this network as {node.name}")
        for waiting in found.waiting():
            yield waiting
        async for event in feed:
            if isinstance(event, events.Knock | events.Peer | events.JoinRequest):
                yield event


async def knock(node: "Node", request: KnockRequest) -> Stream:
    told: asyncio.Queue[events.Event] = asyncio.Queue()

    async def run() -> events.Event:
        return await node.online_parts.nearby.knock(request.name, request.timeout, told.put_nowait)

    async for event in until(drain(told), run):
        yield event


async def answer_knock(node: "Node", request: KnockAnswerRequest) -> Stream:
    yield node.answer_knock(request.knock, accept=request.accept)
