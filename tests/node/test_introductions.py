"""Members who meet by way of others, on loopback, with nothing else to meet by."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from p2pchat import events
from p2pchat.core.bounds import INTRODUCTION_BYTES_MAX
from p2pchat.core.wire import Answer, Introduce, Introduced, Introduction, Near
from p2pchat.node import introductions as module
from p2pchat.node.introductions import Introductions
from p2pchat.node.node import Node
from signaling.envelope import ENVELOPE_MAX, SlotKeys, offer_binding, open_answer, seal_offer
from signaling.tasks import owned_tasks
from tests.node.people import WAIT_S, heard, meet, person
from tests.signaling.descriptions import HOST, description


@asynccontextmanager
async def hub(folder: Path, *names: str) -> AsyncIterator[tuple[Node, list[Node], str]]:
    """Ann, people whom she let into her room one after the other, and its id."""
    async with AsyncExitStack() as stack:
        ann = await stack.enter_async_context(person(folder, "Ann"))
        room = await ann.create_room("crew")
        guests = []
        for name in names:
            guest = await stack.enter_async_context(person(folder, name))
            await meet(ann, guest, room.id)
            guests.append(guest)
        yield ann, guests, room.id


async def linked(one: Node, other: Node) -> events.Peer:
    """Until `one` has a link with `other`; how it came."""
    with one.events() as feed:
        for row in await one.peers():
            if row.peer == other.peer_id and row.state == "connected":
                return row
        return await heard(feed, events.Peer, peer=other.peer_id, state="connected")


def via(one: Node, other: Node) -> str:
    session = one.online_parts.peers.session(other.identity.person)
    assert session is not None
    return session.via


def links(one: Node, other: Node) -> int:
    return len(one.online_parts.peers._sessions.get(other.identity.person, []))


async def single(one: Node, other: Node) -> None:
    """Until both ends have one link with each other."""
    async with asyncio.timeout(WAIT_S):
        while not links(one, other) == links(other, one) == 1:
            await asyncio.sleep(0.01)


async def cut(one: Node, other: Node) -> None:
    await linked(one, other)
    session = one.online_parts.peers.session(other.identity.person)
    assert session is not None
    await session.close("bye")


async def test_members_are_linked_through_a_common_member(tmp_path: Path) -> None:
    async with hub(tmp_path, "Bob", "Cat") as (_, (bob, cat), room):
        started = time.perf_counter()
        await linked(bob, cat)
        await linked(cat, bob)
        print(f"\nlinked {time.perf_counter() - started:.2f} s after the second had come")
        assert via(bob, cat) == via(cat, bob) == "introduced"
        message = await (await bob.room(room)).send("past Ann")
        assert [one async for one in (await bob.room(room)).delivered(message.id, timeout=WAIT_S)]


async def test_a_lost_link_comes_back_by_a_common_member_and_is_one(tmp_path: Path) -> None:
    async with hub(tmp_path, "Bob", "Cat") as (_, (bob, cat), _):
        await linked(bob, cat)
        with bob.events() as feed:
            started = time.perf_counter()
            await cut(cat, bob)
            await heard(feed, events.Peer, peer=cat.peer_id, state="connected")
            print(f"\nback after {time.perf_counter() - started:.2f} s")
        await single(bob, cat)


async def test_with_several_common_members_a_link_is_never_doubled(tmp_path: Path) -> None:
    async with hub(tmp_path, "Bob", "Cat", "Dan", "Eve") as (_, guests, _):
        await all_linked(*guests)
        made = []
        peers = guests[0].online_parts.peers
        begin = peers.begin
        peers.begin = lambda *args: (made.append(args), begin(*args))  # type: ignore[assignment,func-returns-value]
        with guests[0].events() as feed:
            await cut(guests[1], guests[0])
            await heard(feed, events.Peer, peer=guests[1].peer_id, state="connected")
        await single(*guests[:2])
        assert len(made) == 1, "three members carried one offer, and its answer was one"


async def test_a_member_who_drops_all_is_got_round(tmp_path: Path) -> None:
    async with hub(tmp_path, "Bob", "Cat", "Dan") as (ann, (bob, cat, dan), _):
        for one, other in ((bob, cat), (bob, dan), (cat, dan), (cat, bob)):
            await linked(one, other)
        ann.online_parts.introductions._introducer.pass_on = lambda *_: None  # type: ignore[assignment]
        with bob.events() as feed:
            await cut(cat, bob)
            await heard(feed, events.Peer, peer=cat.peer_id, state="connected")
        assert via(bob, cat) == "introduced"


async def test_a_member_sees_ciphertext_and_cannot_answer_in_anothers_place(tmp_path: Path) -> None:
    async with hub(tmp_path, "Bob", "Cat") as (ann, (bob, cat), _):
        await linked(bob, cat)
        introducer = ann.online_parts.introductions._introducer
        seen: list[bytes] = []
        pass_on = introducer.pass_on
        forged = asyncio.Event()

        def forge(session: Any, frame: Introduce) -> None:
            seen.append(frame.offer)
            if len(seen) == 1:
                introducer._say(session, Answer(frame.call, b"\x01\x02" + bytes(300)))
                forged.set()
            else:
                pass_on(session, frame)

        introducer.pass_on = forge  # type: ignore[method-assign]
        with bob.events() as feed:
            await cut(cat, bob)
            await forged.wait()
            await heard(feed, events.Peer, peer=cat.peer_id, state="connected")
        assert len(seen) > 1
        for offer in seen:
            assert b"127.0.0.1" not in offer
            assert bytes((127, 0, 0, 1)) not in offer[2:]


async def test_a_partition_of_five_is_healed_by_one_link_to_one_history(tmp_path: Path) -> None:
    async with hub(tmp_path, "Bob", "Cat", "Dan", "Eve") as (ann, guests, room):
        everybody = [ann, *guests]
        west, east = everybody[:2], everybody[2:]
        await all_linked(*everybody)
        passing = [node.online_parts.introductions._introducer for node in everybody]
        was = [introducer.pass_on for introducer in passing]
        for introducer in passing:
            introducer.pass_on = lambda *_: None  # type: ignore[method-assign]
        for one in west:
            for other in east:
                await cut(one, other)
        async with asyncio.timeout(WAIT_S):
            while any(links(one, other) + links(other, one) for one in west for other in east):
                await asyncio.sleep(0.01)
        for introducer, pass_on in zip(passing, was, strict=True):
            introducer.pass_on = pass_on  # type: ignore[method-assign]
        for number in range(5):
            for node in everybody:
                await (await node.room(room)).send(f"{node.name} {number} apart")
        await meet(ann, guests[-1])
        started = time.perf_counter()
        await all_linked(*everybody)
        print(f"\nall linked {time.perf_counter() - started:.1f} s after the first link")
        async with asyncio.timeout(WAIT_S):
            while True:
                histories = [await texts(node, room) for node in everybody]
                if all(len(one) == 25 for one in histories):
                    break
                await asyncio.sleep(0.05)
        assert all(one == histories[0] for one in histories)
        print(f"one history after {time.perf_counter() - started:.1f} s")


async def all_linked(*nodes: Node) -> None:
    async with asyncio.timeout(WAIT_S):
        for one in nodes:
            for other in nodes:
                if one is not other:
                    await linked(one, other)


async def texts(node: Node, room: str) -> list[str]:
    return [one.text async for one in (await node.room(room)).history(last=None)]


async def test_a_blocked_member_is_not_introduced(tmp_path: Path) -> None:
    async with hub(tmp_path, "Bob", "Cat") as (_, (bob, cat), _):
        await linked(bob, cat)
        await linked(cat, bob)
        with cat.events() as feed:
            await bob.block(cat.identity.person)
            await heard(feed, events.Peer, peer=bob.peer_id, state="disconnected")
        lower, higher = sorted((bob, cat), key=lambda node: node.identity.person)
        slot = lower.online_parts.introductions._slots.get(higher.identity.person)
        if lower is cat:
            assert slot is not None
            slot.retry()
            async with asyncio.timeout(WAIT_S):
                while slot.way.state != "waiting" or slot.way._wait_s < 0.5:
                    await asyncio.sleep(0.01)
        else:
            assert slot is None
        assert links(bob, cat) == links(cat, bob) == 0


# -- one node's side, without a network ------------------------------------------------------------


class _Link:
    def __init__(self, name: str) -> None:
        self.name = name
        self.peer = name.encode() * 32
        self.transcript = name.encode() * 8


class Table:
    """A node's introductions, and what it sends on links that are names."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.said: list[tuple[str, Introduction]] = []
        self.sessions: list[Any] = []
        mesh: Any = SimpleNamespace(groups=list)
        peers: Any = SimpleNamespace(sessions=lambda: iter(self.sessions))
        self.own = Introductions(
            peers, mesh, lambda: b"m" * 32, tasks, lambda count: next(_bytes)[:count], time.time
        )
        self.own._say = lambda session, frame: self.said.append((session.name, frame))  # type: ignore[method-assign]

    def link(self, name: str) -> Any:
        session = _Link(name)
        self.sessions.append(session)
        self.own.entered(session)
        return session


