"""Rooms as they are named, listed and found."""

import asyncio
from pathlib import Path

import pytest

from p2pchat import errors
from p2pchat.core.identity import id_text
from p2pchat.node.node import Node
from tests.harness.crew import Crew
from tests.node.people import acquaint, person


async def test_a_room_is_found_by_name_and_by_the_beginning_of_an_id(tmp_path: Path) -> None:
    bob, _ = await acquaint(tmp_path, "Ann", "Bob", "Cyd")
    async with person(tmp_path, "Ann", online=False) as node:
        room = await node.room("@Bob")
        assert room.name == "Bob"
        for reference in ("Bob", room.id[:8], id_text(bob.person)[:8]):
            assert (await node.room(reference)).id == room.id


async def test_a_name_in_another_case_is_found_where_it_is_clear(tmp_path: Path) -> None:
    await acquaint(tmp_path, "Ann", "Bob", "Élise", "Cyd", "CYD")
    async with person(tmp_path, "Ann", online=False) as node:
        assert (await node.room("bob")).name == "Bob"
        assert (await node.room("@BOB")).name == "Bob"
        assert (await node.room("éLISE")).name == "Élise"
        assert (await node.room("CYD")).name == "CYD"
        with pytest.raises(errors.BadInput) as caught:
            await node.room("cyd")
        assert caught.value.code == "room-ambiguous"
        crew = await node.create_room("Crew")
        assert (await node.room("crew")).id == crew.id
        exact = await node.create_room("crew")
        assert (await node.room("crew")).id == exact.id
        with pytest.raises(errors.BadInput):
            await node.room("@CREW")


@pytest.mark.parametrize("reference", ["@Dan", "", "aaa"])
async def test_a_room_that_is_not_there_is_unknown(tmp_path: Path, reference: str) -> None:
    await acquaint(tmp_path, "Ann", "Bob")
    async with person(tmp_path, "Ann", online=False) as node:
        with pytest.raises(errors.BadInput) as caught:
            await node.room(reference)
    assert caught.value.code == "room-unknown"


async def test_a_name_that_two_rooms_have_is_ambiguous(tmp_path: Path) -> None:
    await acquaint(tmp_path, "Ann", "Bob", "Bob")
    async with person(tmp_path, "Ann", online=False) as node:
        with pytest.raises(errors.BadInput) as caught:
            await node.room("@Bob")
    assert caught.value.code == "room-ambiguous"


async def test_a_room_of_many_and_a_person_of_one_name_are_told_apart(tmp_path: Path) -> None:
    await acquaint(tmp_path, "Ann", "crew")
    async with person(tmp_path, "Ann", online=False) as node:
        made = await node.create_room("crew")
        # Members may rename it at any time: what is for a friend must not go there.
        with pytest.raises(errors.BadInput) as caught:
            await node.room("crew")
        assert caught.value.code == "room-ambiguous"
        assert (await node.room(made.id[:8])).id == made.id
        assert (await node.room("@crew")).id != made.id
        assert {(row.name, row.kind) for row in await node.rooms()} == {
            ("crew", "group"),
            ("crew", "direct"),
        }


async def test_a_room_that_was_left_can_be_forgotten(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", online=False) as node:
        room = await node.create_room("crew")
        with pytest.raises(errors.Refused) as caught:
            await node.forget("crew")
        assert caught.value.code == "still-a-member"
        await room.leave()
        await node.forget("crew")
        assert await node.rooms() == []


async def test_a_member_of_a_room_who_was_never_met_can_be_written_to(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob", "carol")
        await crew.settle()
        bob, carol = crew["bob"], crew["carol"]
        # As in a large room, where only neighbours are contacts.
        await bob.parts.database.write(
            lambda tx: tx.execute("DELETE FROM contacts WHERE person = ?", (carol.person,))
        )
        await bob.node.people.load()
        bob.peers.contacts.pop(carol.person, None)
        message = await (await bob.node.room("@carol")).send("hello")
        assert bob.peers.contacts[carol.person], "a link is wanted"
        await crew.link("bob", "carol")
        async with asyncio.timeout(20):
            while not await carol_reads(carol.node, message.room):
                await asyncio.sleep(0.02)


async def carol_reads(node: Node, room: str) -> list[str]:
    try:
        return [message.text async for message in (await node.room(room)).history()]
    except errors.BadInput:
        return []
