import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest

from p2pchat import errors, events
from p2pchat.core.entry import DEVICE
from p2pchat.core.identity import Identity, id_text
from p2pchat.node.node import Node
from p2pchat.store import contacts
from tests.node.people import WAIT_S, acquaint, crew, friends, heard, meet, person


def row(node: Node, name: str) -> events.Peer:
    return node.people.row(node.people.find(name))


async def test_first_contact_is_unverified_wherever_it_is_shown(tmp_path: Path) -> None:
    async with friends(tmp_path) as (ann, bob):
        room = await bob.room("Ann")
        with ann.events() as feed:
            sent = await room.send("hello")
            shown = await heard(feed, events.Message)
        assert (sent.verified, shown.verified) == (None, False)
        assert [event.verified async for event in (await ann.room("Bob")).history()] == [False]
        assert [peer.verified for peer in await ann.peers()] == [False]
        members = {
            member.name: member.verified for member in await (await ann.room("Bob")).members()
        }
        assert members == {"Ann": None, "Bob": False}


async def test_both_see_one_number_and_what_is_confirmed_is_remembered(tmp_path: Path) -> None:
    async with friends(tmp_path) as (ann, bob):
        hers = await ann.people.number(ann.people.find("Bob"))
        his = await bob.people.number(bob.people.find("Ann"))
        assert (hers.number, hers.words, hers.qr) == (his.number, his.words, his.qr)
        assert not hers.verified
        confirmed = await ann.people.confirm(ann.people.find("Bob"))
        assert (confirmed.verified, confirmed.how) == (True, "number")
        assert row(bob, "Ann").verified is False
    async with person(tmp_path, "Ann", online=False) as ann:
        assert row(ann, "Bob").verified is True
        revoked = await ann.people.revoke(ann.people.find("Bob"))
        assert (revoked.verified, revoked.how) == (False, None)
    async with person(tmp_path, "Ann", online=False) as ann:
        assert row(ann, "Bob").verified is False


async def test_a_proof_verifies_the_key_that_signed_it_and_no_other(tmp_path: Path) -> None:
    async with friends(tmp_path) as (ann, bob):
        bobs = ann.people.find("Bob")
        posted = bob.people.proof("https://example.org/~bob").text
        hers = ann.people.proof("").text
        assert posted is not None
        assert hers is not None
        with pytest.raises(errors.Refused) as caught:
            await ann.people.check(bobs, hers)
        assert caught.value.code == "proof-wrong-key"
        assert row(ann, "Bob").verified is False
        found = await ann.people.check(bobs, f"<pre>{posted}</pre>")
        assert (found.name, found.place) == ("Bob", "https://example.org/~bob")
        shown = row(ann, "Bob")
        assert (shown.verified, shown.how, shown.place) == (True, "proof", found.place)
        # To have compared numbers is more, and a proof takes nothing from it.
        await ann.people.confirm(bobs)
        await ann.people.check(bobs, posted)
        assert (row(ann, "Bob").how, row(ann, "Bob").place) == ("number", None)


async def test_an_alias_is_shown_and_found_and_the_own_name_still_serves(tmp_path: Path) -> None:
    async with friends(tmp_path) as (ann, bob):
        await (await bob.room("Ann")).send("hello")
        [_ async for _ in ann.sync(wait=True, timeout=WAIT_S)]
        named = await ann.people.rename(ann.people.find("Bob"), "Bobby from work")
        assert (named.name, named.own_name) == ("Bobby from work", "Bob")
        for reference in ("Bobby from work", "@Bobby from work", "Bob", bob.peer_id[:6]):
            assert id_text(ann.people.find(reference)) == bob.peer_id
        room = await ann.room("Bobby from work")
        assert (await ann.room("Bob")).key == room.key
        assert [message.name async for message in room.history()] == ["Bobby from work"]
        assert {member.name for member in await room.members()} == {"Ann", "Bobby from work"}
        assert (await ann.people.rename(ann.people.find("Bob"), "")).name == "Bob"


