"""The library whole: a node on a profile, and two that meet."""

import asyncio
import shutil
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from p2pchat import config, errors, events
from p2pchat.core.identity import id_text
from p2pchat.node.node import Node
from signaling.server.app import Server, Settings
from tests.harness.crew import Crew
from tests.node.people import WAIT_S, acquaint, friends, heard, meet, person


async def test_a_profile_is_open_once_at_a_time(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", online=False):
        with pytest.raises(errors.Busy) as caught:
            async with person(tmp_path, "Ann", online=False):
                pass
    assert caught.value.code == "home-in-use"


async def test_an_identity_is_made_once_and_kept(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", online=False) as node:
        first = node.identity_row()
    async with person(tmp_path, "Ann", online=False) as node:
        again = node.identity_row()
    assert (first.created, again.created) == (True, False)
    assert (first.peer, first.device, first.name) == (again.peer, again.device, "Ann")


async def test_status_says_by_what_friends_can_find_us(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server.open(Settings(port=0)))
        chosen = config.load(
            None,
            {},
            (
                'net.interfaces=["lo"]',
                "dht.enabled=false",
                f"mailbox.url=http://127.0.0.1:{server.port}",
            ),
        )
        async with Node.open(tmp_path / "Ann", config=chosen, name="Ann") as ann:
            before = await ann.status()
            assert (before.lan, before.dht, before.mailbox) == (True, None, "idle")
            await ann.invite()
            async with asyncio.timeout(WAIT_S):
                while (await ann.status()).mailbox != "connected":
                    await asyncio.sleep(0.01)  # another server: there is no event to wait on
            await stack.aclose()
            async with asyncio.timeout(WAIT_S):
                while (await ann.status()).mailbox != "away":
                    await asyncio.sleep(0.01)  # as before


async def test_a_node_without_a_network_says_so_when_asked_for_it(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", online=False) as node:
        with pytest.raises(errors.Error) as caught:
            await node.invite()
        assert caught.value.code == "not-running"
        status = await node.status()
        assert (status.running, status.connected, node.online(), node.sync_rows()) == (
            False,
            0,
            set(),
            [],
        )


async def test_a_new_name_is_kept(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", online=False) as node:
        assert (await node.rename("Anna")).name == "Anna"
        with pytest.raises(errors.BadInput):
            await node.rename("")
    async with person(tmp_path, "Ann", online=False) as node:
        assert node.name == "Anna"


async def test_a_room_is_found_by_name_and_by_the_beginning_of_an_id(tmp_path: Path) -> None:
    bob, _ = await acquaint(tmp_path, "Ann", "Bob", "Cyd")
    async with person(tmp_path, "Ann", online=False) as node:
        room = await node.room("@Bob")
        assert room.name == "Bob"
        for reference in ("Bob", room.id[:8], id_text(bob.person)[:8]):
            assert (await node.room(reference)).id == room.id


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


async def test_a_share_nobody_told_of_is_unknown(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", online=False) as node:
        for target, code in (("abcd", "share-unknown"), ("x:y", "magnet-malformed")):
            with pytest.raises(errors.BadInput) as caught:
                await anext(node.get(target))
            assert caught.value.code == code


async def test_with_nobody_there_a_sync_is_unreachable(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann") as node:
        with pytest.raises(errors.Unreachable) as caught:
            [_ async for _ in node.sync(timeout=0.05)]
    assert caught.value.code == "unreachable"


async def test_friends_sync_and_a_sync_cut_short_says_so(tmp_path: Path) -> None:
    async with friends(tmp_path) as (ann, bob):
        room = await ann.room("@Bob")
        with bob.events() as feed:
            await room.send("hello")
            assert (await heard(feed, events.Message)).text == "hello"
        with pytest.raises(errors.Unreachable) as caught:
            [_ async for _ in ann.sync(wait=True, timeout=0)]
        assert caught.value.code == "not-synced"
        last = [event async for event in ann.sync("@Bob", wait=True)][-1]
        assert (last.state, last.behind, last.ahead) == ("in-sync", 0, 0)


async def test_two_that_share_a_network_meet_on_it_and_find_each_other_again(
    tmp_path: Path,
) -> None:
    async with person(tmp_path, "Ann", lan=True) as ann:
        with ann.events() as feed:
            async with person(tmp_path, "Bob", lan=True) as bob:
                invitation = await ann.invite()
                joined = await bob.join(invitation.blob, timeout=30)
                assert joined.name == "Ann"
                waited = await invitation.wait()
                assert (waited.room, waited.invite) == (joined.room, invitation.id)
                assert (await heard(feed, events.Peer, state="connected")).via == "lan"
            await heard(feed, events.Peer, state="disconnected")
            async with person(tmp_path, "Bob", lan=True):
                await heard(feed, events.Peer, state="connected", via="lan")


async def _confirmed(node: Node, room: str, text: str) -> None:
    place = await node.room(room)
    message = await place.send(text)
    async for _ in place.delivered(message.id):
        pass


async def test_a_home_that_was_copied_and_runs_twice_is_proven_and_stops_only_its_chain(
    tmp_path: Path,
) -> None:
    async with person(tmp_path, "Bob") as bob:
        async with person(tmp_path, "Ann") as ann:
            await meet(ann, bob)
            await _confirmed(ann, "Bob", "one history")
        shutil.copytree(tmp_path / "Ann", tmp_path / "Twin")
        # Both write where they cannot know of each other.
        async with person(tmp_path, "Twin", online=False) as twin:
            await (await twin.room("Bob")).send("another history")
        async with person(tmp_path, "Ann") as ann:
            await meet(ann, bob)
            await _confirmed(ann, "Bob", "the same history")
        with bob.events() as feed:
            async with person(tmp_path, "Twin") as twin:
                with twin.events() as told:
                    await meet(twin, bob)
                    fork = await heard(feed, events.Forked, peer=twin.peer_id)
                    await heard(told, events.Forked, peer=twin.peer_id)
                assert fork.name == "Ann"
                [row] = [row for row in await bob.peers() if row.peer == twin.peer_id]
                assert row.forked
                # It learns of it too, and goes on in a chain of its own.
                await _confirmed(twin, "Bob", "on from here")
                texts = [message.text async for message in (await bob.room("Ann")).history()]
                assert texts == ["one history", "the same history", "on from here"]
                await _confirmed(bob, "Ann", "nobody else is touched")
    async with person(tmp_path, "Bob", online=False) as bob:
        members = await (await bob.room("Ann")).members()
        assert [member.forked for member in members if not member.me] == [True]
        [chains] = bob._rooms.all()
        assert [proof is not None for proof in chains.forks.values()] == [True]


async def test_a_member_of_a_room_who_was_never_met_can_be_written_to(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob", "carol")
        await crew.settle()
        bob, carol = crew["bob"], crew["carol"]
        # As in a large room, where only neighbours are contacts.
        await bob.node._database.write(
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
