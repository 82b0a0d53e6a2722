import pytest

from p2pchat import errors, events
from p2pchat.api.client import Client
from p2pchat.api.routes.asking import NameRequest, RoomRequest
from p2pchat.api.routes.rooms import SettingRequest


async def test_a_room_is_made_set_left_and_forgotten(client: Client) -> None:
    made = await client.one("creations", NameRequest(name="crew"))
    assert isinstance(made, events.RoomRow)
    setting = SettingRequest(room="crew", key="topic", value="the plan")
    changed = await client.one("settings", setting)
    assert isinstance(changed, events.RoomRow)
    assert (changed.room, changed.topic) == (made.room, "the plan")
    assert [row async for row in client.ask("rooms")] == [changed]
    assert await client.one("room", RoomRequest(room=made.room[:8])) == changed
    left = await client.one("departures", RoomRequest(room="crew"))
    assert isinstance(left, events.Note)
    assert made.room[:8] in left.text
    await client.one("forgotten", RoomRequest(room="crew"))
    assert [row async for row in client.ask("rooms")] == []
    with pytest.raises(errors.BadInput) as caught:
        await client.one("room", RoomRequest(room="crew"))
    assert caught.value.code == "room-unknown"
