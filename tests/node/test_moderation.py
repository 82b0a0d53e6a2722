"""What members may do to a room, and what they are told who may not."""

from collections.abc import Awaitable
from pathlib import Path

import pytest

from p2pchat import Node, errors, events
from tests.harness.crew import Crew


async def refused(work: Awaitable[object]) -> str:
    with pytest.raises(errors.Error) as raised:
        await work
    return raised.value.code


async def test_a_room_is_made_named_described_and_left(tmp_path: Path) -> None:
    async with Node.open(tmp_path, name="ann", online=False) as node:
        room = await node.create_room("crew")
        await room.set("topic", "boats")
        await room.set("name", "sailors")
        (row,) = [row for row in await node.rooms() if row.kind == "group"]
        assert (row.name, row.topic, row.role, row.state) == ("sailors", "boats", "admin", "member")
        assert row.settings == {"admit": "members", "history": "all", "timer": "0"}
        sailors = await node.room("sailors")
        await sailors.send("ahoy")
        assert await refused(node.forget("sailors")) == "still-a-member"
        await sailors.leave()
        assert (await node.rooms())[0].state == "left"
        assert await refused(sailors.send("anybody?")) == "not-a-member"
        assert await refused(sailors.set("topic", "x")) == "not-a-member"
        assert await refused(sailors.leave()) == "not-a-member"
        assert [message.text async for message in sailors.history()] == ["ahoy"]
        await node.forget("sailors")
        assert await node.rooms() == []
    async with Node.open(tmp_path, online=False) as node:
        assert await node.rooms() == []
        assert (await node.status()).entries == 0


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("colour", "red", "setting-unknown"),
        ("admit", "nobody", "setting-value"),
        ("history", "some", "setting-value"),
        ("timer", "soon", "setting-value"),
        ("timer", "-1", "setting-value"),
        ("timer", "99999999999", "setting-value"),
        ("topic", "two\nlines", "setting-value"),
        ("topic", "x" * 600, "setting-value"),
        ("name", "", "name-empty"),
        ("name", "a\x1b[2Jb", "name-control"),
    ],
)
async def test_a_setting_has_to_make_sense(tmp_path: Path, key: str, value: str, code: str) -> None:
    async with Node.open(tmp_path, name="ann", online=False) as node:
        room = await node.create_room("crew")
        assert await refused(room.set(key, value)) == code


async def test_a_conversation_of_two_is_no_room_to_moderate(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        await crew.link("ann", "bob")
        ann = crew["ann"].node
        await crew.until(lambda: bool(list(ann._parts.rooms.all())))
        room = await ann.room("@bob")
        assert await refused(room.leave()) == "room-direct"
        assert await refused(room.remove("bob")) == "room-direct"


async def test_members_may_do_what_members_may(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob", "carol")
        await crew.settle()
        bob = await crew["bob"].room()
        await bob.set("topic", "boats")
        assert await refused(bob.set("name", "mine")) == "not-allowed"
        assert await refused(bob.remove("carol")) == "not-allowed"
        assert await refused(bob.remove("bob")) == "not-allowed"
        assert await refused(bob.remove("dave")) == "peer-unknown"
        assert await refused(bob.set_role("bob", "admin")) == "not-allowed"
        assert await refused(bob.approve("dave")) == "request-unknown"
        assert await refused(bob.deny("da")) == "request-unknown"
        await (await crew["ann"].room()).set("admit", "admins")
        await crew.settle()
        assert await refused(bob.approve("dave")) == "not-allowed"
        assert await refused(bob.deny("dave")) == "not-allowed"
        member = await (await crew["ann"].room()).set_role("bob", "admin")
        assert member.role == "admin"
        await crew.settle()
        await bob.remove("carol")


async def test_what_changes_is_told(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        await crew.found("ann")
        with crew["ann"].node.events() as feed:
            await crew.bring("ann", "bob")
            ann = await crew["ann"].room()
            await ann.set_role("bob", "admin")
            await ann.set_role("bob", "member")
            await crew.bring("ann", "carol", ask=True)
            told = []
            async for event in feed:
                if isinstance(event, events.Membership):
                    told.append(event.change)
                if isinstance(event, events.JoinRequest):
                    assert event.name == "carol"
                    break
            await ann.remove("bob")
            async for event in feed:
                if isinstance(event, events.Membership):
                    told.append(event.change)
                    break
        assert told == ["joined", "admin", "member", "removed"]
