"""room create, leave, forget, info, set; approve, deny, remove, role."""

from typing import Literal

import click

from p2pchat import events
from p2pchat.api.routes.asking import NameRequest, RoomRequest
from p2pchat.api.routes.meeting import KnockAnswerRequest
from p2pchat.api.routes.members import MemberRequest, RoleRequest
from p2pchat.api.routes.rooms import SettingRequest
from p2pchat.cli.command import Common, command
from p2pchat.cli.invite import greet
from p2pchat.cli.output import Output

__all__ = [
    "approve_",
    "create_",
    "deny_",
    "forget_",
    "info_",
    "leave_",
    "remove_",
    "role_",
    "room_",
    "set_",
]


@click.group("room", context_settings={"help_option_names": ["-h", "--help"]})
def room_() -> None:
    """Create, leave, forget, show and set rooms of many."""


@command
@click.argument("room", metavar="NAME")
@click.option("--topic", help="What it is about.")
async def create_(out: Output, common: Common, room: str, topic: str | None) -> None:
    """Make a new room, with you as its only member and admin.

    Let others in with: p2pchat invite NAME
    """
    async with common.attach(online=False) as node:
        greet(out, node)
        async for event in node.client.ask("creations", NameRequest(name=room)):
            out.stands = "the room is made"
            if topic is None or not isinstance(event, events.RoomRow):
                out.row(event)
                continue
            request = SettingRequest(room=event.room, key="topic", value=topic)
            async for changed in node.client.ask("settings", request):
                out.row(changed)


@command
@click.argument("room", metavar="NAME")
async def leave_(out: Output, common: Common, room: str) -> None:
    """Be no member any more. What was written stays readable here until you forget it."""
    await _ask(out, common, "departures", RoomRequest(room=room))


@command
@click.argument("room", metavar="NAME")
async def forget_(out: Output, common: Common, room: str) -> None:
    """Delete all that is on this machine of a room that you have left."""
    await _ask(out, common, "forgotten", RoomRequest(room=room))


@command
@click.argument("room", metavar="NAME")
async def info_(out: Output, common: Common, room: str) -> None:
    """Show a room: its topic, its settings, what you are in it, and who asks to be let in."""
    await _ask(out, common, "room", RoomRequest(room=room))


@command
@click.argument("room", metavar="NAME")
@click.argument("key", type=click.Choice(["name", "topic", "admit", "history", "timer"]))
@click.argument("value")
async def set_(out: Output, common: Common, room: str, key: str, value: str) -> None:
    """Change a setting of a room.

    name, topic: a line. admit: who lets people in, `members` or `admins`. history: what newcomers
    can read, `all` or `new`. timer: seconds that messages live, 0 for ever.
    """
    await _ask(out, common, "settings", SettingRequest(room=room, key=key, value=value))


room_.commands = {one.name or "": one for one in (create_, leave_, forget_, info_, set_)}


@command
@click.argument("room")
@click.argument("peer", required=False)
async def approve_(out: Output, common: Common, room: str, peer: str | None) -> None:
    """Let somebody in who asks to join a room.

    With one name only: somebody who knocks at you. Compare the three words with them first.
    """
    if peer is None:
        await _answer(out, common, room, accept=True)
    else:
        await _ask(out, common, "approvals", MemberRequest(room=room, peer=peer))


@command
@click.argument("room")
@click.argument("peer", required=False)
async def deny_(out: Output, common: Common, room: str, peer: str | None) -> None:
    """Turn somebody away who asks to join a room, or (one name only) who knocks at you."""
    if peer is None:
        await _answer(out, common, room, accept=False)
    else:
        await _ask(out, common, "denials", MemberRequest(room=room, peer=peer))


async def _answer(out: Output, common: Common, knock: str, *, accept: bool) -> None:
    """Whoever knocks does so at a node that runs; one started here would hear nobody."""
    async with common.attach(online=False) as node:
        async for event in node.client.ask(
            "knock-answers", KnockAnswerRequest(knock=knock, accept=accept)
        ):
            out.event(event)


@command
@click.argument("room")
@click.argument("peer")
async def remove_(out: Output, common: Common, room: str, peer: str) -> None:
    """Make somebody no member of a room any more. The room gets a new key."""
    await _ask(out, common, "expulsions", MemberRequest(room=room, peer=peer))


@command
@click.argument("room")
@click.argument("peer")
@click.argument("role", type=click.Choice(["admin", "member"]))
async def role_(
    out: Output, common: Common, room: str, peer: str, role: Literal["admin", "member"]
) -> None:
    """Make a member of a room its admin, or a plain member again."""
    await _ask(out, common, "roles", RoleRequest(room=room, peer=peer, role=role))


async def _ask(
    out: Output, common: Common, route: str, request: RoomRequest | MemberRequest | SettingRequest
) -> None:
    async with common.attach(online=False) as node:
        greet(out, node)
        async for event in node.client.ask(route, request):
            out.stands = "it is done" if route != "room" else ""
            out.row(event)
