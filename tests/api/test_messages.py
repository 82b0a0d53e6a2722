import asyncio
import os
import random
from collections.abc import Sequence

import pytest

from p2pchat import Node, events
from p2pchat.api.client import Client
from p2pchat.api.routes.asking import RoomRequest
from p2pchat.api.routes.messages import (
    EditRequest,
    LogRequest,
    MessageRequest,
    PinRequest,
    ReactRequest,
    SendRequest,
    log,
)
from p2pchat.core.chain import Accepted, Chains
from p2pchat.core.clock import stamp
from p2pchat.core.entry import MESSAGE, Entry, MessageBody
from p2pchat.core.facts import Append
from p2pchat.core.identity import Certificate, Identity
from p2pchat.node import prologue
from tests.harness.gate import Gate

_NOW = 1_800_000_000.0


async def test_a_message_is_written_amended_and_read(node: Node, client: Client) -> None:
    await node.create_room("crew")
    sent = await client.one("messages", SendRequest(room="crew", text="helo"))
    assert isinstance(sent, events.Message)
    for route, request, field, value in (
        ("edits", EditRequest(room="crew", id=sent.id, text="hello"), "text", "hello"),
        ("pinnings", PinRequest(room="crew", id=sent.id), "pinned", True),
    ):
        changed = await client.one(route, request)
        assert isinstance(changed, events.Message)
        assert getattr(changed, field) == value
    reacted = await client.one("reactions", ReactRequest(room="crew", id=sent.id, text="+1"))
    assert isinstance(reacted, events.Message)
    assert [one.text for one in reacted.reactions or ()] == ["+1"]
    pins = [row async for row in client.ask("pins", RoomRequest(room="crew"))]
    assert pins == [reacted]
    versions = [
        row async for row in client.ask("versions", MessageRequest(room="crew", id=sent.id))
    ]
    assert [row.text for row in versions if isinstance(row, events.Message)] == ["helo", "hello"]
    assert [row async for row in client.ask("log", LogRequest(room="crew"))] == [reacted]
    gone = await client.one("deletions", MessageRequest(room="crew", id=sent.id))
    assert isinstance(gone, events.Message)
    assert gone.deleted


async def test_whoever_follows_a_log_hears_of_its_room_alone(node: Node, client: Client) -> None:
    room, other = await node.create_room("crew"), await node.create_room("other")
    first = await room.send("one")
    feed = client.ask("log", LogRequest(room="crew", follow=True))
    assert await anext(feed) == first
    await other.send("elsewhere")
    second = await room.send("two")
    assert await anext(feed) == second
    await feed.aclose()  # type: ignore[attr-defined]


def _log(
    chains: Chains, bob: Identity, ann: Certificate, texts: Sequence[str], choose: random.Random
) -> list[Entry]:
    """What Bob writes in a log of its own, by a clock that is set now and then."""
    incarnation, entries = os.urandom(8), []

    def own(
        kind: int, body: object, epoch: bytes = b"", after: tuple[bytes, ...] | None = None
    ) -> Entry:
        hours = choose.choice((0, 0, 3, -5, 100_000))
        entry = chains.write(
            bob,
            incarnation,
            time=stamp(_NOW + 3_600 * hours + len(entries)),
            kind=kind,
            body=body,  # type: ignore[arg-type]
            random=os.urandom,
            epoch=epoch,
            after=after,
        )
        entries.append(entry)
        return entry

    list(prologue.direct(chains, own, bob, [ann], os.urandom, began=False))
    for text in texts:
        own(MESSAGE, MessageBody(text), chains.writing_epoch() or b"")
    return entries


async def test_whoever_follows_a_log_sees_a_message_again_whose_delete_is_undone(
    node: Node, client: Client
) -> None:
    room = await node.create_room("crew")
    first = await room.send("one")
    feed = client.ask("log", LogRequest(room="crew", follow=True))
    assert await anext(feed) == first
    publish = node._parts.bus.publish
    publish(first)
    deleted = events.Changed(room=room.id, id=first.id, change="deleted")
    publish(deleted)
    publish(first)
    publish(first)
    second = await room.send("two")
    assert [await anext(feed) for _ in range(3)] == [deleted, first, second]
    await feed.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", range(40))
async def test_whoever_follows_a_log_is_shown_each_message_once(node: Node, seed: int) -> None:
    choose, parts, bob = random.Random(seed), node._parts, Identity.create("Bob", os.urandom)
    me = parts.owner.identity
    await parts.people.meet(bob.certificate, os.urandom(32))
    chains = await node._directory.direct(bob.person)
    far = Chains(chains.room, frozenset((me.person, bob.person)))
    # The second one is under the key that the first one brings, and answers it.
    waiting = [
        _log(far, bob, me.certificate, [f"{log} {number}" for number in range(6)], choose)
        for log in "ab"
    ]
    shown: list[str] = []
    found = asyncio.Event()

    async def follow() -> None:
        request = LogRequest(room="Bob", last=None, follow=True)
        async for event in log(node, request):
            if isinstance(event, events.Message):
                shown.append(event.text)
                if event.text == "end":
                    found.set()

    async def take(entries: Sequence[Entry]) -> None:
        signature = entries[-1].signature
        assert signature is not None
        raws, bodies = [entry.raw for entry in entries], [entry.body for entry in entries]
        accepted = chains.accept(raws, bodies, signature)
        assert isinstance(accepted, Accepted)
        await parts.rooms.commit([Append(chains.room, accepted.entries, chains.reloads)], None)

    told: list[events.Message] = []
    publish = parts.rooms._publish

    def hear(event: events.Event) -> None:
        told.extend([event] if isinstance(event, events.Message) else ())
        publish(event)

    parts.rooms._publish = hear
    room = await node.room("Bob")
    gate = Gate(parts.database)
    begins = choose.randrange(20)
    under_way: list[asyncio.Task[object]] = []
    async with asyncio.TaskGroup() as tasks:
        following, step = None, 0
        while any(waiting) or following is None:
            step += 1
            if step == begins:
                following = tasks.create_task(follow())
            match choose.choice(("take", "take", "store", "store", "store", "send", "again")):
                case "take" if any(waiting):
                    entries = choose.choice([log for log in waiting if log])
                    count = choose.randint(1, 4)
                    under_way.append(tasks.create_task(take(entries[:count])))
                    del entries[:count]
                case "store":
                    await gate.step(choose)
                case "again" if told:
                    # As where a removal is undone that took it out of a room.
                    publish(choose.choice(told))
                case "send" if choose.random() < 0.3:
                    under_way.append(tasks.create_task(room.send(f"own {step}")))
            for _ in range(choose.choice((0, 1, 1, 5))):
                await asyncio.sleep(0)
        await gate.open(choose)
        await asyncio.gather(*under_way)
        await room.send("end")
        await asyncio.wait_for(found.wait(), 30)
        following.cancel()
    kept = [message.text async for message in room.history(last=None)]
    assert len(kept) >= 13
    assert sorted(shown) == sorted(kept)
