from pathlib import Path

import pytest

from p2pchat import errors, events
from p2pchat.api.client import Client, NotRunning
from p2pchat.api.routes.asking import RoomRequest


async def test_an_answer_is_events(client: Client) -> None:
    identity = await client.one("identity")
    assert isinstance(identity, events.Identity)
    assert identity.name == "Ann"
    assert await client.answers()


async def test_an_error_comes_out_as_it_was_raised(client: Client) -> None:
    with pytest.raises(errors.BadInput) as caught:
        await client.one("members", RoomRequest(room="nobody"))
    assert caught.value.code == "room-unknown"
    assert caught.value.hint


async def test_nobody_there_is_said(tmp_path: Path) -> None:
    async with Client.open(tmp_path / "no.sock") as client:
        assert not await client.answers()
        with pytest.raises(NotRunning):
            await client.one("identity")
