"""Rooms, people and keys come back from entries where their own rows are lost."""

import os
from pathlib import Path

import msgspec
import pytest

from p2pchat.core.identity import Identity
from p2pchat.node.rebuilding import explain
from p2pchat.node.repair import find_damage
from p2pchat.store import contacts, meta, rooms
from p2pchat.store.database import Connection, Database
from p2pchat.store.profile import Profile
from tests.harness.crew import Crew
from tests.node.people import meet, person


async def _lose(folder: Path, *statements: str, guess: bool) -> None:
    profile = Profile.open(folder)
    database = await Database.open(profile.database_path, profile.key(os.urandom))
    stored = await database.read(lambda tx: meta.get(tx, "identity"))
    assert stored is not None
    identity = msgspec.msgpack.decode(stored, type=Identity)

    def work(tx: Connection) -> None:
        tx.execute("PRAGMA defer_foreign_keys = ON")
        found = {row.room for row in rooms.all_rooms(tx)}
        for statement in statements:
            tx.execute(statement)
        explain(tx, identity, found if guess else ())

    await database.write(work)
    await database.aclose()
    profile.close()


@pytest.mark.timeout(120)
async def test_a_room_of_two_with_whom_and_under_which_keys(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann") as ann, person(tmp_path, "Bob") as bob:
        await meet(ann, bob)
        room = await ann.room("Bob")
        with bob.events() as feed:
            await room.send("hello")
            while not [m async for m in (await bob.room("Ann")).history(last=None)]:
                await anext(feed)
            sent = await (await bob.room("Ann")).send("and hello")
            async for _ in (await bob.room("Ann")).delivered(sent.id):
                pass
    gone = [f"DELETE FROM {table}" for table in ("members", "epochs", "contacts", "trust")]
    await _lose(tmp_path / "Ann", *gone, guess=True)
    async with person(tmp_path, "Ann", online=False) as ann:
        said = [message.text async for message in (await ann.room("Bob")).history(last=None)]
        assert said == ["hello", "and hello"]
        [contact] = await ann._parts.database.read(contacts.all_contacts)
        assert contact.certificate == bob.identity.certificate


@pytest.mark.timeout(120)
async def test_a_room_of_many_with_its_name_and_keys(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob")
        await crew.link_all()
        await crew["ann"].say("one")
        await crew["bob"].say("two")
        await crew.settle()
        said = await crew["bob"].texts()
        [row] = [
            row
            for row in await crew["bob"].parts.database.read(rooms.all_rooms)
            if row.kind == "group"
        ]
    gone = ["DELETE FROM epochs", "UPDATE rooms SET kind = 'direct', name = ''"]
    await _lose(tmp_path / "bob", *gone, guess=True)
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        assert await crew["bob"].texts() == said
        found = await crew["bob"].parts.database.read(rooms.all_rooms)
        assert [(one.room, one.kind, one.name) for one in found if one.kind == "group"] == [
            (row.room, "group", row.name)
        ]
        assert not await find_damage(crew["bob"].parts.database)


async def test_a_room_that_nothing_explains_is_forgotten(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", online=False) as ann:
        await ann.create_room("crew")
    lost = ["UPDATE entries SET body = NULL", "UPDATE rooms SET kind = 'direct'"]
    await _lose(tmp_path / "Ann", *lost, guess=True)
    async with person(tmp_path, "Ann", online=False) as ann:
        assert await ann.rooms() == []
