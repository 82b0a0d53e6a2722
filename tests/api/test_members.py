import os

import pytest

from p2pchat import Node, errors, events
from p2pchat.api.client import Client
from p2pchat.api.routes.asking import RoomRequest
from p2pchat.api.routes.members import MemberRequest, RoleRequest
from p2pchat.core.entry import REQUEST, RequestBody
from p2pchat.core.identity import Identity


async def _ask(node: Node, room: bytes, name: str) -> None:
    """Somebody of this name asks to be let in."""
    certificate = Identity.create(name, os.urandom).certificate
    await node.write(room, REQUEST, RequestBody(certificate, os.urandom(32)))


async def test_who_asks_is_let_in_or_turned_away_and_may_become_an_admin_or_go(
    node: Node, client: Client
) -> None:
    room = await node.create_room("crew")
    for name in ("Bob", "Eve"):
        await _ask(node, room.key, name)
    rows = [row async for row in client.ask("members", RoomRequest(room="crew"))]
    assert [row.name for row in rows if isinstance(row, events.JoinRequest)] == ["Bob", "Eve"]
    await client.one("approvals", MemberRequest(room="crew", peer="Bob"))
    denied = await client.one("denials", MemberRequest(room="crew", peer="Eve"))
    assert isinstance(denied, events.Note)
    assert "Eve" in denied.text
    raised = await client.one("roles", RoleRequest(room="crew", peer="Bob", role="admin"))
    assert isinstance(raised, events.Member)
    assert raised.role == "admin"
    left = [row async for row in client.ask("expulsions", MemberRequest(room="crew", peer="Bob"))]
    assert [row.name for row in left if isinstance(row, events.Member)] == ["Ann"]


async def test_who_does_not_ask_cannot_be_let_in(node: Node, client: Client) -> None:
    await node.create_room("crew")
    with pytest.raises(errors.BadInput) as caught:
        await client.one("approvals", MemberRequest(room="crew", peer="Bob"))
    assert caught.value.code == "request-unknown"
