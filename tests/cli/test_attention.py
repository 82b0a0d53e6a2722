"""What the node is told of somebody at the chat: enough, and no more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from p2pchat import errors, events
from p2pchat.api.routes.presence import PresenceRequest, ReadRequest, TypingRequest
from p2pchat.cli.attention import Attention
from signaling.tasks import owned_tasks


class Node:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[msgspec.Struct | None] = []
        self.broken = False

    async def ask(
        self, route: str, request: msgspec.Struct | None = None
    ) -> AsyncIterator[events.Event]:
        self.asked.append(request)
        if self.broken:
            raise errors.Error("internal", "broken", "mend it")
        yield events.Note(text=route)

    async def until(self, *wanted: msgspec.Struct) -> None:
        async with asyncio.timeout(10):
            while self.asked != [*wanted]:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def attending() -> AsyncIterator[tuple[Attention, Node, list[str]]]:
    node, refreshed = Node(), list[str]()

    async def refresh(room: str) -> None:
        refreshed.append(room)

    attention = Attention(node, refresh)
    async with owned_tasks() as tasks:
        tasks.create_task(attention.run())
        yield attention, node, refreshed


async def test_many_keys_are_told_once_and_the_end_of_writing_at_once() -> None:
    async with attending() as (attention, node, _):
        for length in range(1, 30):
            attention.keyed("r", "hello, all of you, here I am"[:length])
            await asyncio.sleep(0)
        await node.until(TypingRequest(room="r"))
        attention.keyed("r", "")
        await node.until(
            TypingRequest(room="r"), TypingRequest(room="r", typing=False), PresenceRequest()
        )


async def test_commands_are_nobodys_business() -> None:
    async with attending() as (attention, node, _):
        for text in ("/", "/approve", "!bob", "  "):
            attention.keyed("r", text)
            await asyncio.sleep(0.1)
        assert node.asked == [PresenceRequest()]


async def test_what_is_shown_while_away_is_read_once_somebody_is_back() -> None:
    async with attending() as (attention, node, _):
        attention.shown("r", "one")
        await node.until(ReadRequest(room="r", upto="one"))
        attention.away(True)
        attention.shown("r", "two")
        attention.shown("r", "three")
        attention.shown("other", None)
        await asyncio.sleep(0.2)
        assert len(node.asked) == 1
        attention.away(False)
        first = ReadRequest(room="r", upto="one")
        await node.until(first, ReadRequest(room="r", upto="three"), ReadRequest(room="other"))


async def test_who_says_to_be_away_is_not_back_for_having_said_it() -> None:
    async with attending() as (attention, node, _):
        attention.keyed("r", "/away")
        attention.keyed("r", "")
        attention.away(True)
        attention.shown("r", "one")
        await asyncio.sleep(0.2)
        assert node.asked == []
        attention.keyed("r", "/")
        await node.until(PresenceRequest())


async def test_a_node_that_fails_ends_nothing() -> None:
    async with attending() as (attention, node, refreshed):
        node.broken = True
        attention.shown("r", "one")
        await node.until(ReadRequest(room="r", upto="one"))
        node.broken = False
        attention.moved("r")
        async with asyncio.timeout(10):
            while refreshed != ["r"]:
                await asyncio.sleep(0.01)
