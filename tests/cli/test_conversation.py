"""The chat's commands of rooms and people, on real nodes: what is shown, and what comes of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from p2pchat import errors
from p2pchat.api.client import Client
from p2pchat.api.server import serve
from p2pchat.api.slash import COMMANDS, Slash, parse
from p2pchat.cli.conversation import HERE, Conversation
from p2pchat.cli.output import Output
from signaling.invite import Invite
from signaling.tasks import owned_tasks
from tests.harness.crew import Crew, Sailor


class Screen(Output):
    """What was shown, line by line."""

    def __init__(self) -> None:
        super().__init__(json=False)
        self.plain = False
        self.lines: list[str] = []
        self.rung = 0
        self.secrets: list[str] = []
        """what is typed where a password is asked for"""

    def say(self, text: str) -> None:
        self.lines.append(text)

    def note(self, text: str) -> None:
        self.lines.append(text)

    def bell(self) -> None:
        self.rung += 1

    async def until(self, wanted: str) -> str:
        """The first line with `wanted`; what came before it is forgotten."""
        async with asyncio.timeout(20):
            while not (found := [line for line in self.lines if wanted in line]):
                await asyncio.sleep(0.02)
        self.lines = self.lines[self.lines.index(found[0]) + 1 :]
        return found[0]


class Chat:
    def __init__(self, here: Conversation, screen: Screen) -> None:
        self.here = here
        self.screen = screen

    async def enter(self, line: str) -> None:
        """As `cli.chat` does, but that errors are the test's."""
        entered = parse(line)
        if isinstance(entered, str):
            await self.here.say(entered)
        else:
            assert entered.name in HERE
            await self.here.act(entered)


@asynccontextmanager
async def chatting(sailor: Sailor, room: str, *, bell: bool = True) -> AsyncIterator[Chat]:
    screen = Screen()

    async def asked(text: str) -> str:
        screen.note(text)
        return screen.secrets.pop(0)

    async with (
        serve(sailor.node, asyncio.Event()),
        Client.open(sailor.node.profile.socket_path) as client,
        owned_tasks() as tasks,
    ):
        here = Conversation(
            screen, client, room, tasks, bell=bell, redraw=lambda: None, ask_secret=asked
        )

        async def listen(ready: asyncio.Event) -> None:
            feed = client.ask("events")
            await anext(feed)
            await here.enter(room)
            ready.set()
            async for event in feed:
                await here.hear(event)

        ready = asyncio.Event()
        tasks.create_task(listen(ready))
        tasks.create_task(here.attention.run())
        await ready.wait()
        yield Chat(here, screen)
        here.close()


