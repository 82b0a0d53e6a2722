"""The parts of a node, wired to each other."""

from pathlib import Path

import pytest

from p2pchat import errors
from p2pchat.core.entry import MESSAGE, MessageBody
from tests.node.people import acquaint, friends, person


async def test_a_network_that_is_not_there_is_an_error_that_says_so(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", online=False) as ann:
        with pytest.raises(errors.Error) as caught:
            _ = ann._parts.network
        assert caught.value.code == "not-running"
        assert ann._parts.linked() == set()


async def test_linked_are_those_with_a_link(tmp_path: Path) -> None:
    async with friends(tmp_path) as (ann, bob):
        assert ann._parts.linked() == {bob.peer_id}


async def test_nothing_is_written_where_we_are_no_member(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", online=False) as ann:
        room = await ann.create_room("crew")
        await room.leave()
        before = (await ann.status()).entries
        with pytest.raises(errors.Refused) as caught:
            await ann._parts.write(room.key, MESSAGE, MessageBody("hello", None, None))
        assert caught.value.code == "not-a-member"
        assert (await ann.status()).entries == before


async def test_what_is_written_lives_as_long_as_the_room_says_else_as_we_do(
    tmp_path: Path,
) -> None:
    await acquaint(tmp_path, "Ann", "Bob")
    async with person(tmp_path, "Ann", online=False) as ann:
        rooms, room = ann._parts.rooms, await ann.create_room("crew")
        assert rooms.timer_s(room.key) == ann.config.messages.lifetime_s == 0
        await room.set("timer", "60")
        assert rooms.timer_s(room.key) == 60
        assert rooms.timer_s((await ann.room("Bob")).key) == 0
