"""Messages disappear when their hour comes; what was kept unread is read."""

import asyncio
from datetime import datetime
from pathlib import Path

import pytest

from p2pchat import config, errors
from p2pchat.core.entry import (
    DELETE,
    EDIT,
    DeleteBody,
    EditBody,
)
from p2pchat.core.identity import Identity
from p2pchat.events import rfc3339
from p2pchat.node.node import Node
from p2pchat.store import journal, meta, search
from p2pchat.store.database import Connection
from signaling.tasks import owned_tasks
from tests.node.desk import NOW, Desk, open_desk, open_desks


async def test_a_message_disappears_on_every_disk_and_no_resync_brings_it_back(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with (
        open_desk(tmp_path / "ann", ann, bob) as near,
        open_desk(tmp_path / "bob", bob, ann) as far,
        open_desk(tmp_path / "new", bob, ann) as new,
    ):
        entry = await near.say("for a minute", 60)
        edit = await near.write(EDIT, EditBody(entry.id, "for 60 s"))
        await near.say("for ever")
        far.now = near.now
        for entries in near.committed:
            await far.take(entries)
        assert await far.texts() == ["for 60 s", "for ever"]
        assert (await far.read())[0].expires == "2027-01-15T08:01:01.000Z"
        near.now = far.now = new.now = NOW + 60
        assert await far.texts() == ["for 60 s", "for ever"]
        near.now = far.now = new.now = NOW + 62
        # Not shown even before it is swept.
        assert await far.texts() == ["for ever"]
        await far.rooms.load()
        await near.rooms.talk.sweep()
        for entries in near.committed:
            await new.take(entries)
        for desk in (near, far, new):
            assert await desk.texts() == ["for ever"]
            assert await desk.texts("60") == await desk.texts("minute") == []
            bodies = await desk.bodies()
            assert bodies[entry.id] is None
            assert bodies[edit.id] is None
        assert near.changes()[-1] == ("expired", None, True)
        assert not [one for one in new.shown if getattr(one, "text", "") == "for a minute"]
        # An edit that comes afterwards is no way back.
        again = await near.write(EDIT, EditBody(entry.id, "I am back"))
        await far.take(near.committed[-1])
        assert (await far.bodies())[again.id] is None
        assert await far.texts() == ["for ever"]


async def test_no_reply_moves_the_hour_of_a_message(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with open_desks(tmp_path, ann, bob) as (near, far):
        await far.say("yesterday")
        for run in far.own():
            await near.take(run)
        near.now += 86_400
        await near.say("for an hour", 3_600)
        shown = (await near.read())[-1]
        for run in near.own():
            await far.take(run)
        # Bob's clock was put back.
        count = len(far.own())
        far.now -= 86_400
        await far.say("yes")
        for run in far.own()[count:]:
            await near.take(run)
        await near.rooms.talk.sweep()
        assert await near.texts() == ["yesterday", "for an hour", "yes"]
        assert (await near.read())[1].expires == shown.expires


async def test_in_a_room_whose_order_is_far_ahead_messages_disappear_in_their_time(
    tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    async with open_desks(tmp_path, ann, bob) as (near, far):
        # Bob began the room, so that he is believed.
        far.now += 170 * 365 * 86_400
        await far.say("from the year 2197")
        for run in far.own():
            await near.take(run)
        entry = await near.say("for a minute", 60)
        place = (await near.database.read(lambda tx: journal.places(tx, [entry.id])))[entry.id]
        assert place > entry.header.time
        assert (await near.read())[-1].expires == rfc3339(near.now + 60)
        near.now += 61
        await near.rooms.talk.sweep()
        assert (await near.bodies())[entry.id] is None


async def test_the_watch_lets_go_when_the_hour_comes(desk: Desk) -> None:
    async with asyncio.timeout(10), owned_tasks() as tasks:
        tasks.create_task(desk.rooms.talk.watch())
        entry = await desk.say("quick", 1)
        desk.now += 0.9
        while (await desk.bodies())[entry.id] is not None:
            desk.now += 0.02
            await asyncio.sleep(0.01)
    assert await desk.texts() == []


async def test_what_an_older_version_kept_unread_is_read(desk: Desk) -> None:
    first = await desk.say("one")
    second = await desk.say("two")
    await desk.write(EDIT, EditBody(first.id, "uno"))
    await desk.write(DELETE, DeleteBody(second.id))

    def forget(tx: Connection) -> None:
        tx.execute("DELETE FROM amendments")
        search.clear(tx)
        meta.put(tx, "talk", b"0")

    await desk.database.write(forget)
    await desk.rooms.load()
    assert await desk.texts() == ["uno", ""]
    assert await desk.texts("uno") == ["uno"]
    assert await desk.texts("one") == await desk.texts("two") == []


async def test_a_rooms_timer_stands_before_ones_own_and_a_messages_before_both(
    tmp_path: Path,
) -> None:
    chosen = config.load(None, {}, ["messages.lifetime_s=1000"])
    async with Node.open(tmp_path / "ann", config=chosen, name="Ann", online=False) as node:
        room = await node.create_room("crew")

        async def lives(**how: int) -> float | None:
            message = await room.send("hello", **how)  # type: ignore[arg-type]
            if message.expires is None:
                return None
            ends, sent = (datetime.fromisoformat(at) for at in (message.expires, message.time))
            return (ends - sent).total_seconds()

        assert await lives() == 1_000
        await room.set("timer", "60")
        assert await lives() == 60
        assert await lives(lifetime_s=5) == 5
        assert await lives(lifetime_s=0) is None
        with pytest.raises(errors.BadInput) as caught:
            await lives(lifetime_s=-1)
        assert caught.value.code == "lifetime-malformed"
        assert len([one async for one in room.history(search="hello")]) == 4
        await room.leave()
        await node.forget(room.id)
        again = await node.create_room("crew")
        await again.send("hello again")
        assert [one.text async for one in again.history(search="hello")] == ["hello again"]
