"""What can be asked of a node. Each route is an async generator of events; the server streams them.

Requests are frozen structs, decoded strictly. Paths in them are absolute: the node's own working
directory means nothing to whoever asks.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from p2pchat import errors, events

if TYPE_CHECKING:
    # Commands import this for its requests, and most of them need no node of their own.
    from p2pchat.node.node import Node

__all__ = [
    "ROUTES",
    "AliasRequest",
    "BlockRequest",
    "CancelRequest",
    "DoctorRequest",
    "EditRequest",
    "ExportRequest",
    "GetRequest",
    "ImportRequest",
    "InviteRequest",
    "JoinRequest",
    "KnockAnswerRequest",
    "KnockRequest",
    "LogRequest",
    "MemberRequest",
    "MessageRequest",
    "NameRequest",
    "NearbyRequest",
    "Nothing",
    "PeerRequest",
    "PinRequest",
    "PresenceRequest",
    "ProofRequest",
    "ReactRequest",
    "ReadRequest",
    "ReplyRequest",
    "RoleRequest",
    "RoomRequest",
    "SendRequest",
    "SettingRequest",
    "ShareRequest",
    "Stream",
    "SyncRequest",
    "TypingRequest",
    "UnshareRequest",
    "VerifyRequest",
    "WithdrawRequest",
    "alias",
    "answer_knock",
    "approve",
    "block",
    "cancel",
    "create",
    "delete",
    "deny",
    "doctor",
    "edit",
    "expel",
    "export",
    "feed",
    "files",
    "forget",
    "get",
    "identity",
    "import_",
    "invite",
    "join",
    "knock",
    "leave",
    "log",
    "members",
    "nearby",
    "number",
    "peers",
    "person",
    "pin",
    "pins",
    "presence",
    "proof",
    "react",
    "read",
    "rename",
    "reply",
    "role",
    "room",
    "rooms",
    "send",
    "set_setting",
    "share",
    "status",
    "sync",
    "typing",
    "unshare",
    "verify",
    "versions",
    "withdraw",
]


class _Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Nothing(_Request, frozen=True, kw_only=True):
    pass


class NameRequest(_Request, frozen=True, kw_only=True):
    name: str


class RoomRequest(_Request, frozen=True, kw_only=True):
    room: str


class PeerRequest(_Request, frozen=True, kw_only=True):
    peer: str


class VerifyRequest(_Request, frozen=True, kw_only=True):
    """`proof`: a text with the peer's proof in it. Else `verified`: whether numbers agree."""

    peer: str
    verified: bool = True
    proof: str | None = None


class ProofRequest(_Request, frozen=True, kw_only=True):
    """`place`: the address where it will be posted, may be empty."""

    place: str = ""


class AliasRequest(_Request, frozen=True, kw_only=True):
    """An empty `alias` takes it away."""

    peer: str
    alias: str


class BlockRequest(_Request, frozen=True, kw_only=True):
    peer: str
    blocked: bool = True


class MemberRequest(_Request, frozen=True, kw_only=True):
    room: str
    peer: str


class RoleRequest(MemberRequest, frozen=True, kw_only=True):
    role: Literal["admin", "member"]


class SettingRequest(_Request, frozen=True, kw_only=True):
    room: str
    key: str
    value: str


class InviteRequest(_Request, frozen=True, kw_only=True):
    """`wait`: until a friend has come. The invite lives on if whoever asked goes away.

    `ask`: whoever comes into the room has to be approved by its members.
    """

    room: str | None = None
    ask: bool = False
    expires_s: float = 86_400.0
    wait: bool = True
    password: str | None = None
    code: bool = False


class WithdrawRequest(_Request, frozen=True, kw_only=True):
    invite: str


class ReplyRequest(_Request, frozen=True, kw_only=True):
    blob: str


class JoinRequest(_Request, frozen=True, kw_only=True):
    """`approval`: wait for it where a room's members have to approve.

    `keep`: where the inviter does not answer in time, go on until the invite expires.
    """

    blob: str
    timeout: float | None = None
    approval: bool = True
    password: str | None = None
    keep: bool = False


class CancelRequest(_Request, frozen=True, kw_only=True):
    """`join`: the number of one that waits, or its inviter's name."""

    join: str


class NearbyRequest(_Request, frozen=True, kw_only=True):
    """`visible`: be so for as long as the answer is read, which then goes on with knocks."""

    visible: bool = False
    timeout: float = 3.0


class KnockRequest(_Request, frozen=True, kw_only=True):
    name: str
    timeout: float | None = None


class KnockAnswerRequest(_Request, frozen=True, kw_only=True):
    """`knock`: the name, the words or the beginning of the id of one that waits."""

    knock: str
    accept: bool


class SendRequest(_Request, frozen=True, kw_only=True):
    room: str
    text: str
    reply_to: str | None = None
    lifetime_s: int | None = None
    wait: bool = False
    timeout: float = 30.0


