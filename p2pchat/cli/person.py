"""The chat's commands about a person: /whois, /verify, /alias, /block, /unblock."""

import shlex

import msgspec

from p2pchat import events
from p2pchat.api.client import Client
from p2pchat.api.routes.asking import RoomRequest
from p2pchat.api.routes.people import AliasRequest, BlockRequest, PeerRequest, VerifyRequest
from p2pchat.api.slash import Slash
from p2pchat.cli.command import usage

__all__ = ["about"]

_FORMS = {
    "whois": "/whois NAME",
    "verify": "/verify NAME, /verify NAME confirm or /verify NAME revoke",
    "alias": "/alias NAME NEW",
    "block": "/block NAME",
    "unblock": "/unblock NAME",
}
_SAID = ("confirm", "revoke")


async def about(client: Client, room: str, slash: Slash) -> tuple[str, msgspec.Struct]:
    """What to ask the node: route and request.

    In a room of two NAME may be left out where it cannot be mistaken: /verify, /verify confirm,
    /whois. Raises errors.Usage.
    """
    words = _words(slash.argument)
    said = ""
    if slash.name == "verify" and words and words[-1].lower() in _SAID:
        said = words.pop().lower()
    if slash.name == "alias":
        if len(words) not in (1, 2):
            raise _form(slash.name)
        return "aliases", AliasRequest(peer=words[0], alias=words[1] if words[1:] else "")
    # A name of several words needs no quotes where it stands alone.
    peer = " ".join(words)
    if slash.name in ("block", "unblock"):
        if not peer:
            raise _form(slash.name)
        return "blocks", BlockRequest(peer=peer, blocked=slash.name == "block")
    peer = peer or await _other(client, room, slash.name)
    if slash.name == "whois":
        return "people", PeerRequest(peer=peer)
    if not said:
        return "safety-numbers", PeerRequest(peer=peer)
    return "verifications", VerifyRequest(peer=peer, verified=said == "confirm")


async def _other(client: Client, room: str, command: str) -> str:
    """The id of the one who is in this room beside us."""
    others = [
        event.peer
        async for event in client.ask("members", RoomRequest(room=room))
        if isinstance(event, events.Member) and not event.me
    ]
    if len(others) != 1:
        raise _form(command)
    return others[0]


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        # An apostrophe is part of many names.
        return text.split()


def _form(command: str) -> Exception:
    return usage(f"/{command} does not say who is meant", f"write {_FORMS[command]}")
