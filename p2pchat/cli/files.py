"""share, get, files, unshare."""

from pathlib import Path

import click

from p2pchat import events
from p2pchat.api.routes.files import GetRequest, ShareRequest, UnshareRequest
from p2pchat.cli.command import SECONDS, Common, command
from p2pchat.cli.invite import greet, read_argument
from p2pchat.cli.output import Output

__all__ = ["files_", "get_", "share_", "unshare_"]


@command
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--room", help="Tell this room.")
@click.option("--no-wait", is_flag=True, help="Leave it with the background node.")
async def share_(
    out: Output, common: Common, paths: tuple[Path, ...], room: str | None, *, no_wait: bool
) -> None:
    """Offer files or folders, encrypted, as one magnet link.

    Whoever has the link and a connection to you can fetch it: p2pchat get LINK. The background
    node goes on offering it; without one this command does, until Ctrl-C.
    """
    if no_wait:
        from p2pchat.cli.node import ensure_up

        await ensure_up(out, common)
    request = ShareRequest(paths=[str(path.absolute()) for path in paths], room=room)
    async with common.attach() as node:
        greet(out, node)
        async for event in node.client.ask("shares", request):
            out.stands = "it is shared"
            if isinstance(event, events.Share) and not out.json:
                out.say(event.magnet)
            else:
                out.event(event)
        if node.hosted:
            out.note("offering it until Ctrl-C; p2pchat up would do so in the background")
            async for event in node.client.ask("events"):
                if isinstance(event, (events.Peer, events.Transfer)) and out.json:
                    out.event(event)


@command
@click.argument("target")
@click.option(
    "-o", "dest", type=click.Path(path_type=Path, file_okay=False), help="Put it into this folder."
)
@click.option("--timeout", type=SECONDS, help="Give up after this many seconds without progress.")
async def get_(
    out: Output, common: Common, target: str, dest: Path | None, timeout: float | None
) -> None:
    """Fetch a share by its magnet link (`-`: from stdin) or by the id it has in a room.

    Verifies and decrypts it. Interrupted, the same command goes on where it was.
    """
    request = GetRequest(
        target=read_argument(target).strip(),
        dest=str(dest.absolute()) if dest is not None else None,
        timeout=timeout,
    )
    async with common.attach() as node:
        greet(out, node)
        async for event in node.client.ask("transfers", request):
            if isinstance(event, events.Transfer) and event.state == "complete" and not out.json:
                out.note(f"verified {event.name}")
                out.say(event.path or "")
            else:
                out.event(event)


@command
async def files_(out: Output, common: Common) -> None:
    """List what is shared and fetched here."""
    async with common.attach() as node:
        greet(out, node)
        async for event in node.client.ask("files"):
            out.row(event)


@command
@click.argument("share")
async def unshare_(out: Output, common: Common, share: str) -> None:
    """Stop offering a share, named by (the beginning of) its id or by its magnet link."""
    async with common.attach() as node:
        async for event in node.client.ask("removals", UnshareRequest(share=share)):
            out.event(event)
