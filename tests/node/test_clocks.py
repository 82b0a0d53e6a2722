"""Whose clock is wrong shows in what they wrote last."""

import os
import time
from pathlib import Path

from p2pchat import events
from p2pchat.core.clock import stamp
from p2pchat.core.entry import MESSAGE, MessageBody
from p2pchat.core.facts import Append
from p2pchat.node.node import Node
from p2pchat.store.clocks import last_of_each
from tests.harness.crew import Crew, Sailor
from tests.node.people import friends, heard

_HOUR = 3_600


def _set(node: Node, ahead_s: float) -> None:
    node._parts.rooms._wall = lambda: time.time() + ahead_s


async def _clock_offs(node: Node, other: str) -> dict[str, int | None]:
    rows = await (await node.room(other)).members()
    return {row.name: row.clock_off for row in rows}


async def test_a_wrong_clock_is_told_until_something_right_comes(tmp_path: Path) -> None:
    async with friends(tmp_path) as (ann, bob):
        with ann.events() as feed:
            await (await ann.room("Bob")).send("hello")
            assert await _clock_offs(ann, "Bob") == {"Ann": None, "Bob": None}
            assert (await ann.clocks.finding()).ok
            await heard(feed, events.Delivered)
            _set(bob, 3 * _HOUR)
            await (await bob.room("Ann")).send("late")
            shown = await heard(feed, events.Message, text="late")
            assert shown.clock_off is not None
            assert abs(shown.clock_off - 3 * _HOUR) < 60
            # Nobody has followed it: it is judged by our wall, and Bob cannot know.
            assert (await _clock_offs(ann, "Bob"))["Bob"] is not None
            assert (await bob.clocks.finding()).ok
            finding = await ann.clocks.finding()
            assert not finding.ok
            assert finding.text.startswith("Bob's clock is 3 hours ahead of")
            _set(bob, 0)
            await (await bob.room("Ann")).send("right")
            shown = await heard(feed, events.Message, text="right")
            assert shown.clock_off is None
            assert await _clock_offs(ann, "Bob") == {"Ann": None, "Bob": None}
            assert (await ann.clocks.finding()).ok


async def test_the_own_clock_is_told_where_others_contradict(tmp_path: Path) -> None:
    async with friends(tmp_path) as (ann, bob):
        with ann.events() as feed, bob.events() as theirs:
            await (await ann.room("Bob")).send("hello")
            await heard(theirs, events.Message, text="hello")
            _set(bob, -2 * 86_400)
            sent = await (await bob.room("Ann")).send("early")
            *_, mine = [one async for one in (await bob.room("Ann")).history()]
            assert mine.clock_off is not None
            assert mine.clock_off < -86_400
            assert sent.clock_off == mine.clock_off, "send answers what is read later"
            await heard(feed, events.Message, text="early")
        # As far as Bob can tell Ann may be the one who is wrong.
        assert not (await bob.clocks.finding()).ok
        _set(bob, -50 * 31_557_600)
        assert (await bob.clocks.finding()).text == "this machine's clock is years behind"


async def _write_from_the_future(mal: Sailor) -> None:
    """In logs enough that what names the first of them does not pull it back."""
    rooms, group, after = mal.parts.rooms, mal.group((await mal.room()).key), None
    for _ in range(5):
        await rooms.introduce(group)
        entry = group.write(
            rooms.identity(),
            rooms._incarnation,
            time=stamp(time.time() + 50 * 31_557_600),
            kind=MESSAGE,
            body=MessageBody("from the future"),
            random=os.urandom,
            epoch=group.writing_epoch() or b"",
            after=after or (),
        )
        await rooms.append([Append(group.room, (entry,))], None)
        after = after or (entry.id,)
        rooms._incarnation = os.urandom(8)


async def test_where_the_order_is_far_ahead_only_who_put_it_there_is_named(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "cat", "mal") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob", "cat", "mal")
        await crew.link_all()
        await crew.settle()
        await _write_from_the_future(crew["mal"])
        await crew.settle()
        ann = crew["ann"].node
        for name in ("bob", "cat", "ann"):
            await crew[name].say(f"{name} is right")
            await crew.settle()
        readings = await ann._parts.database.read(
            lambda tx: last_of_each(tx, [chains.room for chains in ann._parts.rooms.all()])
        )
        assert max(one.place for one in readings) > stamp(time.time() + _HOUR), "two voices"
        rows = await (await crew["ann"].room()).members()
        assert [row.name for row in rows if row.clock_off is not None] == ["mal"]
        finding = await ann.clocks.finding()
        assert finding.text.startswith("mal's clock is")
        assert "," not in finding.text
