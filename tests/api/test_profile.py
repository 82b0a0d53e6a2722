import pytest

from p2pchat import errors, events
from p2pchat.api.client import Client
from p2pchat.api.routes.asking import NameRequest


async def test_a_name_is_changed(client: Client) -> None:
    await client.one("name", NameRequest(name="Anna"))
    identity = await client.one("identity")
    assert isinstance(identity, events.Identity)
    assert identity.name == "Anna"
    with pytest.raises(errors.BadInput):
        await client.one("name", NameRequest(name=""))


async def test_a_fresh_profile_has_nothing(client: Client) -> None:
    for route in ("peers", "rooms"):
        assert [event async for event in client.ask(route)] == []
    status = await client.one("status")
    assert isinstance(status, events.Status)
    assert not status.running
    assert status.entries == 0


async def test_events_begin_with_a_note_of_when(client: Client) -> None:
    feed = client.ask("events")
    assert isinstance(await anext(feed), events.Note)
    await feed.aclose()  # type: ignore[attr-defined]