def _counter() -> Iterator[bytes]:
    number = 0
    while True:
        number += 1
        yield number.to_bytes(32, "little")


_bytes = _counter()
OFFER = description(HOST)
KEYS = SlotKeys.derive(bytes(32))
ZOE = b"z" * 32


class _Attempt:
    description = OFFER

    def __init__(self) -> None:
        self.accepted: list[object] = []
        self.abandoned = 0

    async def accept(self, answer: object) -> None:
        self.accepted.append(answer)

    async def abandon(self) -> None:
        self.abandoned += 1


@contextmanager
def seeking(table: Table) -> Iterator[list[_Attempt]]:
    attempts: list[_Attempt] = []

    async def offer() -> _Attempt:
        attempts.append(_Attempt())
        return attempts[-1]

    slot = table.own.to(ZOE).seek(KEYS, offer)
    yield attempts
    slot.close()


async def rest() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_an_offer_goes_by_three_members_at_most() -> None:
    async with owned_tasks() as tasks:
        table = Table(tasks)
        relays = [table.link(name) for name in "abcde"]
        with seeking(table) as attempts:
            for relay in relays:
                table.own.received(relay, Near((ZOE,)))
            await rest()
            assert len(attempts) == 1
            sent = [frame for _, frame in table.said if isinstance(frame, Introduce)]
            assert len(sent) == 3
            assert len({frame.offer for frame in sent}) == 1
            assert len({frame.call for frame in sent}) == 3
            for session in relays:
                table.own.left(session)
            await rest()
            assert attempts[0].abandoned == 1
            assert not table.own._calls


