"""rooms, members, peers."""

import click

from p2pchat.api.routes.asking import RoomRequest
from p2pchat.cli.command import Common, command
from p2pchat.cli.invite import greet
from p2pchat.cli.output import Output

__all__ = ["members_", "peers_", "rooms_"]


@command
async def rooms_(out: Output, common: Common) -> None:
    """List rooms."""
    await _list(out, common, "rooms", "no rooms yet: p2pchat invite makes one")


@command
async def peers_(out: Output, common: Common) -> None:
    """List contacts, and whether they are connected."""
    await _list(out, common, "peers", "no contacts yet: p2pchat invite, or p2pchat join BLOB")


@command
@click.argument("room")
async def members_(out: Output, common: Common, room: str) -> None:
    """List the members of a room."""
    await _list(out, common, "members", "nobody", RoomRequest(room=room))


async def _list(
    out: Output, common: Common, route: str, empty: str, request: RoomRequest | None = None
) -> None:
    async with common.attach(online=False) as node:
        greet(out, node)
        found = False
        async for event in node.client.ask(route, request):
            found = True
            out.row(event)
        if not found:
            out.note(empty)
