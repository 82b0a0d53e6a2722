import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from p2pchat import config, events
from p2pchat.core.entry import MESSAGE, VOUCH, Entry, MessageBody, VouchBody
from p2pchat.node.node import Node
from p2pchat.store import journal
from tests.node.people import WAIT_S, acquaint, crew, heard, meet, person


def keys(node: Node) -> list[bytes]:
    return [chains.room for chains in node._parts.rooms.all()]


async def words(node: Node, room: bytes) -> list[Entry]:
    return await node._parts.database.read(lambda tx: journal.of_kind(tx, room, VOUCH))


async def said(node: Node, room: bytes, count: int) -> list[Entry]:
    """The words that have come to a room, once there are that many."""
    async with asyncio.timeout(WAIT_S):
        with node.events() as feed:
            while len(found := await words(node, room)) < count:
                with suppress(TimeoutError):
                    await asyncio.wait_for(anext(feed), 0.2)
    return found


def vouchers(node: Node, name: str) -> list[str]:
    return [one.name for one in node.people.row(node.people.find(name)).vouchers]


async def test_a_member_is_shown_as_verified_by_whom_we_have_verified(tmp_path: Path) -> None:
    async with crew(tmp_path) as (ann, bob, cat, room):
        await cat.people.confirm(cat.people.find("Ann"))
        with cat.events() as feed, bob.events() as his:
            await ann.people.confirm(ann.people.find("Bob"))
            told = await heard(feed, events.Vouch, peer=bob.peer_id)
            assert (told.author, told.name, told.vouches) == (ann.peer_id, "Bob", True)
            said = await heard(his, events.Vouch, me=True)
            assert (said.author, said.verified) == (ann.peer_id, False)
        assert vouchers(cat, "Bob") == ["Ann"]
        found = await (await cat.room(room)).members()
        members = {member.name: member.vouchers for member in found}
        assert [one.peer for one in members["Bob"]] == [ann.peer_id]
        assert members["Cat"] == members["Ann"] == []
        number = await cat.people.number(cat.people.find("Bob"))
        assert [one.name for one in number.vouchers] == ["Ann"]
        assert cat.people.row(cat.people.find("Bob")).verified is False
        # Who takes it back is believed as well.
        with cat.events() as feed:
            await ann.people.revoke(ann.people.find("Bob"))
            await heard(feed, events.Vouch, peer=bob.peer_id, vouches=False)
        assert vouchers(cat, "Bob") == []


async def test_the_word_of_somebody_unverified_or_blocked_is_worth_nothing(tmp_path: Path) -> None:
    async with crew(tmp_path) as (ann, _, cat, room):
        await ann.people.confirm(ann.people.find("Bob"))
        [_ async for _ in cat.sync(room, wait=True, timeout=WAIT_S)]
        assert vouchers(cat, "Bob") == []
        # It counts from the moment on that its author does.
        anns = cat.people.find("Ann")
        await cat.people.confirm(anns)
        assert vouchers(cat, "Bob") == ["Ann"]
        await cat.block(anns)
        assert vouchers(cat, "Bob") == []
    async with person(tmp_path, "Cat", online=False) as cat:
        await cat.block(cat.people.find("Ann"), blocked=False)
        assert vouchers(cat, "Bob") == ["Ann"]
        await cat.people.revoke(cat.people.find("Ann"))
        assert vouchers(cat, "Bob") == []


async def test_words_are_sealed_entries_of_rooms_in_common_only(tmp_path: Path) -> None:
    async with crew(tmp_path) as (ann, bob, _, room):
        await ann.people.confirm(ann.people.find("Bob"))
        await ann.people.confirm(ann.people.find("Bob"))
        found = {key: await words(ann, key) for key in keys(ann)}
        group = (await ann.room(room)).key
        assert len(found) == 3
        assert [key for key, entries in found.items() if entries] == [group]
        (entry,) = found[group]
        assert entry.header.epoch
        assert bob.identity.person not in (entry.body or b"")