async def test_an_offer_that_is_out_goes_by_members_who_turn_up_meanwhile() -> None:
    async with owned_tasks() as tasks:
        table = Table(tasks)
        with seeking(table) as attempts:
            for name in "abcdefgh":
                relay = table.link(name)
                table.own.received(relay, Near((ZOE,)))
                table.own.received(relay, Near((ZOE,)))
                await rest()
            sent = [frame for _, frame in table.said if isinstance(frame, Introduce)]
            assert len(attempts) == 1
            assert len(sent) == module._BY_MAX + module._BY_LATER_MAX
            assert len({frame.offer for frame in sent}) == 1


async def test_somebody_who_is_told_of_before_being_known_is_sought_once_known() -> None:
    async with owned_tasks() as tasks:
        table = Table(tasks)
        table.own.received(table.link("a"), Near((ZOE,)))
        with seeking(table) as attempts:
            await rest()
            assert len(attempts) == 1


async def test_an_answer_counts_from_the_member_that_was_asked_alone() -> None:
    async with owned_tasks() as tasks:
        table = Table(tasks)
        asked, liar = table.link("a"), table.link("b")
        with seeking(table) as attempts:
            table.own.received(asked, Near((ZOE,)))
            await rest()
            (frame,) = [frame for _, frame in table.said if isinstance(frame, Introduce)]
            table.own.received(liar, Answer(frame.call, None))
            await rest()
            assert not attempts[0].abandoned
            table.own.received(asked, Answer(frame.call, None))
            await rest()
            assert attempts[0].abandoned


async def test_the_same_offer_by_two_members_gets_one_answer_twice() -> None:
    async with owned_tasks() as tasks:
        table = Table(tasks)
        answers = 0

        async def answer(offer: object) -> Any:
            nonlocal answers
            answers += 1
            return OFFER

        slot = table.own.to(ZOE).serve(KEYS, answer)
        offer = seal_offer(KEYS, OFFER, 0, bytes)
        for name in ("a", "b"):
            table.own.received(table.link(name), Introduced(ZOE, name.encode() * 16, offer))
        await rest()
        assert answers == 1
        (one, first), (other, second) = table.said
        assert (one, other) == ("a", "b")
        assert isinstance(first, Answer)
        assert isinstance(second, Answer)
        assert first.answer == second.answer
        assert open_answer(KEYS, first.answer or b"", offer_binding(offer)) is not None
        table.said.clear()
        table.own.received(table.sessions[0], Introduced(ZOE, b"c" * 16, b"\x01\x01" + bytes(99)))
        table.own.received(table.sessions[0], Introduced(b"y" * 32, b"d" * 16, offer))
        assert [frame for _, frame in table.said] == [
            Answer(b"c" * 16, b""),
            Answer(b"d" * 16, b""),
        ]
        slot.close()


async def test_whom_a_link_names_and_how_often_is_bounded() -> None:
    async with owned_tasks() as tasks:
        table = Table(tasks)
        flood = table.link("a")
        for number in range(400):
            table.own.received(flood, Near(tuple((number * 8 + n).to_bytes(32) for n in range(8))))
        assert len(table.own._near[flood]) == module._NEAR_EACH_MAX
        offer = seal_offer(KEYS, OFFER, 0, bytes)
        table.said.clear()
        table.own.received(flood, Introduced(ZOE, bytes(16), offer))
        assert not table.said, "a flood is heard no more for a while"


async def test_a_slow_link_makes_no_queue_without_end() -> None:
    async with owned_tasks() as tasks:
        peers: Any = SimpleNamespace(sessions=lambda: iter(()))
        own = Introductions(
            peers,
            SimpleNamespace(groups=list),
            bytes,
            tasks,
            bytes,
            time.time,  # type: ignore[arg-type]
        )
        stuck = asyncio.Event()

        async def send(frame: object) -> None:
            await stuck.wait()

        session: Any = _Link("a")
        session.send = send
        for _ in range(1_000):
            own._say(session, Near(()))
        assert own._unsaid[session] == module._UNSAID_MAX
        stuck.set()
        await rest()
        assert not own._unsaid


@pytest.mark.parametrize("carrier", [ENVELOPE_MAX])
def test_an_introduction_has_room_for_every_envelope(carrier: int) -> None:
    assert carrier == INTRODUCTION_BYTES_MAX
