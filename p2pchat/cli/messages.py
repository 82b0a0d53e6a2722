"""send, edit, delete, react, pin, log, read, sync."""

import sys

import click
from msgspec import Struct

from p2pchat.api.routes.asking import RoomRequest
from p2pchat.api.routes.history import SyncRequest
from p2pchat.api.routes.messages import (
    LAST_MAX,
    EditRequest,
    LogRequest,
    MessageRequest,
    PinRequest,
    ReactRequest,
    SendRequest,
)
from p2pchat.api.routes.presence import ReadRequest
from p2pchat.cli.command import SECONDS, Common, command, usage
from p2pchat.cli.invite import duration, greet
from p2pchat.cli.output import Output
from p2pchat.cli.streams import read_stdin
from p2pchat.cli.when import since

__all__ = ["delete_", "edit_", "log_", "pin_", "react_", "read_", "send_", "sync_"]

_DONE = "it is done"


def _words(text: tuple[str, ...]) -> str:
    """What arguments say; `-` stands for stdin."""
    words = " ".join(text)
    return read_stdin().rstrip("\n") if words == "-" else words


@command
@click.argument("room")
@click.argument("text", nargs=-1, required=True)
@click.option("--reply-to", metavar="ID", help="The message this answers.")
@click.option("--lifetime", metavar="TIME", help="It disappears after 30s, 10m, 2h, 7d; 0: never.")
@click.option("--wait", is_flag=True, help="Until every member online has it.")
@click.option("--timeout", type=SECONDS, default=30, show_default=True, help="How long to wait, s.")
async def send_(
    out: Output,
    common: Common,
    room: str,
    text: tuple[str, ...],
    reply_to: str | None,
    lifetime: str | None,
    timeout: float,
    *,
    wait: bool,
) -> None:
    """Write a message (`-`: read it from stdin). When this ends it is safe on disk.

    Without a running node it goes out as soon as one runs: p2pchat up.
    """
    seconds = None
    if lifetime is not None:
        seconds = 0 if lifetime.strip() == "0" else int(duration(lifetime))
    request = SendRequest(
        room=room,
        text=_words(text),
        reply_to=reply_to,
        lifetime_s=seconds,
        wait=wait,
        timeout=timeout,
    )
    async with common.attach(online=wait) as node:
        greet(out, node)
        async for event in node.client.ask("messages", request):
            out.stands = "the message is written"
            out.event(event)


async def _change(
    out: Output, common: Common, route: str, request: Struct, stands: str = ""
) -> None:
    # Without a network where no node runs: it goes out as soon as one does.
    async with common.attach(online=False) as node:
        greet(out, node)
        async for event in node.client.ask(route, request):
            out.stands = stands
            out.row(event)


@command
@click.argument("room")
@click.argument("id_", metavar="ID")
@click.argument("text", nargs=-1, required=True)
async def edit_(out: Output, common: Common, room: str, id_: str, text: tuple[str, ...]) -> None:
    """Give a message of yours another text (`-`: read it from stdin).

    Who has read it may remember the old one: p2pchat log ROOM --versions ID shows all of them.
    """
    await _change(out, common, "edits", EditRequest(room=room, id=id_, text=_words(text)), _DONE)


@command
@click.argument("room")
@click.argument("id_", metavar="ID")
async def delete_(out: Output, common: Common, room: str, id_: str) -> None:
    """Delete a message of yours, here and from the disks of all members.

    Honest programs forget the text for good; nobody can be made to.
    """
    await _change(out, common, "deletions", MessageRequest(room=room, id=id_), _DONE)


@command
@click.argument("room")
@click.argument("id_", metavar="ID")
@click.argument("emoji")
async def react_(out: Output, common: Common, room: str, id_: str, emoji: str) -> None:
    """React to a message with an emoji; the same once more takes it back."""
    await _change(out, common, "reactions", ReactRequest(room=room, id=id_, text=emoji), _DONE)


@command
@click.argument("room")
@click.argument("id_", metavar="ID", required=False)
@click.option("--off", is_flag=True, help="Unpin it.")
async def pin_(out: Output, common: Common, room: str, id_: str | None, *, off: bool) -> None:
    """Pin a message for all members; without an ID, list what is pinned."""
    if id_ is not None:
        await _change(out, common, "pinnings", PinRequest(room=room, id=id_, on=not off), _DONE)
    elif off:
        raise usage("which message is to be unpinned?", "name it: p2pchat pin ROOM ID --off")
    else:
        await _change(out, common, "pins", RoomRequest(room=room))


@command
@click.argument("room")
@click.option(
    "--last", type=click.IntRange(0, LAST_MAX), default=50, show_default=True, help="0 for all."
)
@click.option("--since", "when", metavar="WHEN", help="2h, 3d, 1w, today, yesterday, or a date.")
@click.option(
    "--search",
    metavar="WORDS",
    help='Those with all these words; hol* is the beginning of one, "a b" a phrase.',
)
@click.option("--versions", metavar="ID", help="All texts that this message has had.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes.")
async def log_(
    out: Output,
    common: Common,
    room: str,
    last: int,
    when: str | None,
    search: str | None,
    versions: str | None,
    *,
    follow: bool,
) -> None:
    """Read messages, oldest first."""
    if follow and search is not None:
        raise usage("--follow shows all that comes", "leave out --search or --follow")
    if versions is not None:
        await _change(out, common, "versions", MessageRequest(room=room, id=versions))
        return
    moment = since(when) if when is not None else None
    # Who looks at all that is new on a terminal has read it; a script or a filter has not.
    shown = sys.stdout.isatty() and not out.json and moment is None and search is None
    request = LogRequest(
        room=room,
        last=last or None,
        since=moment,
        search=search,
        follow=follow,
        read=shown,
        more=out.json,
    )
    found = False
    async with common.attach(online=follow) as node:
        greet(out, node)
        async for event in node.client.ask("log", request):
            found = True
            out.event(event)
    if search is not None and not found and not out.json:
        out.note("no message has these words")


@command
@click.argument("room")
@click.option("--upto", metavar="ID", help="The last message that you have read; else all.")
async def read_(out: Output, common: Common, room: str, upto: str | None) -> None:
    """Note that you have read a room's messages; its members are told once linked.

    The chat does so by itself, and so does `log` on a terminal.
    """
    async with common.attach(online=False) as node:
        greet(out, node)
        async for event in node.client.ask("reads", ReadRequest(room=room, upto=upto)):
            if out.json:
                out.event(event)


@command
@click.argument("room", required=False)
@click.option("--wait", is_flag=True, help="Until all is level.")
@click.option("--timeout", type=SECONDS, default=30, show_default=True, help="How long to wait, s.")
async def sync_(
    out: Output, common: Common, room: str | None, timeout: float, *, wait: bool
) -> None:
    """Compare with everybody online, and say who is behind, and by how much."""
    async with common.attach() as node:
        greet(out, node)
        async for event in node.client.ask(
            "sync", SyncRequest(room=room, wait=wait, timeout=timeout)
        ):
            out.event(event)