async def test_a_setting_keeps_it_to_oneself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await acquaint(tmp_path, "Ann", "Bob")

    async def count(node: Node) -> int:
        return sum([len(await words(node, key)) for key in keys(node)])

    quiet = config.load(None, {}, ["trust.vouch=false"])
    async with Node.open(tmp_path / "Ann", config=quiet, online=False) as ann:
        (bob,) = ann.people._known()
        await ann.people.confirm(bob)
        assert await count(ann) == 0
    async with person(tmp_path, "Ann", online=False) as ann:
        await ann.people.confirm(bob)
        assert await count(ann) == 1
    # What was said is taken back even so.
    async with Node.open(tmp_path / "Ann", config=quiet, online=False) as ann:
        await ann.people.revoke(bob)
        assert await count(ann) == 2


async def test_a_word_about_a_stranger_or_of_another_form_is_dropped(tmp_path: Path) -> None:
    async with crew(tmp_path) as (ann, bob, cat, room):
        await cat.people.confirm(cat.people.find("Ann"))
        key = (await ann.room(room)).key
        bobs = bob.identity.person
        for body in (
            VouchBody(b"x" * 32, True),
            VouchBody(bobs[:31], True),
            MessageBody("x", None),
        ):
            await ann.write(key, VOUCH, body)
        await ann.write(key, VOUCH, VouchBody(ann.identity.person, True))
        await ann.write(key, MESSAGE, MessageBody("after them", None))
        [_ async for _ in cat.sync(room, wait=True, timeout=WAIT_S)]
        assert [text.text async for text in (await cat.room(room)).history()] == ["after them"]
        assert vouchers(cat, "Bob") == vouchers(cat, "Ann") == []


async def test_who_has_left_a_room_says_nothing_there(tmp_path: Path) -> None:
    async with crew(tmp_path) as (ann, _, _, room):
        left = await ann.room(room)
        await ann.moderation.leave(left.group())
        await ann.people.confirm(ann.people.find("Bob"))
        assert await words(ann, left.key) == []
        assert len(await words(ann, (await ann.room("@Bob")).key)) == 1


async def test_a_room_that_is_joined_later_hears_of_it_once_too(tmp_path: Path) -> None:
    async with (
        person(tmp_path, "Ann") as ann,
        person(tmp_path, "Bob") as bob,
        person(tmp_path, "Cat") as cat,
    ):
        await meet(ann, bob)
        await bob.people.confirm(bob.people.find("Ann"))
        room = await ann.create_room("crew")
        await meet(ann, cat, room.id)
        await cat.people.confirm(cat.people.find("Ann"))
        # bob has verified ann before there was a room, and comes into it now.
        await meet(ann, bob, room.id)
        await said(cat, room.key, 2)
        await cat.people.confirm(cat.people.find("Bob"))
        assert vouchers(cat, "Ann") == ["Bob"]
        await ann.moderation.set((await ann.room(room.id)).group(), "topic", "boats")
        await (await bob.room(room.id)).send("more")
        [_ async for _ in cat.sync(room.id, wait=True, timeout=WAIT_S)]
        devices = [entry.header.device for entry in await words(cat, room.key)]
        assert devices.count(bob.identity.device) == 1


async def test_a_member_that_comes_later_is_vouched_for_where_it_came(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann") as ann, person(tmp_path, "Bob") as bob:
        await meet(ann, bob)
        await ann.people.confirm(ann.people.find("Bob"))
        room = await ann.create_room("crew")
        await meet(ann, bob, room.id)
        (entry,) = await said(bob, room.key, 1)
        assert entry.header.device == ann.identity.device


async def test_what_was_taken_back_is_not_said_in_rooms_joined_later(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann") as ann, person(tmp_path, "Bob") as bob:
        await meet(ann, bob)
        await ann.people.confirm(ann.people.find("Bob"))
        await ann.people.revoke(ann.people.find("Bob"))
        room = await ann.create_room("crew")
        await meet(ann, bob, room.id)
        await (await ann.room(room.id)).send("hello")
        [_ async for _ in bob.sync(room.id, wait=True, timeout=WAIT_S)]
        assert await words(ann, room.key) == []
