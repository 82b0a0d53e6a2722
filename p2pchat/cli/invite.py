"""invite, join, reply."""

import asyncio
import re
import sys
import time
from contextlib import aclosing
from pathlib import Path

import click

from p2pchat import events
from p2pchat.api.attach import Attached
from p2pchat.api.routes.meeting import CancelRequest, InviteRequest, JoinRequest, ReplyRequest
from p2pchat.cli.command import SECONDS, Common, command, usage
from p2pchat.cli.output import Output
from p2pchat.cli.password import asked_password, new_password
from p2pchat.cli.streams import read_stdin
from p2pchat.errors import BadInput, Error, Unreachable
from signaling.tasks import owned_tasks

__all__ = [
    "cancel_",
    "duration",
    "greet",
    "invite_",
    "join_",
    "needs_password",
    "read_argument",
    "reply_",
]

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def duration(text: str) -> float:
    """`30m`, `24h`, `7d` in seconds. Raises errors.Usage."""
    match = re.fullmatch(r"(\d{1,6})\s*([smhdw])", text.strip().lower())
    if match is None or int(match[1]) == 0:
        raise usage(f"{text!r} is no duration", "write it like 30m, 24h or 7d")
    return int(match[1]) * _UNITS[match[2]]


def read_argument(text: str) -> str:
    """`-` stands for stdin."""
    return read_stdin() if text == "-" else text


def greet(out: Output, node: Attached) -> None:
    """Say so if this run made the identity."""
    if node.created:
        out.note(f"created a new identity, {node.name}; p2pchat rename changes the name")


_password_file = click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Read the invite's password from its first line.",
)


@command
@click.argument("room", required=False)
@click.option("--expires", default="24h", show_default=True, help="How long it lives.")
@click.option(
    "--admit/--ask",
    "admit",
    default=True,
    help="Into ROOM at once, or when its members approve.  [default: admit]",
)
@click.option("--password", is_flag=True, help="Needs a password besides; three wrong end it.")
@_password_file
@click.option("--code", is_flag=True, help="Print a few words to say, in place of a blob.")
@click.option("--no-chat", is_flag=True, help="Do not open the chat when the friend has come.")
@click.option("--no-wait", is_flag=True, help="Leave it with the background node.")
@click.option("--timeout", type=SECONDS, help="Give up waiting after this many seconds.")
async def invite_(
    out: Output,
    common: Common,
    room: str | None,
    expires: str,
    timeout: float | None,
    password_file: Path | None,
    *,
    admit: bool,
    password: bool,
    code: bool,
    no_chat: bool,
    no_wait: bool,
) -> None:
    """Print a one-time invite and wait for the friend.

    Send what it prints by any means; your friend runs: p2pchat join BLOB. On one network that is
    all. Elsewhere join prints a reply: paste that here, while this waits.

    With --password the blob alone is worth nothing: tell the password by another way. It is asked
    for on a terminal, or read from P2PCHAT_PASSWORD, --password-file or the first line of stdin;
    it is no argument, since those show in ps.

    With --code it prints a short code such as 4-acid-pelican, to say on the phone to somebody who
    runs: p2pchat join 4-acid-pelican. You have to be on one network, or to have the same mailbox
    (mailbox.url), or the DHT, at both ends. Three wrong ones end it.
    """
    seconds = duration(expires)
    secret = new_password(password_file) if password or password_file is not None else None
    if no_wait:
        from p2pchat.cli.node import ensure_up

        await ensure_up(out, common)
    async with common.attach() as node:
        greet(out, node)
        request = InviteRequest(
            room=room,
            expires_s=seconds,
            wait=not no_wait,
            ask=room is not None and not admit,
            password=secret,
            code=code,
        )
        joined = await _host(out, node, request, timeout)
        if joined is not None and not no_chat and not out.json and sys.stdin.isatty():
            from p2pchat.cli.chat import chat

            await chat(out, node.client, joined.room, bell=common.config().notify.bell)


async def _host(
    out: Output, node: Attached, request: InviteRequest, timeout: float | None
) -> events.Joined | None:
    joined: events.Joined | None = None
    try:
        async with asyncio.timeout(timeout), owned_tasks() as tasks:
            async for event in node.client.ask("invites", request):
                match event:
                    case events.InviteReady():
                        _show_invite(out, event, request)
                        if request.wait and event.code is None:
                            tasks.create_task(_take_replies(out, node))
                    case events.Joined(invite=str()):
                        out.event(event)
                        joined = event
                    case (
                        events.Peer()
                        | events.NameClash()
                        | events.JoinRequest()
                        | events.Note(code=str())
                    ):
                        out.event(event)
    except TimeoutError:
        raise Unreachable(
            "unreachable",
            f"nobody came within {timeout:.0f} s",
            "the invite stays good: keep p2pchat up running, or invite again",
        ) from None
    return joined


