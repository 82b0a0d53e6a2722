"""Who is behind, and waiting until nobody is."""

from pathlib import Path

import pytest

from p2pchat import errors, events
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