class EditRequest(_Request, frozen=True, kw_only=True):
    room: str
    id: str
    text: str


class MessageRequest(_Request, frozen=True, kw_only=True):
    room: str
    id: str


class ReactRequest(_Request, frozen=True, kw_only=True):
    """`on`: None turns what is into its opposite."""

    room: str
    id: str
    text: str
    on: bool | None = None


class PinRequest(_Request, frozen=True, kw_only=True):
    room: str
    id: str
    on: bool = True


class ReadRequest(_Request, frozen=True, kw_only=True):
    """`upto`: a message; else all that is here."""

    room: str
    upto: str | None = None


class PresenceRequest(_Request, frozen=True, kw_only=True):
    """Somebody is at the face, has written a line (`wrote`), or says to be `away`."""

    away: bool = False
    wrote: bool = False


class TypingRequest(_Request, frozen=True, kw_only=True):
    room: str
    typing: bool = True


class LogRequest(_Request, frozen=True, kw_only=True):
    """`last`: None for all. `since`: Unix seconds. `read`: what is shown counts as read.

    `more`: while following, also who gets, reads and writes messages there, comes and goes.
    """

    room: str
    last: int | None = 50
    since: float | None = None
    search: str | None = None
    follow: bool = False
    read: bool = False
    more: bool = False


class ExportRequest(_Request, frozen=True, kw_only=True):
    """`passphrase`: the whole profile, encrypted; else JSON Lines of a room, or of all."""

    path: str
    room: str | None = None
    passphrase: str | None = None


class ImportRequest(_Request, frozen=True, kw_only=True):
    path: str
    passphrase: str | None = None


class DoctorRequest(_Request, frozen=True, kw_only=True):
    """`blob`: an invite to be examined in place of profile and network."""

    blob: str | None = None


class SyncRequest(_Request, frozen=True, kw_only=True):
    room: str | None = None
    wait: bool = False
    timeout: float = 30.0


class ShareRequest(_Request, frozen=True, kw_only=True):
    paths: list[str]
    room: str | None = None


class GetRequest(_Request, frozen=True, kw_only=True):
    target: str
    dest: str | None = None
    timeout: float | None = None


class UnshareRequest(_Request, frozen=True, kw_only=True):
    share: str


Stream = AsyncIterator[events.Event]


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


async def peers(node: "Node", _: Nothing) -> Stream:
    for row in await node.peers():
        yield row
    for waiting in await node.waiting():
        yield waiting


async def person(node: "Node", request: PeerRequest) -> Stream:
    yield node.people.row(node.people.find(request.peer))


async def number(node: "Node", request: PeerRequest) -> Stream:
    yield await node.people.number(node.people.find(request.peer))


async def verify(node: "Node", request: VerifyRequest) -> Stream:
    found = node.people.find(request.peer)
    if request.proof is not None:
        yield await node.people.check(found, request.proof)
        yield node.people.row(found)
    elif request.verified:
        yield await node.people.confirm(found)
    else:
        yield await node.people.revoke(found)


async def proof(node: "Node", request: ProofRequest) -> Stream:
    yield node.people.proof(request.place)


async def alias(node: "Node", request: AliasRequest) -> Stream:
    yield await node.people.rename(node.people.find(request.peer), request.alias)


async def block(node: "Node", request: BlockRequest) -> Stream:
    yield await node.block(node.people.find(request.peer), blocked=request.blocked)


async def rooms(node: "Node", _: Nothing) -> Stream:
    for row in await node.rooms():
        yield row
    for waiting in await node.waiting():
        yield waiting


async def cancel(node: "Node", request: CancelRequest) -> Stream:
    given_up = await node.cancel_join(request.join)
    yield events.Note(text=f"the join by the invite of {given_up.name} is given up")


async def members(node: "Node", request: RoomRequest) -> Stream:
    room = await node.room(request.room)
    for row in await room.members():
        yield row
    for asking in await room.requests():
        yield asking


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
        async for event in _until(feed, invitation.wait):
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

    async for event in _until(_drain(told), run):
        yield event


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

    async for event in _until(_drain(told), run):
        yield event


async def answer_knock(node: "Node", request: KnockAnswerRequest) -> Stream:
    yield node.answer_knock(request.knock, accept=request.accept)


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
        shown: set[str] = set()
        async for message in room.history(
            last=request.last, since=request.since, search=request.search
        ):
            shown.add(message.id)
            yield message
        if request.read:
            await room.mark_read()
        if not request.follow:
            return
        async for event in feed:
            if isinstance(event, events.Message) and event.room == room.id:
                if event.id not in shown:
                    yield event
                    if request.read:
                        await room.mark_read(event.id)
                shown.discard(event.id)
            elif _is_in(room.id, event, _IN_ROOM if request.more else (events.Changed,)):
                yield event


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


async def read(node: "Node", request: ReadRequest) -> Stream:
    yield await (await node.room(request.room)).mark_read(request.upto)


async def presence(node: "Node", request: PresenceRequest) -> Stream:
    yield node.presence.leave() if request.away else node.presence.active(wrote=request.wrote)