def _show_invite(out: Output, event: events.InviteReady, request: InviteRequest) -> None:
    if out.json:
        out.event(event)
        return
    if event.code is not None:
        out.note("say this to your friend; it works once:\n")
        out.say(event.code)
        out.note(f"\nyour friend runs: p2pchat join {event.code}")
        if request.wait:
            out.note("waiting (Ctrl-C ends)")
        return
    out.note("send this invite to your friend; it works once:\n")
    out.say(event.blob)
    out.note("\nyour friend runs: p2pchat join BLOB")
    if request.password is not None:
        out.note("and is asked for the password: tell it by another way than the invite's")
    if request.wait:
        out.note("waiting; if your friend gets a reply blob, paste it here (Ctrl-C ends)")


async def _take_replies(out: Output, node: Attached) -> None:
    """Replies pasted while the invite waits. A wrong one is told, and the wait goes on."""
    from p2pchat.cli.terminal import blobs

    async with aclosing(blobs()) as pasted:
        async for text in pasted:
            try:
                async for _ in node.client.ask("replies", ReplyRequest(blob=text)):
                    pass
            except Error as error:
                out.note(f"p2pchat: {error.message}\nhint: {error.hint}")


@command
@click.argument("blob", nargs=-1, required=True, metavar="BLOB|CODE")
@click.option("--no-chat", is_flag=True, help="Do not open the chat afterwards.")
@click.option("--timeout", type=SECONDS, help="Give up after this many seconds.")
@_password_file
async def join_(
    out: Output,
    common: Common,
    blob: tuple[str, ...],
    timeout: float | None,
    password_file: Path | None,
    *,
    no_chat: bool,
) -> None:
    """Accept an invite, or a spoken code (`-`: read it from stdin).

    On one network that is all. Elsewhere it prints a reply blob: send it back to your friend, who
    pastes it where the invite waits, or runs: p2pchat reply BLOB.

    Where the invite needs a password, that is asked for on a terminal, or read from
    P2PCHAT_PASSWORD, --password-file, or the first line of stdin if the blob is not there.

    A code may be typed with spaces, in any case, and of each word the first three letters do.

    Where your friend does not answer in time (two minutes, or --timeout), and p2pchat up runs, it
    ends with exit code 5 and goes on in the background until the invite expires: p2pchat status
    shows it, p2pchat cancel gives it up. Without that it stays here.
    """
    text = read_argument(" ".join(blob))
    password = None
    if needs_password(text):
        password = asked_password(password_file, stdin_taken=blob == ("-",))
    joined: events.Joined | None = None
    async with common.attach() as node:
        greet(out, node)
        # Where the node lives on without us, approval need not be waited for.
        request = JoinRequest(
            blob=text,
            timeout=timeout,
            approval=node.hosted,
            password=password,
            keep=not node.hosted,
        )
        async for event in node.client.ask("joins", request):
            if isinstance(event, events.ReplyReady) and not out.json:
                out.say(event.blob)
            else:
                out.event(event)
            if isinstance(event, events.Joined):
                joined = event
        if joined is not None and not no_chat and not out.json and sys.stdin.isatty():
            from p2pchat.cli.chat import chat

            await chat(out, node.client, joined.room, bell=common.config().notify.bell)
        elif node.hosted and joined is not None:
            # The friend's side is told by our goodbye that the link stood and ended in good order.
            out.note("to stay reachable run: p2pchat up")


def needs_password(text: str) -> bool:
    """Whether an invite asks for one; whatever is wrong with it is for the node to say."""
    from signaling.errors import SignalingError
    from signaling.invite import Invite

    try:
        return Invite.parse(text, time.time()).password
    except SignalingError:
        return False


@command
@click.argument("number", metavar="N")
async def cancel_(out: Output, common: Common, number: str) -> None:
    """Give up a join that waits for its inviter; p2pchat status shows them with their numbers."""
    async with common.attach(online=False) as node:
        async for event in node.client.ask("cancellations", CancelRequest(join=number)):
            out.event(event)


@command
@click.argument("blob")
async def reply_(out: Output, common: Common, blob: str) -> None:
    """Hand in the reply blob that a friend sent back (`-`: read it from stdin).

    The invite has to be waiting in the background node or in another terminal.
    """
    async with common.attach() as node:
        if node.hosted:
            raise BadInput(
                "blob-kind",
                "no invite waits here: the p2pchat that made it has ended",
                "make a new one with p2pchat invite, and keep it running until your friend is in",
            )
        async for event in node.client.ask("replies", ReplyRequest(blob=read_argument(blob))):
            out.event(event)
