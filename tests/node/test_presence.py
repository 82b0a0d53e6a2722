"""Who is there and who is writing, as members of one room are told."""

import asyncio
from pathlib import Path

import pytest

from p2pchat import events
from p2pchat.core import presence as machine
from tests.harness.crew import Crew, Sailor
from tests.node.test_marks import heard


async def presence(sailor: Sailor, whom: Sailor) -> str | None:
    rows = await (await sailor.room()).members()
    return next(row.presence for row in rows if row.peer == whom.id)


async def becomes(sailor: Sailor, whom: Sailor, wanted: str | None) -> None:
    async with asyncio.timeout(20):
        while await presence(sailor, whom) != wanted:
            await asyncio.sleep(0.02)


async def test_away_and_back_are_told_and_a_lost_link_is_offline(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob")
        ann, bob = crew["ann"], crew["bob"]
        await becomes(ann, bob, "online")
        with ann.node.events() as feed:
            assert bob.node.presence.leave().presence == "away"
            await becomes(ann, bob, "away")
            assert await presence(bob, bob) == "away"
            bob.node.presence.active()
            bob.node.presence.active(wrote=True)
            await becomes(ann, bob, "online")
            told = heard(feed, events.Presence)
        assert [event.presence for event in told] == ["away", "online"]  # type: ignore[attr-defined]
        row = ann.node.people.row(bob.person)
        assert (row.presence, row.state) == ("online", "connected")
        await crew.cut_all()
        before = row.last_seen
        row = ann.node.people.row(bob.person)
        assert row.presence == "offline"
        assert row.last_seen is not None
        assert before is not None
        assert row.last_seen > before, "until the link ended"
        seen = row.last_seen
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        member = next(
            row for row in await (await crew["ann"].room()).members() if row.peer == crew["bob"].id
        )
        assert (member.last_seen, member.presence) == (seen, "offline")


async def test_who_does_nothing_for_a_while_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "AWAY_S", 0.5)
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob")
        await becomes(crew["ann"], crew["bob"], "away")


async def test_writing_is_shown_until_the_message_comes_or_a_moment_has_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        room = await crew.found("ann")
        await crew.bring("ann", "bob")
        await crew.link("ann", "carol")
        await crew.link("bob", "carol")
        ann, bob, carol = (crew[name] for name in ("ann", "bob", "carol"))
        await crew.until(lambda: bool(bob.peers.session(carol.person)))

        def told() -> list[bool]:
            return [event.typing for event in heard(feed, events.Typing)]  # type: ignore[attr-defined]

        with ann.node.events() as feed:
            bob.node.presence.write(room, typing=True)
            await crew.until(lambda: told() == [True])
            await bob.say("hello")
            await crew.until(lambda: told() == [True, False])
            monkeypatch.setattr(machine, "TYPING_S", 0.3)
            monkeypatch.setattr(machine, "_AGAIN_S", 0.0)
            bob.node.presence.write(room, typing=True)
            await crew.until(lambda: told() == [True, False, True, False])
        typing = heard(feed, events.Typing)[0]
        assert (typing.name, typing.peer) == ("bob", bob.id)  # type: ignore[attr-defined]
        # Who is not of the room is not told.
        assert not [frame for frame in bob.pipes["carol"].sent if frame[1] == 35]


async def test_what_is_switched_off_is_neither_told_nor_shown(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann") as crew:
        await crew.hire("bob", "privacy.presence=false", "privacy.typing=false")
        room = await crew.found("ann")
        await crew.bring("ann", "bob")
        ann, bob = crew["ann"], crew["bob"]
        with bob.node.events() as feed:
            bob.node.presence.leave()
            bob.node.presence.write(room, typing=True)
            ann.node.presence.leave()
            ann.node.presence.write(room, typing=True)
            await bob.say("hello")
            await ann.say("hello")
            await crew.settle()
            sent = {frame[1] for frame in bob.pipes["ann"].sent}
            assert not sent & {34, 35}
            assert {34, 35} <= {frame[1] for frame in ann.pipes["bob"].sent}
            assert not [event for event in heard(feed, events.Presence) if not event.me]  # type: ignore[attr-defined]
            assert not heard(feed, events.Typing)
        assert await presence(ann, bob) is None
        assert await presence(bob, ann) is None
