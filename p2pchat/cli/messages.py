"""send, log, sync."""

import sys

import click

from p2pchat.api.routes import LogRequest, SendRequest, SyncRequest
from p2pchat.cli.command import Common, command, usage
from p2pchat.cli.invite import greet
from p2pchat.cli.output import Output
from p2pchat.cli.when import since

__all__ = ["log_", "send_", "sync_"]


@command
@click.argument("room")
@click.argument("text", nargs=-1, required=True)
@click.option("--reply-to", metavar="ID", help="The message this answers.")
@click.option("--wait", is_flag=True, help="Until every member online has it.")
@click.option("--timeout", type=float, default=30, show_default=True, help="How long to wait, s.")
async def send_(
    out: Output,
    common: Common,
    room: str,
    text: tuple[str, ...],
    reply_to: str | None,
    timeout: float,
    *,
    wait: bool,
) -> None:
    """Write a message (`-`: read it from stdin). When this ends it is safe on disk.

    Without a running node it goes out as soon as one runs: p2pchat up.
    """
    words = " ".join(text)
    if words == "-":
        words = sys.stdin.read(1 << 20).rstrip("\n")
    request = SendRequest(room=room, text=words, reply_to=reply_to, wait=wait, timeout=timeout)
    async with common.attach(online=wait) as node:
        greet(out, node)
        async for event in node.client.ask("messages", request):
            out.event(event)


@command
@click.argument("room")
@click.option("--last", type=click.IntRange(0), default=50, show_default=True, help="0 for all.")
@click.option("--since", "when", metavar="WHEN", help="2h, 3d, yesterday, or a date.")
@click.option(
    "--search",
    metavar="WORDS",
    help='Those with all these words; hol* is the beginning of one, "a b" a phrase.',
)
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes.")
async def log_(
    out: Output,
    common: Common,
    room: str,
    last: int,
    when: str | None,
    search: str | None,
    *,
    follow: bool,
) -> None:
    """Read messages, oldest first."""
    if follow and search is not None:
        raise usage("--follow shows all that comes", "leave out --search or --follow")
    moment = since(when) if when is not None else None
    request = LogRequest(room=room, last=last or None, since=moment, search=search, follow=follow)
    async with common.attach(online=follow) as node:
        greet(out, node)
        async for event in node.client.ask("log", request):
            out.event(event)


@command
@click.argument("room", required=False)
@click.option("--wait", is_flag=True, help="Until all is level.")
@click.option("--timeout", type=float, default=30, show_default=True, help="How long to wait, s.")
async def sync_(
    out: Output, common: Common, room: str | None, timeout: float, *, wait: bool
) -> None:
    """Compare with everybody online, and say who is behind, and by how much."""
    if timeout <= 0:
        raise usage("the timeout is not above zero", "give it in seconds")
    async with common.attach() as node:
        greet(out, node)
        async for event in node.client.ask(
            "sync", SyncRequest(room=room, wait=wait, timeout=timeout)
        ):
            out.event(event)