async def holds(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


def test_every_command_done_here_is_in_the_help() -> None:
    assert set(COMMANDS) >= HERE


async def test_who_asks_is_let_in_by_an_exclamation_mark_or_denied(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        room = await crew.found("ann")
        await crew.bring("ann", "bob", "carol", ask=True)
        ann = crew["ann"]
        async with chatting(ann, (await ann.room()).id) as chat:
            await chat.screen.until("bob")
            await chat.enter("!nobody here, just a cry")
            await chat.screen.until("ann: !nobody here, just a cry")
            await chat.enter("!bob")
            await chat.screen.until("bob [")
            await holds(lambda: crew._is_in("bob", room))
            await chat.enter("/deny carol")
            await chat.screen.until("carol was turned away")
            await chat.enter("/remove bob")
            await chat.screen.until("was removed from the room")
            with pytest.raises(errors.BadInput) as caught:
                await chat.enter("/approve dave")
            assert caught.value.code == "request-unknown"
            with pytest.raises(errors.Usage) as refused:
                await chat.enter("/approve")
            assert "/approve NAME" in refused.value.hint


async def test_a_join_asks_for_the_password_that_it_needs(tmp_path: Path) -> None:
    invite = Invite(bytes(32), bytes(16), int(time.time()) + 60, b"", None, password=True)
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        await crew.found("ann")
        async with chatting(crew["ann"], (await crew["ann"].room()).id) as chat:
            chat.screen.secrets = [""]
            with pytest.raises(errors.Usage) as caught:
                await chat.enter(f"/join {invite.text()}")
            assert caught.value.code == "password-missing"
            await chat.screen.until("Password of the invite")


async def test_one_person_is_written_to_beside_the_room(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob", "carol")
        await crew.settle()
        ann, bob = crew["ann"], crew["bob"]
        crew_id = (await ann.room()).id
        async with chatting(ann, crew_id) as hers, chatting(bob, crew_id) as his:
            await hers.enter("@bob, for you alone")
            assert "(@bob)" in await hers.screen.until("for you alone")
            assert "(@ann)" in await his.screen.until("ann (unverified): for you alone")
            await his.enter("/msg ann me too")
            await hers.screen.until("(@bob)")
            await hers.enter(" @bob for all")
            assert "(" not in (await his.screen.until("@bob for all")).split("(unverified)")[0]
            assert his.screen.rung == 1, "only the mention in the room"
            with pytest.raises(errors.BadInput) as caught:
                await hers.enter("@dave hello")
            assert caught.value.code == "peer-unknown"
            assert "begin the line with a space" in caught.value.hint
            with pytest.raises(errors.Usage):
                await hers.enter("/msg bob")
        assert await ann.texts() == [" @bob for all"]


async def test_rooms_are_made_and_changed_and_each_shows_what_is_unread(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob")
        ann, bob = crew["ann"], crew["bob"]
        first = (await ann.room()).id
        async with chatting(ann, first) as chat:
            await chat.enter("/topic about boats")
            await chat.screen.until("topic of crew: about boats")
            await chat.enter("/room create The Shed")
            await chat.screen.until("you are in The Shed now")
            await chat.enter("/topic")
            await chat.screen.until("there is no topic")
            await bob.say("nobody looks, @ann")
            # In another room: only since it is a mention.
            assert "(crew)" in await chat.screen.until("nobody looks")
            await bob.say("nobody looks at all")
            await crew.until(lambda: crew.level("ann", "bob"))
            await unread(ann, first, 2)
            await chat.enter("/room crew")
            await chat.screen.until("you are in crew now")
            await chat.screen.until("nobody looks at all")
            await unread(ann, first, 0)
            await chat.enter("/me rows")
            assert "* ann rows" in await chat.screen.until("rows")
            await chat.enter("/room")
            assert "about boats" in await chat.screen.until("crew [")
            await chat.enter("/nick Annie")
            await chat.screen.until("you are Annie from now on")
            with pytest.raises(errors.BadInput) as caught:
                await chat.enter("/room nowhere")
            assert caught.value.code == "room-unknown"


async def unread(sailor: Sailor, room: str, wanted: int) -> None:
    async with asyncio.timeout(20):
        while True:
            rows = {row.room: row.unread for row in await sailor.node.rooms()}
            if rows[room] == wanted:
                return
            await asyncio.sleep(0.05)


async def test_leaving_says_what_it_keeps_and_forgetting_what_is_gone(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob")
        await crew["ann"].say("hello")
        await crew.settle()
        bob = crew["bob"]
        async with chatting(bob, (await bob.room()).id) as chat:
            with pytest.raises(errors.Usage):
                await chat.enter("/leave now")
            await chat.enter("/leave")
            assert "nothing is forgotten" in await chat.screen.until("you have left crew")
            await chat.enter("/leave")
            await chat.screen.until("/leave forget deletes")
            assert [text async for text in texts(bob)] == ["hello"]
            await chat.enter("/leave forget")
            await chat.screen.until("crew is forgotten")
        assert not [row for row in await bob.node.rooms() if row.kind == "group"]


async def texts(sailor: Sailor) -> AsyncIterator[str]:
    for text in await sailor.texts():
        yield text


async def test_what_is_read_and_written_shows_beside_the_prompt(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob")
        await crew.settle()
        ann, bob = crew["ann"], crew["bob"]
        room = (await ann.room()).id
        async with chatting(ann, room) as hers:
            await hers.enter("hello")
            await holds(lambda: hers.here.beside.text(room) == "✓")
            async with chatting(bob, room) as his:
                await his.screen.until("hello")
                await holds(lambda: hers.here.beside.text(room) == "✓✓")
                his.here.attention.keyed(room, "well")
                await holds(lambda: hers.here.beside.text(room) == "bob is typing…")
                await his.enter("well well")
                his.here.attention.keyed(room, "")
                await hers.screen.until("well well")
                await holds(lambda: hers.here.beside.text(room) == "✓✓")
                await his.enter("/away")
                await his.screen.until("you are away")
                await hers.enter("where are you?")
                await his.screen.until("where are you?")
                await asyncio.sleep(0.5)
                assert hers.here.beside.text(room) == "✓", "shown to nobody"
                bob.node.presence.active(wrote=True)
                await holds(lambda: hers.here.beside.text(room) == "✓✓")
            async with chatting(ann, room) as again:
                assert (await again.screen.until("hello")).endswith("hello  ✓✓")


async def test_a_blob_that_is_none_is_said_while_the_chat_goes_on(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann") as crew:
        await crew.found("ann")
        ann = crew["ann"]
        async with chatting(ann, (await ann.room()).id) as chat:
            with pytest.raises(errors.Usage):
                await chat.here.act(Slash("invite", "everybody"))
            await chat.enter("still here")
            await chat.screen.until("still here")
