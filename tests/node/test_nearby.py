"""Knocking at somebody on one network: words on both sides, and an invite for who is let in."""

import asyncio
import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from p2pchat import config, errors, events
from p2pchat.core.bounds import KNOCKS_EACH
from p2pchat.core.knock import Knock
from p2pchat.node.nearby import visible_rooms
from p2pchat.node.node import Node
from signaling import knocking
from signaling.carriers.lan_lines import NEARBY
from signaling.carriers.lines import Line
from signaling.tasks import owned_tasks
from tests.node.people import WAIT_S, heard, person

VISIBLE = ("lan.visible=true",)


def neighbour(folder: Path, name: str, *settings: str) -> AbstractAsyncContextManager[Node]:
    home = folder / name
    chosen = ('net.interfaces=["lo"]', "dht.enabled=false", f'files.dir="{home}"', *settings)
    return Node.open(home, config=config.load(None, {}, chosen), name=name)


async def seen(node: Node) -> list[tuple[str, str, str | None]]:
    rows = [row async for row in node.online_parts.nearby.look(2)]
    return sorted((row.name, row.kind, row.by) for row in rows)


async def one_waits(node: Node) -> events.Knock:
    """The first knock at `node`."""
    async with asyncio.timeout(WAIT_S):
        with node.events() as feed:
            while not (waiting := node.online_parts.nearby.waiting()):
                await anext(feed)
        return waiting[0]


async def test_a_knock_that_is_accepted_makes_friends_and_both_saw_the_same_words(
    tmp_path: Path,
) -> None:
    told: list[events.Event] = []
    async with (
        neighbour(tmp_path, "Ann", *VISIBLE) as ann,
        neighbour(tmp_path, "Bob") as bob,
        asyncio.TaskGroup() as tasks,
    ):
        joining = tasks.create_task(bob.knock("ann", timeout=WAIT_S, on_event=told.append))
        knock = await one_waits(ann)
        assert (knock.name, knock.state, knock.room) == ("Bob", "waiting", None)
        with ann.events() as feed:
            assert ann.online_parts.nearby.answer("Bob", accept=True).state == "accepted"
            await heard(feed, events.Peer, state="connected")
        joined = await joining
        assert isinstance(joined, events.Joined)
        assert joined.name == "Ann"
        asked = next(event for event in told if isinstance(event, events.Knock))
        assert asked.state == "asking"
        assert asked.words == knock.words
        assert len(knock.words.split()) == 3
        assert [row.name for row in await ann.peers()] == ["Bob"]


async def test_only_who_chose_to_is_seen(tmp_path: Path) -> None:
    async with (
        neighbour(tmp_path, "Ann", *VISIBLE),
        neighbour(tmp_path, "Cat") as cat,
        neighbour(tmp_path, "Bob") as bob,
    ):
        await cat.invite()  # announces the node on the network, and nothing of who it is
        assert await seen(bob) == [("Ann", "person", None)]
        with pytest.raises(errors.Unreachable) as caught:
            await bob.knock("Cat", timeout=1)
        assert caught.value.code == "unreachable"


async def test_a_lease_makes_visible_and_its_end_hides_again(tmp_path: Path) -> None:
    async with neighbour(tmp_path, "Ann") as ann, neighbour(tmp_path, "Bob") as bob:
        with ann.online_parts.nearby.shown():
            assert await seen(bob) == [("Ann", "person", None)]
        assert await seen(bob) == []


async def test_who_is_declined_hears_of_it_and_nobody_is_a_contact(tmp_path: Path) -> None:
    async with (
        neighbour(tmp_path, "Ann", *VISIBLE) as ann,
        neighbour(tmp_path, "Bob") as bob,
        owned_tasks() as tasks,
    ):
        asking = tasks.create_task(_refusal(bob))
        knock = await one_waits(ann)
        ann.online_parts.nearby.answer(knock.words.replace(" ", "-"), accept=False)
        assert await asking == "knock-declined"
        assert await ann.peers() == await bob.peers() == []


async def _refusal(node: Node) -> str:
    """The code of what a knock at Ann comes to."""
    with pytest.raises(errors.Refused) as caught:
        await node.knock("Ann", timeout=WAIT_S)
    return caught.value.code


