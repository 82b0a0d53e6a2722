"""Line-mode chat: what comes in is printed above the prompt, what is typed is sent."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from p2pchat import events
from p2pchat.api.client import Client
from p2pchat.api.routes.asking import RoomRequest
from p2pchat.api.routes.files import GetRequest, ShareRequest
from p2pchat.api.routes.history import SyncRequest
from p2pchat.api.routes.meeting import CancelRequest
from p2pchat.api.routes.messages import (
    EditRequest,
    LogRequest,
    MessageRequest,
    PinRequest,
    ReactRequest,
    SendRequest,
)
from p2pchat.api.routes.presence import PresenceRequest
from p2pchat.api.slash import COMMANDS, Slash, parse
from p2pchat.cli.command import Common, usage
from p2pchat.cli.conversation import HERE, Conversation
from p2pchat.cli.invite import greet
from p2pchat.cli.output import Output
from p2pchat.cli.person import about
from p2pchat.errors import BadInput, Error

__all__ = ["chat", "last_chat"]

_TOLD = frozenset({"edit", "delete", "react", "pin", "unpin", "reply"})
"""Commands whose outcome the feed shows."""


async def last_chat(out: Output, common: Common) -> None:
    """The room with the newest message."""
    if out.json or not sys.stdin.isatty():
        raise usage("no command given", "see p2pchat --help; the chat needs a terminal")
    async with common.attach() as node:
        greet(out, node)
        rooms = [
            event async for event in node.client.ask("rooms") if isinstance(event, events.RoomRow)
        ]
        if not rooms:
            raise BadInput(
                "room-unknown",
                "there is nobody to talk with yet",
                "run p2pchat invite and send a friend what it prints; or p2pchat join BLOB",
            )
        newest = max(rooms, key=lambda row: row.time or "")
        await chat(out, node.client, newest.room, bell=common.config().notify.bell)


async def chat(out: Output, client: Client, room: str, *, bell: bool) -> None:
    """Talk in `room` (an id), or where /room leads, until /quit or Ctrl-D."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.patch_stdout import patch_stdout

    out.note("type a message, or /help; Ctrl-D leaves")
    prompt: PromptSession[str] = PromptSession(
        erase_when_done=True, rprompt=lambda: here.beside.text(here.room)
    )
    # raw: the names we print are bold, and everything a peer chose was made harmless before.
    with patch_stdout(raw=True):
        async with asyncio.TaskGroup() as tasks:
            ready = asyncio.Event()
            here = Conversation(
                out,
                client,
                room,
                tasks,
                bell=bell,
                redraw=prompt.app.invalidate,
                ask_secret=_ask_secret,
            )
            going = [
                tasks.create_task(_print(out, client, here, ready)),
                tasks.create_task(here.attention.run()),
            ]
            await ready.wait()
            prompt.default_buffer.on_text_changed += lambda buffer: here.attention.keyed(
                here.room, buffer.text
            )
            try:
                while True:
                    line = await prompt.prompt_async("> ")
                    if not await _handle(out, client, here, line):
                        break
            except EOFError:
                pass
            finally:
                for task in going:
                    task.cancel()
                here.close()


async def _ask_secret(text: str) -> str:
    """What is typed and not shown; empty where somebody thinks better of it (Ctrl-C, Ctrl-D)."""
    from prompt_toolkit import PromptSession

    prompt: PromptSession[str] = PromptSession(erase_when_done=True)
    try:
        return await prompt.prompt_async(text, is_password=True)
    except (EOFError, KeyboardInterrupt):
        return ""


async def _print(out: Output, client: Client, here: Conversation, ready: asyncio.Event) -> None:
    """History, then what happens."""
    feed = client.ask("events")
    await anext(feed)
    await here.enter(here.room)
    ready.set()
    async for event in feed:
        if await here.hear(event):
            continue
        match event:
            case events.Changed() if event.room == here.room:
                out.event(event)
            case events.Share() if event.room == here.room:
                out.event(event)
                out.note(f"  fetch it with /get {event.id[:8]}")
            case (
                events.Peer()
                | events.Joined()
                | events.Forked()
                | events.Knock()
                | events.NameClash()
                | events.Vouch()
                | events.Note(code=str())
            ):
                out.event(event)


async def _handle(out: Output, client: Client, here: Conversation, line: str) -> bool:
    """Carry out one line; whether to go on."""
    entered = parse(line)
    try:
        if line.strip() and entered != Slash("away", ""):
            await client.one("presence", PresenceRequest(wrote=True))
        match entered:
            case str() if not entered.strip():
                pass
            case str():
                await here.say(entered)
            case Slash("quit"):
                return False
            case Slash(name) if name in HERE:
                await here.act(entered)
            case Slash():
                await _slash(out, client, here.room, entered)
    except Error as error:
        here.fail(error)
    return True


async def _slash(out: Output, client: Client, room: str, slash: Slash) -> None:
    if slash.name == "help":
        for name, (argument, what) in COMMANDS.items():
            out.say(f"/{name} {argument}".ljust(22) + what)
        return
    if slash.name in ("whois", "verify", "alias", "block", "unblock"):
        answer = client.ask(*await about(client, room, slash))
    else:
        found = _talk(client, room, slash) or _ask(client, room, slash)
        if found is None:
            out.note(f"there is no command /{slash.name} of that form; /help lists them")
            return
        answer = found
    async for event in answer:
        if slash.name in _TOLD:
            continue
        if not isinstance(event, events.Share):
            out.event(event)
        if isinstance(event, events.SafetyNumber) and not event.verified:
            out.note(
                "compare it by other means than this chat; where both have the same: "
                f"/verify {event.name} confirm"
            )


def _talk(client: Client, room: str, slash: Slash) -> AsyncIterator[events.Event] | None:
    """What is done with messages."""
    id_, _, text = slash.argument.partition(" ")
    match slash.name:
        case "pins":
            return client.ask("pins", RoomRequest(room=room))
        case "pin" | "unpin" if id_:
            return client.ask("pinnings", PinRequest(room=room, id=id_, on=slash.name == "pin"))
        case "delete" if id_:
            return client.ask("deletions", MessageRequest(room=room, id=id_))
        case "edit" if text.strip():
            return client.ask("edits", EditRequest(room=room, id=id_, text=text))
        case "reply" if text.strip():
            return client.ask("messages", SendRequest(room=room, text=text, reply_to=id_))
        case "react" if text.strip():
            return client.ask("reactions", ReactRequest(room=room, id=id_, text=text))
    return None


def _ask(client: Client, room: str, slash: Slash) -> AsyncIterator[events.Event] | None:
    """All else."""
    match slash:
        case Slash("members"):
            return client.ask("members", RoomRequest(room=room))
        case Slash("rooms" | "files" | "status"):
            return client.ask(slash.name)
        case Slash("search", words) if words:
            return client.ask("log", LogRequest(room=room, search=words))
        case Slash("sync"):
            return client.ask("sync", SyncRequest(room=room, wait=True))
        case Slash("cancel", number) if number:
            return client.ask("cancellations", CancelRequest(join=number))
        case Slash("share", path) if path:
            target = str(Path(path).expanduser().absolute())
            return client.ask("shares", ShareRequest(paths=[target], room=room))
        case Slash("get", target) if target:
            return client.ask("transfers", GetRequest(target=target))
    return None
