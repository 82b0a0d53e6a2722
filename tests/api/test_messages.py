from p2pchat import Node, events
from p2pchat.api.client import Client
from p2pchat.api.routes.asking import RoomRequest
from p2pchat.api.routes.messages import (
    EditRequest,
    LogRequest,
    MessageRequest,
    PinRequest,
    ReactRequest,
    SendRequest,
)


async def test_a_message_is_written_amended_and_read(node: Node, client: Client) -> None:
    await node.create_room("crew")
    sent = await client.one("messages", SendRequest(room="crew", text="helo"))
    assert isinstance(sent, events.Message)
    for route, request, field, value in (
        ("edits", EditRequest(room="crew", id=sent.id, text="hello"), "text", "hello"),
        ("pinnings", PinRequest(room="crew", id=sent.id), "pinned", True),
    ):
        changed = await client.one(route, request)
        assert isinstance(changed, events.Message)
        assert getattr(changed, field) == value
    reacted = await client.one("reactions", ReactRequest(room="crew", id=sent.id, text="+1"))
    assert isinstance(reacted, events.Message)
    assert [one.text for one in reacted.reactions or ()] == ["+1"]
    pins = [row async for row in client.ask("pins", RoomRequest(room="crew"))]
    assert pins == [reacted]
    versions = [
        row async for row in client.ask("versions", MessageRequest(room="crew", id=sent.id))
    ]
    assert [row.text for row in versions if isinstance(row, events.Message)] == ["helo", "hello"]
    assert [row async for row in client.ask("log", LogRequest(room="crew"))] == [reacted]
    gone = await client.one("deletions", MessageRequest(room="crew", id=sent.id))
    assert isinstance(gone, events.Message)
    assert gone.deleted


async def test_whoever_follows_a_log_hears_of_its_room_alone(node: Node, client: Client) -> None:
    room, other = await node.create_room("crew"), await node.create_room("other")
    first = await room.send("one")
    feed = client.ask("log", LogRequest(room="crew", follow=True))
    assert await anext(feed) == first
    await other.send("elsewhere")
    second = await room.send("two")
    assert await anext(feed) == second
    await feed.aclose()  # type: ignore[attr-defined]