async def test_a_knocker_who_leaves_is_told_as_gone_and_cannot_be_let_in(tmp_path: Path) -> None:
    async with neighbour(tmp_path, "Ann", *VISIBLE) as ann, neighbour(tmp_path, "Bob") as bob:
        with ann.events() as feed:
            with pytest.raises(errors.Unreachable):
                await bob.knock("Ann", timeout=1.5)
            gone = await heard(feed, events.Knock, state="gone")
            assert gone.name == "Bob"
        with pytest.raises(errors.BadInput) as caught:
            ann.online_parts.nearby.answer("Bob", accept=True)
        assert caught.value.code == "knock-unknown"


async def test_a_knock_at_a_room_asks_its_members(tmp_path: Path) -> None:
    async with (
        neighbour(tmp_path, "Ann", 'lan.rooms=["crew"]') as ann,
        neighbour(tmp_path, "Bob") as bob,
        owned_tasks() as tasks,
    ):
        room = await ann.create_room("crew")
        await ann.create_room("secret")
        assert await seen(bob) == [("crew", "room", "Ann")]
        joining = tasks.create_task(bob.knock("crew", timeout=WAIT_S))
        knock = await one_waits(ann)
        assert (knock.room, knock.room_name) == (room.id, "crew")
        with ann.events() as feed:
            ann.online_parts.nearby.answer("Bob", accept=True)
            while not await room.requests():
                await anext(feed)
        assert len(await room.members()) == 1  # the room has its own say
        await room.approve("Bob")
        joined = await joining
        assert isinstance(joined, events.Joined)
        assert (joined.kind, joined.name) == ("group", "crew")


async def test_a_name_that_two_have_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "2").mkdir()
    async with (
        neighbour(tmp_path, "Ann", *VISIBLE),
        neighbour(tmp_path / "2", "Ann", *VISIBLE),
        neighbour(tmp_path, "Bob") as bob,
    ):
        with pytest.raises(errors.BadInput) as caught:
            await bob.knock("Ann", timeout=WAIT_S)
        assert caught.value.code == "peer-ambiguous"


async def test_a_host_takes_few_knocks_of_one_source_at_once(tmp_path: Path) -> None:
    refused: asyncio.Queue[str] = asyncio.Queue()

    async with (
        neighbour(tmp_path, "Ann", *VISIBLE) as ann,
        neighbour(tmp_path, "Bob") as bob,
        asyncio.timeout(WAIT_S),
    ):
        tag = ann.online_parts.nearby._tag

        async def talk(line: Line) -> None:
            machine = knocking.Guest(os.urandom)
            while machine.state != "closed":
                for output in machine.outputs():
                    match output:
                        case knocking.Send(frame):
                            await line.send(frame)
                        case knocking.Listed():
                            machine.knock(Knock("Eve", tag).encode())
                if machine.state != "listed":
                    machine.receive(await line.receive())
            for output in machine.outputs():
                assert isinstance(output, knocking.Refused)
                refused.put_nowait(output.code)
            await asyncio.Event().wait()

        assert bob.online_parts.lan is not None
        lines = bob.online_parts.lan.lines
        calls = [lines.call(NEARBY, talk) for _ in range(KNOCKS_EACH + 1)]
        assert await refused.get() == "knock-busy"
        assert len(ann.online_parts.nearby.waiting()) == KNOCKS_EACH
        assert ann.online_parts.nearby.refused >= 1
        for call in calls:
            call.close()


async def test_a_node_without_discovery_says_so(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann") as ann:
        with pytest.raises(errors.Unreachable) as caught:
            await ann.knock("Bob")
        assert "lan.enabled" in caught.value.hint


async def test_rooms_are_shown_by_name_or_id_and_only_to_their_members_wish(
    tmp_path: Path,
) -> None:
    async with person(tmp_path, "Ann", online=False) as ann:
        room, me = await ann.create_room("crew"), ann.identity.person
        named = ann._directory.groups()
        for wanted in ("crew", room.id[:8], room.id):
            assert visible_rooms([wanted], named, me) == [(room.key, "crew")]
        for wanted in ("cre", room.id[:7], ""):
            assert visible_rooms([wanted], named, me) == []
        assert visible_rooms(["crew"], named, bytes(32)) == []
