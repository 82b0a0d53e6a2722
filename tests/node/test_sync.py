"""Who is behind, and waiting until nobody is."""

from pathlib import Path

import pytest

from p2pchat import errors, events
from tests.harness.crew import Crew
from tests.node.people import friends, heard, person


async def test_with_nobody_there_a_sync_is_unreachable(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann") as node:
        with pytest.raises(errors.Unreachable) as caught:
            [_ async for _ in node.sync(timeout=0.05)]
    assert caught.value.code == "unreachable"


async def test_friends_sync_and_a_sync_cut_short_says_so(tmp_path: Path) -> None:
    async with friends(tmp_path) as (ann, bob):
        room = await ann.room("@Bob")
        with bob.events() as feed:
            await room.send("hello")
            assert (await heard(feed, events.Message)).text == "hello"
        with pytest.raises(errors.Unreachable) as caught:
            [_ async for _ in ann.sync(wait=True, timeout=0)]
        assert caught.value.code == "not-synced"
        last = [event async for event in ann.sync("@Bob", wait=True)][-1]
        assert (last.state, last.behind, last.ahead) == ("in-sync", 0, 0)
        assert (last.name, last.room_name) == ("Bob", None)


async def test_who_is_behind_is_named_with_the_room_of_many(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        ann = crew["ann"].node
        await crew.found("ann")
        await crew.bring("ann", "bob")
        rows = ann.sync_rows()
        rooms = {room.room: room.name for room in await ann.rooms() if room.kind == "group"}
        assert rooms
        for row in rows:
            assert row.name == ann.people.name_of(crew["bob"].person)
            assert row.room_name == rooms.get(row.room)
        assert {row.room for row in rows} >= rooms.keys()
