from p2pchat import Node, events
from p2pchat.api.client import Client
from p2pchat.api.routes.presence import PresenceRequest, ReadRequest, TypingRequest


async def test_whoever_says_to_be_away_is_so_until_they_write_a_line(client: Client) -> None:
    for request, presence in (
        (PresenceRequest(), "online"),
        (PresenceRequest(away=True), "away"),
        (PresenceRequest(), "away"),
        (PresenceRequest(wrote=True), "online"),
    ):
        told = await client.one("presence", request)
        assert isinstance(told, events.Presence)
        assert told.presence == presence


async def test_to_write_is_to_be_there_and_what_was_read_is_kept(
    node: Node, client: Client
) -> None:
    room = await node.create_room("crew")
    told = await client.one("typing", TypingRequest(room="crew"))
    assert isinstance(told, events.Presence)
    assert told.presence == "online"
    sent = await room.send("hello")
    read = await client.one("reads", ReadRequest(room="crew", upto=sent.id))
    assert isinstance(read, events.Read)
    assert read.room == room.id
