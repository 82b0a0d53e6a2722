"""Who has a message, and who has read it: over links, through others, across restarts."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from p2pchat import events
from p2pchat.core.facts import PeerHas
from p2pchat.core.wire import Seen, SeenRow, Typing, decode, encode
from p2pchat.node.bus import Subscription
from tests.harness.crew import Crew, Sailor


async def last(sailor: Sailor) -> events.Message:
    room = await sailor.room()
    [message] = [message async for message in room.history(last=1)]
    return message


async def read_up_to(sailor: Sailor, whom: Sailor) -> str | None:
    rows: Sequence[events.Member] = await (await sailor.room()).members()
    return next(row.read_up_to for row in rows if row.peer == whom.id)


async def unread(sailor: Sailor) -> int:
    return next(row.unread for row in await sailor.node.rooms() if row.kind == "group")


async def until(holds: object, limit_s: float = 20.0) -> None:
    async with asyncio.timeout(limit_s):
        while not await holds():  # type: ignore[operator]
            await asyncio.sleep(0.02)


def heard(feed: Subscription, kind: type) -> list[events.Event]:
    """What of a kind waits on a feed."""
    return [event for event in list(feed._waiting) if isinstance(event, kind)]


async def test_all_in_a_room_learn_who_has_and_who_has_read_a_message(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob", "carol")
        await crew.link("bob", "carol")
        ann, bob, carol = (crew[name] for name in ("ann", "bob", "carol"))
        with ann.node.events() as feed:
            await ann.say("hello")
            await crew.settle()

            async def delivered() -> bool:
                return len((await last(ann)).delivered_to) == 2

            await until(delivered)
            assert sorted((await last(ann)).delivered_to) == sorted([bob.id, carol.id])
            assert (await last(ann)).read_by == []
            assert (await last(bob)).delivered_to == [], "of others' messages nothing is said"
            assert await unread(bob) == 1
            await (await bob.room()).mark_read()
            assert await unread(bob) == 0

            async def known() -> bool:
                return (await last(ann)).read_by == [bob.id]

            await until(known)
            told = heard(feed, events.Read)
            assert [(event.peer, event.me) for event in told] == [(bob.id, False)]  # type: ignore[attr-defined]
        message = await last(ann)
        assert await read_up_to(ann, bob) == message.id
        assert await read_up_to(ann, carol) is None

        async def carol_knows() -> bool:
            return await read_up_to(carol, bob) == message.id

        await until(carol_knows)
        assert await unread(ann) == 0, "our own messages are not unread"


async def test_what_is_read_while_apart_is_told_at_the_next_link_and_survives_a_restart(
    tmp_path: Path,
) -> None:
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob")
        await crew["ann"].say("one")
        await crew["ann"].say("two")
        await crew.settle()
        await crew.cut_all()
        one, _ = [m async for m in (await crew["bob"].room()).history(last=None)]
        await (await crew["bob"].room()).mark_read(one.id)
        assert await unread(crew["bob"]) == 1
        assert (await last(crew["ann"])).read_by == []
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        ann, bob = crew["ann"], crew["bob"]
        assert await unread(bob) == 1
        assert (await last(ann)).delivered_to == [bob.id], "known from before"
        await crew.link("ann", "bob")

        async def told() -> bool:
            return await read_up_to(ann, bob) == one.id

        await until(told)
        assert (await last(ann)).read_by == []
        await crew.cut_all()
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        assert await read_up_to(crew["ann"], crew["bob"]) == one.id


async def test_who_hides_what_they_read_tells_nothing_and_is_shown_nothing(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann") as crew:
        await crew.hire("bob", "privacy.read=false")
        await crew.found("ann")
        await crew.bring("ann", "bob")
        ann, bob = crew["ann"], crew["bob"]
        await ann.say("hello")
        await bob.say("hi")
        await crew.settle()
        await (await bob.room()).mark_read()
        await (await ann.room()).mark_read()
        assert await unread(bob) == 0, "for oneself it counts"
        bobs = ann.pipes["bob"]
        await until_sent(bobs.sent, 36)
        assert not [frame for frame in bob.pipes["ann"].sent if frame[1] == 36]
        await ann.say("that was my mark")
        await crew.settle()
        assert (await last(bob)).read_by == []
        assert await read_up_to(bob, ann) is None
        assert await read_up_to(ann, bob) is None


async def until_sent(sent: list[bytes], type_: int) -> None:
    async with asyncio.timeout(20):
        while not any(frame[1] == type_ for frame in sent):
            await asyncio.sleep(0.02)


async def test_an_entry_that_names_a_message_proves_that_its_author_has_it(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob", "carol")
        await crew.link("bob", "carol")
        await crew.settle()
        ann, bob, carol = (crew[name] for name in ("ann", "bob", "carol"))
        await crew.cut("ann", "carol")
        with ann.node.events() as feed:
            await ann.say("to whom it may concern")
            await crew.settle()
            message = await last(ann)
            await carol.say("I am concerned")
            await crew.settle()

            async def known() -> bool:
                found = [m async for m in (await ann.room()).history(last=None)]
                return carol.id in found[-2].delivered_to

            await until(known)
            told = [event for event in heard(feed, events.Delivered) if event.id == message.id]  # type: ignore[attr-defined]
        assert sorted(event.peer for event in told) == sorted([bob.id, carol.id])  # type: ignore[attr-defined]


async def test_marks_of_chains_that_are_not_of_the_room_are_not_kept(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob")
        ann, bob = crew["ann"], crew["bob"]
        await bob.say("hello")
        await crew.settle()
        session = bob.peers.session(ann.person)
        assert session is not None
        room = (await bob.room()).key
        tag = session.tag(room)
        assert tag is not None
        own = ann.parts.rooms.own_chain(room)
        strange = [SeenRow(number.to_bytes(16, "big"), 1) for number in range(1_000)]
        rows = (*strange, SeenRow(own, 1 << 62))
        await bob.pipes["ann"].send(encode(Seen(tag, rows)))
        await bob.pipes["ann"].send(encode(Seen(bytes(16), rows)))
        await crew.until(lambda: bool(ann.node.marks._receipts.of(room, bob.person)))
        kept = ann.node.marks._receipts.of(room, bob.person)
        assert set(kept) == {own}
        # What bob says, he says of himself.
        assert not ann.node.marks._receipts.of(room, ann.person)


async def test_of_a_forgotten_room_no_mark_is_left(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        room = await crew.found("ann")
        await crew.bring("ann", "bob")
        await crew["ann"].say("hello")
        await crew.settle()
        bob = crew["bob"]
        await (await bob.room()).mark_read()
        await crew.cut_all()
        await (await bob.room()).leave()
        await bob.node.forget((await bob.room()).id)
        await bob.node.marks.save()
        rows = await bob.parts.database.read(
            lambda tx: tx.execute(
                "SELECT count(*) FROM receipts WHERE room = ?", (room,)
            ).fetchone()
        )
        assert rows[0] == 0


async def test_what_is_told_of_a_forgotten_room_ends_no_link(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        room = await crew.found("ann")
        await crew.bring("ann", "bob")
        await crew.settle()
        ann, bob = crew["ann"], crew["bob"]
        session = bob.peers.session(ann.person)
        assert session is not None
        own, theirs = (sailor.parts.rooms.own_chain(room) for sailor in (bob, ann))
        tag = session.tag(room)
        assert tag is not None
        await (await bob.room()).leave()
        await bob.node.forget((await bob.room()).id)
        for chain in (own, theirs):
            await bob.switchboard.peer_has(session, PeerHas(room, chain, -1, 9))
        bob.switchboard.cued(session, Seen(tag, (SeenRow(theirs, 1),)))
        bob.switchboard.cued(session, Typing(tag, typing=True))
        assert not bob.node.marks._receipts.of(room, ann.person)


async def test_that_we_have_read_our_own_messages_is_told_to_nobody(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob")
        await crew["bob"].say("hello")
        await crew.settle()
        ann, bob = crew["ann"], crew["bob"]
        key = (await ann.room()).key
        theirs, ours = bob.parts.rooms.own_chain(key), ann.parts.rooms.own_chain(key)
        with ann.node.events() as feed, bob.node.events() as theirs_feed:
            for text in ("a chat shows what one writes", "and marks it as read"):
                await ann.say(text)
                await (await ann.room()).mark_read((await last(ann)).id)
            await crew.settle()
            # Theirs went with the first of the two.
            assert len(heard(feed, events.Read)) == 1

            async def known() -> bool:
                return len(heard(theirs_feed, events.Read)) == 1

            await until(known)
            await bob.say("the next")
            await crew.settle()
            await (await ann.room()).mark_read()

            async def known_again() -> bool:
                return len(heard(theirs_feed, events.Read)) == 2

            await until(known_again)
        frames = [decode(frame) for frame in ann.pipes["bob"].sent]
        told = [row.chain for frame in frames if isinstance(frame, Seen) for row in frame.rows]
        assert theirs in told
        assert ours not in told
