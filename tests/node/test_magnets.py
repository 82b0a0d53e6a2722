"""Magnets that rooms know of."""

import os
from pathlib import Path

import pytest

from p2pchat import errors, events
from p2pchat.core.identity import id_text
from p2pchat.files.share import Share
from p2pchat.node import magnets
from tests.node.people import acquaint, person


async def test_a_share_nobody_told_of_is_unknown(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", online=False) as node:
        for target, code in (("abcd", "share-unknown"), ("x:y", "magnet-malformed")):
            with pytest.raises(errors.BadInput) as caught:
                await anext(node.get(target))
            assert caught.value.code == code


def _share() -> Share:
    return Share(
        id=os.urandom(32),
        key=os.urandom(32),
        name="plan",
        size=3,
        sealed_size=67,
        info_hash=os.urandom(20),
        state="seeding",
        created=1.0,
    )


async def test_a_room_that_was_told_knows_the_magnet_by_the_beginning_of_the_id(
    tmp_path: Path,
) -> None:
    await acquaint(tmp_path, "Ann", "Bob")
    share = _share()
    async with person(tmp_path, "Ann", online=False) as node:
        room, rooms = await node.room("Bob"), node._parts.rooms
        told = await magnets.tell(rooms, node._parts.write, room.key, share)
        assert (told.room, told.id, told.magnet) == (room.id, id_text(share.id), share.magnet)
        for reference in (told.id, told.id[:8].upper(), share.magnet):
            assert await magnets.find_magnet(rooms, reference) == share.magnet
        with pytest.raises(errors.BadInput):
            await magnets.find_magnet(rooms, told.id[:3])


def test_a_share_that_no_room_was_told_of_is_shown_without_one() -> None:
    share = _share()
    event = magnets.untold(share, "ann", 0.0)
    assert isinstance(event, events.Share)
    assert (event.room, event.author, event.magnet) == (None, "ann", share.magnet)