async def test_an_alias_that_looks_like_somebody_elses_name_is_refused(tmp_path: Path) -> None:
    await acquaint(tmp_path, "Ann", "Bob", "Cat")
    async with person(tmp_path, "Ann", online=False) as ann:
        cat = ann.people.find("Cat")
        for taken in ("Bob", "B0b", "ann"):
            with pytest.raises(errors.Refused) as caught:
                await ann.people.rename(cat, taken)
            assert caught.value.code == "alias-taken"
        with pytest.raises(errors.BadInput):
            await ann.people.rename(cat, "\x1b")
        assert (await ann.people.rename(cat, "cat")).name == "cat"


async def test_who_is_meant_must_be_known_and_clear(tmp_path: Path) -> None:
    one, _, _ = await acquaint(tmp_path, "Ann", "Bob", "Bob", "Cat")
    async with person(tmp_path, "Ann", online=False) as ann:
        for reference, code in (
            ("Dan", "peer-unknown"),
            ("", "peer-unknown"),
            ("a", "peer-unknown"),
            ("Ann", "peer-unknown"),
            ("Bob", "peer-ambiguous"),
        ):
            with pytest.raises(errors.BadInput) as caught:
                ann.people.find(reference)
            assert caught.value.code == code
        assert ann.people.find(id_text(one.person)[:10]) == one.person
        await ann.people.rename(one.person, "Robert")
        assert ann.people.find("Robert") == one.person


async def test_a_blocked_person_is_neither_shown_nor_heard_nor_linked(tmp_path: Path) -> None:
    async with friends(tmp_path) as (ann, bob):
        room = await bob.room("Ann")
        await room.send("before")
        [_ async for _ in ann.sync(wait=True, timeout=WAIT_S)]
        near = await ann.room("Bob")
        with bob.events() as feed:
            blocked = await ann.block(ann.people.find("Bob"))
            await heard(feed, events.Peer, state="disconnected")
        assert (blocked.blocked, blocked.state) == (True, "disconnected")
        assert [_ async for _ in near.history()] == []
        assert [_ async for _ in near.history(search="before")] == []
        # No invite of hers lets him in, and none of his tempts her.
        invitation = await ann.invite()
        with pytest.raises(errors.Error) as caught:
            await meet_by(bob, ann, invitation.blob)
        assert caught.value.code == "invite-withdrawn"
        assert ann.online() == set()
        with pytest.raises(errors.Refused) as refused:
            await ann.join((await bob.invite()).blob)
        assert refused.value.code == "peer-blocked"
    async with person(tmp_path, "Ann", online=False) as ann:
        assert row(ann, "Bob").blocked
        near = await ann.room("Bob")
        assert [_ async for _ in near.history()] == []
        await ann.block(ann.people.find("Bob"), blocked=False)
        assert [message.text async for message in near.history()] == ["before"]


async def meet_by(guest: Node, host: Node, blob: str) -> events.Joined:
    """Join by an invite that is there, its reply pasted; what the host is told is no matter."""
    replies: asyncio.Queue[str] = asyncio.Queue()

    def hear(event: events.Event) -> None:
        if isinstance(event, events.ReplyReady):
            replies.put_nowait(event.blob)

    async def hand_in() -> None:
        with suppress(errors.Error):
            await host.reply(await replies.get())

    async def join() -> events.Joined | errors.Error:
        try:
            return await guest.join(blob, on_event=hear)
        except errors.Error as error:
            return error

    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as tasks:
        replying = tasks.create_task(hand_in())
        outcome = await join()
        replying.cancel()
    if isinstance(outcome, errors.Error):
        raise outcome
    return outcome


