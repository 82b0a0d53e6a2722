"""Who is behind, and waiting until nobody is."""

from pathlib import Path

import pytest

from p2pchat import errors, events
from p2pchat.core.identity import id_text
from p2pchat.node.sync import sync
from tests.harness.crew import Crew, Sailor
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


async def test_rooms_that_we_are_gone_from_keep_nobody_waiting(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob", "carol")
        await crew.settle()
        await (await crew["ann"].room()).remove("bob")
        await (await crew["carol"].room()).leave()
        group = (await crew["ann"].room()).key
        gone = [crew["bob"], crew["carol"]]
        await crew.until(
            lambda: (
                all(one.person not in one.group(group).members for one in gone)
                and not crew["ann"].group(group).members - {crew["ann"].person}
            )
        )
        await crew.cut_all()
        for one in gone:
            await crew.link("ann", one.name)
        for one in gone:
            rooms = await _synced(one)
            assert rooms
            assert id_text(group) not in rooms
            with pytest.raises(errors.Refused) as caught:
                [_ async for _ in one.node.sync(id_text(group))]
            assert caught.value.code == "not-a-member"


async def _synced(sailor: Sailor) -> set[str]:
    """The rooms that a sync which waits has brought level."""
    node = sailor.node
    bus, peers = node._parts.bus, sailor.peers
    found = sync(peers, node._directory, bus, None, 20, wait=True)  # type: ignore[arg-type]
    return {event.room async for event in found}
