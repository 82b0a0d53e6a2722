"""One room as a person has it: what may be written, and who has it."""

import asyncio
import os
from pathlib import Path

import msgspec
import pytest

from p2pchat import errors, events
from p2pchat.core.bounds import TEXT_BYTES_MAX
from tests.node.people import WAIT_S, acquaint, friends, heard, person


@pytest.mark.parametrize(
    ("text", "code"),
    [("", "text-empty"), (" \n\t", "text-empty"), ("é" * TEXT_BYTES_MAX, "text-too-long")],
    ids=["nothing", "blanks", "too long"],
)
async def test_a_text_that_is_none_is_refused_and_writes_nothing(
    tmp_path: Path, text: str, code: str
) -> None:
    await acquaint(tmp_path, "Ann", "Bob")
    async with person(tmp_path, "Ann", online=False) as node:
        with pytest.raises(errors.BadInput) as caught:
            await (await node.room("@Bob")).send(text)
        assert caught.value.code == code
        assert (await node.status()).entries == 0


async def test_what_was_written_is_read_in_its_order_after_a_restart(tmp_path: Path) -> None:
    await acquaint(tmp_path, "Ann", "Bob")
    async with person(tmp_path, "Ann", online=False) as node:
        room = await node.room("@Bob")
        first = await room.send("one")
        second = await room.send("two", reply_to=first.id[:10])
        third = await room.send("half \ud83d of a pair")
    async with person(tmp_path, "Ann", online=False) as node:
        room = await node.room("@Bob")
        assert [event async for event in room.history()] == [first, second, third]
        assert [event.text async for event in room.history(last=1)] == ["half ? of a pair"]
    assert (second.reply_to, second.name) == (first.id, "Ann")


async def test_an_answer_to_nothing_is_refused(tmp_path: Path) -> None:
    await acquaint(tmp_path, "Ann", "Bob")
    async with person(tmp_path, "Ann", online=False) as node:
        room = await node.room("@Bob")
        with pytest.raises(errors.BadInput) as caught:
            await room.send("yes", reply_to="abcdefgh")
        assert caught.value.code == "entry-unknown"
        with pytest.raises(errors.BadInput, match="no messages"):
            [_ async for _ in room.delivered("abcdefgh", timeout=0)]


async def test_a_message_nobody_could_take_is_not_delivered_and_is_kept(tmp_path: Path) -> None:
    await acquaint(tmp_path, "Ann", "Bob")
    async with person(tmp_path, "Ann", online=False) as node:
        room = await node.room("@Bob")
        message = await room.send("are you there?")
        with pytest.raises(errors.Unreachable) as caught:
            [_ async for _ in room.delivered(message.id, timeout=0.05)]
        assert caught.value.code == "not-delivered"
        assert [event async for event in room.history()] == [message]


async def test_a_message_is_delivered_once_the_other_has_it_on_disk(tmp_path: Path) -> None:
    async with friends(tmp_path) as (ann, bob):
        room = await ann.room("@Bob")
        with bob.events() as feed:
            message = await room.send("hello")
            told = [event async for event in room.delivered(message.id, timeout=WAIT_S)]
            assert told == [
                events.Delivered(room=room.id, id=message.id, peer=bob.peer_id, name="Bob")
            ]
            there = await bob.room("@Ann")
            seen = msgspec.structs.replace(message, verified=False)
            assert [event async for event in there.history()] == [seen]
            assert await heard(feed, events.Message) == seen


async def test_both_write_at_once_and_both_read_the_same(tmp_path: Path) -> None:
    async with friends(tmp_path) as (ann, bob):
        near, far = await ann.room("@Bob"), await bob.room("@Ann")
        texts = {os.urandom(8).hex() for _ in range(20)}
        async with asyncio.timeout(WAIT_S):
            await asyncio.gather(
                *(room.send(text) for room, text in zip([near, far] * 10, texts, strict=True))
            )
            for node in (ann, bob):
                [_ async for _ in node.sync(wait=True, timeout=WAIT_S)]
        read = [[event async for event in room.history()] for room in (near, far)]
        own, theirs = [[(event.id, event.text) for event in events_] for events_ in read]
        assert own == theirs
        assert {event.text for event in read[0]} == texts


async def test_members_are_told_with_who_is_there(tmp_path: Path) -> None:
    async with friends(tmp_path) as (ann, bob):
        room = await ann.room("@Bob")
        with ann.events() as feed:
            assert {(row.name, row.online, row.me) for row in await room.members()} == {
                ("Ann", True, True),
                ("Bob", True, False),
            }
            session = next(iter(bob.online_parts.peers.sessions()))
            await session.close("bye")
            await heard(feed, events.Peer, state="disconnected")
        assert {row.name for row in await room.members() if row.online} == {"Ann"}