async def typing(node: "Node", request: TypingRequest) -> Stream:
    room = await node.room(request.room)
    yield node.presence.active()
    node.presence.write(room.key, typing=request.typing)


async def export(node: "Node", request: ExportRequest) -> Stream:
    yield await node.export(
        _absolute(request.path), room=request.room, passphrase=request.passphrase
    )


async def import_(node: "Node", request: ImportRequest) -> Stream:
    def passphrase() -> str:
        if request.passphrase is None:
            raise errors.Usage(
                "passphrase-missing",
                "the archive is under a passphrase",
                "run it in a terminal, or give P2PCHAT_PASSPHRASE or --passphrase-file FILE",
            )
        return request.passphrase

    yield await node.import_(_absolute(request.path), passphrase=passphrase)


async def doctor(node: "Node", request: DoctorRequest) -> Stream:
    async for finding in node.doctor(request.blob):
        yield finding


def _absolute(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise errors.Usage("usage", "the path is not absolute", "name the file from the root on")
    return path


async def sync(node: "Node", request: SyncRequest) -> Stream:
    async for event in node.sync(request.room, wait=request.wait, timeout=request.timeout):
        yield event


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


async def feed(node: "Node", _: Nothing) -> Stream:
    with node.events() as subscription:
        yield events.Note(text=f"events from {events.rfc3339(time.time())} on")
        async for event in subscription:
            yield event


ROUTES: dict[str, tuple[type[_Request], Callable[["Node", Any], Stream]]] = {
    "identity": (Nothing, identity),
    "name": (NameRequest, rename),
    "status": (Nothing, status),
    "peers": (Nothing, peers),
    "people": (PeerRequest, person),
    "safety-numbers": (PeerRequest, number),
    "verifications": (VerifyRequest, verify),
    "proofs": (ProofRequest, proof),
    "aliases": (AliasRequest, alias),
    "blocks": (BlockRequest, block),
    "rooms": (Nothing, rooms),
    "members": (RoomRequest, members),
    "room": (RoomRequest, room),
    "creations": (NameRequest, create),
    "departures": (RoomRequest, leave),
    "forgotten": (RoomRequest, forget),
    "settings": (SettingRequest, set_setting),
    "approvals": (MemberRequest, approve),
    "denials": (MemberRequest, deny),
    "expulsions": (MemberRequest, expel),
    "roles": (RoleRequest, role),
    "invites": (InviteRequest, invite),
    "withdrawals": (WithdrawRequest, withdraw),
    "replies": (ReplyRequest, reply),
    "joins": (JoinRequest, join),
    "cancellations": (CancelRequest, cancel),
    "nearby": (NearbyRequest, nearby),
    "knocks": (KnockRequest, knock),
    "knock-answers": (KnockAnswerRequest, answer_knock),
    "messages": (SendRequest, send),
    "edits": (EditRequest, edit),
    "deletions": (MessageRequest, delete),
    "reactions": (ReactRequest, react),
    "pinnings": (PinRequest, pin),
    "pins": (RoomRequest, pins),
    "versions": (MessageRequest, versions),
    "log": (LogRequest, log),
    "reads": (ReadRequest, read),
    "presence": (PresenceRequest, presence),
    "typing": (TypingRequest, typing),
    "exports": (ExportRequest, export),
    "imports": (ImportRequest, import_),
    "doctor": (DoctorRequest, doctor),
    "sync": (SyncRequest, sync),
    "shares": (ShareRequest, share),
    "transfers": (GetRequest, get),
    "files": (Nothing, files),
    "removals": (UnshareRequest, unshare),
    "events": (Nothing, feed),
}
"""POST /v1/NAME with the request as JSON."""


async def _drain(queue: "asyncio.Queue[events.Event]") -> Stream:
    while True:
        yield await queue.get()


async def _until(
    feed: AsyncIterator[events.Event], work: Callable[[], Awaitable[events.Event]]
) -> Stream:
    """What `feed` says until `work` is done, then what it answered; what it raises is raised."""
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(_outcome(work))
        reading = tasks.create_task(_next(feed))
        try:
            while True:
                done, _ = await asyncio.wait(
                    {working, reading}, return_when=asyncio.FIRST_COMPLETED
                )
                if reading in done:
                    event = reading.result()
                    if event is None:
                        break
                    yield event
                    reading = tasks.create_task(_next(feed))
                if working in done:
                    break
        finally:
            reading.cancel()
            if not working.done():
                working.cancel()
    result = working.result()
    if isinstance(result, errors.Error):
        raise result
    yield result


async def _next(feed: AsyncIterator[events.Event]) -> events.Event | None:
    return await anext(feed, None)


async def _outcome(
    work: Callable[[], Awaitable[events.Event]],
) -> events.Event | errors.Error:
    """Errors as values: a TaskGroup would wrap them."""
    try:
        return await work()
    except errors.Error as error:
        return error