async def test_somebody_blocked_in_a_room_of_many_is_not_shown_there(tmp_path: Path) -> None:
    async with crew(tmp_path) as (ann, bob, cat, key):
        await ann.block(ann.people.find("Bob"))
        with ann.events() as feed:
            await (await bob.room(key)).send("from Bob")
            [_ async for _ in cat.sync(key, wait=True, timeout=WAIT_S)]
            await (await cat.room(key)).send("from Cat")
            # Cat's follows on Bob's, which came by her; only hers is told.
            assert (await heard(feed, events.Message)).text == "from Cat"
        [_ async for _ in ann.sync(key, wait=True, timeout=WAIT_S)]
        texts = [message.text async for message in (await ann.room(key)).history()]
        assert texts == ["from Cat"]
        members = await (await ann.room(key)).members()
        assert [member.blocked for member in members if member.name == "Bob"] == [True]


async def test_a_known_name_under_another_key_is_shouted(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann") as ann:
        async with person(tmp_path / "first", "Bob") as bob:
            await meet(ann, bob)
            await ann.people.confirm(ann.people.find("Bob"))
            known = bob.peer_id
        async with person(tmp_path / "second", "B\N{CYRILLIC SMALL LETTER O}b") as impostor:
            with ann.events() as feed:
                await meet(ann, impostor)
                told = await heard(feed, events.NameClash)
                assert (told.peer, told.known, told.verified) == (impostor.peer_id, known, True)
                await (await impostor.room("Ann")).send("it is me")
                assert (await heard(feed, events.Message)).clash == known
            rows = {peer.peer: peer.clash for peer in await ann.peers()}
            assert rows == {known: None, impostor.peer_id: known}
            members = await (await ann.room(impostor.peer_id[:10])).members()
            assert {member.peer: member.clash for member in members}[impostor.peer_id] == known
            # A name of our own for them answers the question.
            await ann.people.rename(ann.people.find(impostor.peer_id[:10]), "that other one")
            assert {peer.clash for peer in await ann.peers()} == {None}


async def test_a_guest_that_joins_an_impostor_is_told(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann") as ann:
        for folder, clash in (("first", False), ("second", True)):
            async with person(tmp_path / folder, "Bob") as bob:
                told: list[events.Event] = []
                invitation = await bob.invite()
                replies: asyncio.Queue[str] = asyncio.Queue()

                def hear(
                    event: events.Event,
                    told: list[events.Event] = told,
                    replies: asyncio.Queue[str] = replies,
                ) -> None:
                    told.append(event)
                    if isinstance(event, events.ReplyReady):
                        replies.put_nowait(event.blob)

                async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as tasks:
                    tasks.create_task(ann.join(invitation.blob, on_event=hear))
                    await bob.reply(await replies.get())
                assert any(isinstance(event, events.NameClash) for event in told) is clash


async def test_whoever_takes_a_known_name_later_is_shouted_too(tmp_path: Path) -> None:
    async with friends(tmp_path) as (ann, impostor):
        with ann.events() as feed:
            await impostor.rename("Ann")
            await (await impostor.room(ann.peer_id[:10])).send("hello")
            told = await heard(feed, events.NameClash)
        assert told.known == ann.peer_id
    async with person(tmp_path, "Ann", online=False) as ann:
        assert [peer.clash for peer in await ann.peers()] == [ann.peer_id]


async def test_two_members_nobody_knows_are_both_marked(tmp_path: Path) -> None:
    room = os.urandom(32)
    one, other = (Identity.create("Bob", os.urandom) for _ in range(2))
    async with person(tmp_path, "Ann", online=False) as ann:
        chains = ann._parts.rooms.opened(room, (ann.identity.person, one.person, other.person))
        for identity in (one, other):
            chains.certify(identity.certificate)
        entry = chains.write(
            ann.identity, bytes(8), time=1, kind=DEVICE, body=ann.identity.certificate,
            random=os.urandom,
        )  # fmt: skip
        ann.people._heard(room, [entry], None)
        assert ann.people.clash(one.person) == other.person
        assert ann.people.clash(other.person) == one.person
        await ann._parts.database.write(
            lambda tx: contacts.put(tx, one.certificate, b"s" * 32, 1.0)
        )
        await ann.people.load()
        assert ann.people.clash(one.person) is None
        assert ann.people.clash(other.person) == one.person
