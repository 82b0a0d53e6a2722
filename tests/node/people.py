"""People with nodes in this process, on loopback: opened, known to each other, linked."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from p2pchat import config, events
from p2pchat.core.identity import Identity
from p2pchat.node.bus import Subscription
from p2pchat.node.node import Node
from p2pchat.store import contacts

__all__ = ["WAIT_S", "acquaint", "crew", "friends", "heard", "meet", "person"]

E = TypeVar("E", bound=events.Event)
WAIT_S = 30.0
_LOOPBACK = ('net.interfaces=["lo"]', "dht.enabled=false")


def person(
    folder: Path, name: str, *, online: bool = True, lan: bool = False
) -> AbstractAsyncContextManager[Node]:
    """A node with its profile and downloads in `folder`/`name`."""
    home = folder / name
    chosen = (*_LOOPBACK, f"lan.enabled={str(lan).lower()}", f'files.dir="{home / "got"}"')
    return Node.open(home, config=config.load(None, {}, chosen), name=name, online=online)


async def meet(host: Node, guest: Node, room: str | None = None) -> events.Joined:
    """Link two nodes by an invite, into `room` maybe, and its pasted reply."""
    invitation = await host.invite(room)
    replies: asyncio.Queue[str] = asyncio.Queue()

    def hear(event: events.Event) -> None:
        if isinstance(event, events.ReplyReady):
            replies.put_nowait(event.blob)

    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as tasks:
        joining = tasks.create_task(guest.join(invitation.blob, on_event=hear))
        await host.reply(await replies.get())
    joined = joining.result()
    assert isinstance(joined, events.Joined)
    return joined


@asynccontextmanager
async def friends(folder: Path) -> AsyncIterator[tuple[Node, Node]]:
    """Ann and Bob, linked."""
    async with person(folder, "Ann") as ann, person(folder, "Bob") as bob:
        await meet(ann, bob)
        yield ann, bob


async def acquaint(folder: Path, name: str, *others: str) -> list[Identity]:
    """Give `name` contacts who are nowhere, each with the room of two."""
    found = [Identity.create(other, os.urandom) for other in others]
    async with person(folder, name, online=False) as node:
        for identity in found:
            certificate = identity.certificate
            await node._parts.database.write(
                lambda tx, known=certificate: contacts.put(tx, known, os.urandom(32), 1.0)  # type: ignore[misc]
            )
            await node._parts.database.write(
                lambda tx, known=certificate: node._parts.rooms.create_direct(tx, known.person)  # type: ignore[misc]
            )
    return found


@asynccontextmanager
async def crew(folder: Path) -> AsyncIterator[tuple[Node, Node, Node, str]]:
    """Ann, Bob and Cat, linked each with each, and the id of their room."""
    async with (
        person(folder, "Ann") as ann,
        person(folder, "Bob") as bob,
        person(folder, "Cat") as cat,
    ):
        room = await ann.create_room("crew")
        await meet(ann, bob, room.id)
        await meet(ann, cat, room.id)
        await meet(bob, cat)
        async with asyncio.timeout(WAIT_S):
            for node in (bob, cat):
                with node.events() as feed:
                    while len(await (await node.room(room.id)).members()) < 3:
                        await anext(feed)
        yield ann, bob, cat, room.id


async def heard(feed: Subscription, kind: type[E], **fields: object) -> E:
    """The next event of a kind with these fields."""
    async with asyncio.timeout(WAIT_S):
        async for event in feed:
            if isinstance(event, kind) and all(
                getattr(event, name) == value for name, value in fields.items()
            ):
                return event
    raise AssertionError("the feed has ended")
