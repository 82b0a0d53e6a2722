"""The room that a chat is in, and the commands of rooms and people: /room, /approve, /msg, /away …

One object for the life of the chat: /room moves it from one room to another.
"""

import asyncio
import shlex
from collections.abc import Awaitable, Callable

import msgspec

from p2pchat import events
from p2pchat.api.client import Client, NotRunning
from p2pchat.api.routes.asking import NameRequest, RoomRequest
from p2pchat.api.routes.meeting import InviteRequest, JoinRequest, KnockAnswerRequest
from p2pchat.api.routes.members import MemberRequest
from p2pchat.api.routes.messages import LogRequest, SendRequest
from p2pchat.api.routes.people import PeerRequest
from p2pchat.api.routes.presence import PresenceRequest
from p2pchat.api.routes.rooms import SettingRequest
from p2pchat.api.slash import Slash, addressed
from p2pchat.cli.attention import Attention
from p2pchat.cli.beside import Beside, ticks
from p2pchat.cli.command import usage
from p2pchat.cli.invite import needs_password
from p2pchat.cli.output import Output
from p2pchat.cli.password import given_password
from p2pchat.errors import BadInput, Error, Usage
from p2pchat.text import printable

__all__ = ["HERE", "Conversation"]

HERE = frozenset(
    {
        "approve", "deny", "remove", "room", "msg", "nick", "topic", "me", "leave", "join",
        "invite", "away",
    }
)  # fmt: skip
"""Commands that are carried out here."""
_HISTORY = 20


class Conversation:
    """`tasks` own what goes on while the prompt is there; `redraw` draws what stands beside it.

    `ask_secret` asks for what is not shown while it is typed; empty if nothing was.
    """

    def __init__(
        self,
        out: Output,
        client: Client,
        room: str,
        tasks: asyncio.TaskGroup,
        *,
        bell: bool,
        redraw: Callable[[], None],
        ask_secret: Callable[[str], Awaitable[str]],
    ) -> None:
        self.room = room
        self.attention = Attention(client, self._refresh)
        self.beside = Beside(plain=out.plain)
        self._out = out
        self._client = client
        self._tasks = tasks
        self._bell = bell
        self._redraw = redraw
        self._ask_secret = ask_secret
        self._rooms: dict[str, events.RoomRow] = {}
        self._me = ""
        self._away: set[str] = set()
        self._shown: set[str] = set()
        self._joining: list[asyncio.Task[None]] = []

    def close(self) -> None:
        """The chat ends: so does what goes on beside it. Invites that we took go on in the node."""
        for task in self._joining:
            task.cancel()

    # -- where we are --------------------------------------------------------------------------

    async def enter(self, room: str) -> None:
        """Go to a room (an id), and show its newest messages."""
        self.room = room
        self._shown.clear()
        await self._learn()
        async for event in self._client.ask("log", LogRequest(room=room, last=_HISTORY)):
            if isinstance(event, events.Message):
                self._show(event)
            else:
                self._out.event(event)
        self.attention.shown(room, None)
        async for event in self._client.ask("members", RoomRequest(room=room)):
            if isinstance(event, events.Member) and event.clash and not event.blocked:
                self._out.event(event)
            elif isinstance(event, events.JoinRequest):
                self._ask_in(event)
        self._redraw()

    async def _learn(self) -> None:
        async for event in self._client.ask("rooms"):
            if isinstance(event, events.RoomRow):
                self._rooms[event.room] = event
        if not self._me:
            identity = await self._client.one("identity")
            assert isinstance(identity, events.Identity)
            self._me = identity.peer

    def _name(self, room: str) -> str:
        row = self._rooms.get(room)
        if row is None:
            return room[:8]
        return "@" * (row.kind == "direct") + printable(row.name)

    # -- what is shown -------------------------------------------------------------------------

    async def hear(self, event: events.Event) -> bool:
        """Show an event that is of rooms or people; whether it was one."""
        match event:
            case events.Message():
                await self._message(event)
            case events.Typing():
                self.beside.typing(event)
            case events.Delivered() | events.Read() if event.room == self.room:
                self.attention.moved(event.room)
            case events.Delivered() | events.Read():
                pass
            case events.Presence(me=True):
                self.attention.away(event.presence == "away")
            case events.Presence():
                self._presence(event)
            case events.JoinRequest():
                self._ask_in(event)
            case events.Membership():
                await self._learn()
                if event.room == self.room:
                    self._out.event(event)
                elif event.me:
                    self._out.say(f"({self._name(event.room)}) {self._out.text(event)}")
            case events.Joined():
                await self._learn()
                return False
            case events.Pending() | events.Denied():
                self._out.event(event)
            case events.Peer(state="disconnected"):
                self.beside.gone(event.peer)
                self._away.discard(event.peer)
                self._redraw()
                return False
            case _:
                return False
        self._redraw()
        return True

    async def _message(self, event: events.Message) -> None:
        if event.mention and self._bell:
            self._out.bell()
        if event.room == self.room:
            self._show(event)
            self.attention.shown(event.room, event.id)
            return
        if event.room not in self._rooms:
            await self._learn()
        row = self._rooms.get(event.room)
        direct = row is not None and row.kind == "direct"
        if direct or event.mention:
            self._out.say(f"({self._name(event.room)}) {self._out.text(event)}")
        if direct:
            self.attention.shown(event.room, event.id)

    def _show(self, message: events.Message) -> None:
        """A message of this room, once."""
        if message.id in self._shown:
            return
        self._shown.add(message.id)
        if message.author == self._me:
            self.beside.ours(message)
        far = ticks(message, plain=self._out.plain)
        self._out.say(f"{self._out.text(message)}{'  ' + far if far else ''}")
        self._out.explain(message)

    async def _refresh(self, room: str) -> None:
        """Our last message has come further."""
        last = self.beside.last(room)
        async for event in self._client.ask("log", LogRequest(room=room, last=_HISTORY)):
            if isinstance(event, events.Message) and event.id == last:
                self.beside.ours(event)
        self._redraw()

    def _presence(self, event: events.Presence) -> None:
        was = event.peer in self._away
        (self._away.add if event.presence == "away" else self._away.discard)(event.peer)
        row = self._rooms.get(self.room)
        # In a room of many somebody always comes or goes: /members tells who is there.
        if row is None or row.kind != "direct" or row.name != event.name:
            return
        if event.presence == "away" or was:
            self._out.event(event)

    def _ask_in(self, event: events.JoinRequest) -> None:
        name = printable(event.name)
        where = "" if event.room == self.room else f" (in {self._name(event.room)}: /room first)"
        self._out.say(
            f"* {name} [{event.peer[:8]}] asks to be let into {self._name(event.room)}: "
            f"/approve {name} or /deny {name}{where}"
        )

    # -- what is entered -----------------------------------------------------------------------

    async def say(self, text: str) -> None:
        """A line that is no command: a message, or `!NAME` of somebody who asks to be let in."""
        name = text[1:].strip() if text.startswith("!") else ""
        if name and await self._asks(name):
            await self._done("approvals", MemberRequest(room=self.room, peer=name))
        else:
            await self._done("messages", SendRequest(room=self.room, text=text))

    async def _asks(self, name: str) -> bool:
        return any(
            [
                event.name == name or (len(name) >= 4 and event.peer.startswith(name.lower()))
                async for event in self._client.ask("members", RoomRequest(room=self.room))
                if isinstance(event, events.JoinRequest)
            ]
        )

    async def act(self, slash: Slash) -> None:
        """Carry out one of the commands of `HERE`. Raises errors.Error."""
        argument = slash.argument
        match slash:
            case Slash("away"):
                await self._done("presence", PresenceRequest(away=True))
                self._out.note("you are away until you write something")
            case Slash("room"):
                await self._room(argument)
            case Slash("topic") if argument:
                await self._done(
                    "settings", SettingRequest(room=self.room, key="topic", value=argument)
                )
                await self._topic()
            case Slash("topic"):
                await self._topic()
            case Slash("leave"):
                await self._leave(argument)
            case Slash("invite"):
                await self._invite(argument)
            case Slash(name) if not argument:
                raise usage(f"/{name} needs to know more", f"write {_FORMS[name]}")
            case Slash("approve" | "deny"):
                await self._answer(_one(argument), accept=slash.name == "approve")
            case Slash("remove"):
                await self._done("expulsions", MemberRequest(room=self.room, peer=_one(argument)))
            case Slash("msg"):
                await self._write_to(argument)
            case Slash("nick"):
                identity = await self._client.one("name", NameRequest(name=argument))
                assert isinstance(identity, events.Identity)
                self._out.note(f"you are {identity.name} from now on")
            case Slash("me"):
                await self._done("messages", SendRequest(room=self.room, text=f"/me {argument}"))
            case Slash("join"):
                password = await self._password(argument)
                self._joining.append(self._tasks.create_task(self._join(argument, password)))

    async def _answer(self, name: str, *, accept: bool) -> None:
        """Somebody asks to be let into this room, or else knocks at us."""
        member = MemberRequest(room=self.room, peer=name)
        try:
            if accept:
                await self._done("approvals", member)
            else:
                await self._show_all("denials", member)
        except Error as error:
            if error.code not in ("request-unknown", "room-direct"):
                raise
            try:
                knock = KnockAnswerRequest(knock=name, accept=accept)
                await self._show_all("knock-answers", knock)
            except Error as other:
                # Who knocks nowhere was meant to ask here.
                raise error if other.code == "knock-unknown" else other from None

    async def _room(self, argument: str) -> None:
        words = argument.split(None, 1)
        if not words:
            await self._show_all("room", RoomRequest(room=self.room))
            return
        if words[0] == "create" and len(words) == 2:
            made = await self._client.one("creations", NameRequest(name=_one(words[1])))
        else:
            made = await self._client.one("room", RoomRequest(room=_one(argument)))
        assert isinstance(made, events.RoomRow)
        self._out.note(f"you are in {made.name} now")
        await self.enter(made.room)

    async def _topic(self) -> None:
        row = await self._client.one("room", RoomRequest(room=self.room))
        assert isinstance(row, events.RoomRow)
        self._out.note(f"topic of {row.name}: {row.topic}" if row.topic else "there is no topic")

    async def _leave(self, argument: str) -> None:
        row = await self._client.one("room", RoomRequest(room=self.room))
        assert isinstance(row, events.RoomRow)
        if argument not in ("", "forget"):
            raise usage(f"/leave takes no {argument!r}", "write /leave or /leave forget")
        if row.kind == "direct" or row.state == "member":
            await self._done("departures", RoomRequest(room=self.room))
            kept = f"its {row.entries} entries stay here to read, and go with /leave forget"
            if argument != "forget":
                self._out.note(f"you have left {row.name}: nothing is forgotten, {kept}")
                return
        if argument != "forget":
            self._out.note(f"you are no member of {row.name}; /leave forget deletes what is here")
            return
        await self._done("forgotten", RoomRequest(room=self.room))
        self._out.note(
            f"{row.name} is forgotten: its {row.entries} entries, members and keys are gone from "
            "this machine, not from others'; go on with /room NAME"
        )

    async def _invite(self, argument: str) -> None:
        row = await self._client.one("room", RoomRequest(room=self.room))
        many = isinstance(row, events.RoomRow) and row.kind == "group"
        if argument not in ("", "ask") or (argument and not many):
            raise usage("/invite is not of that form", "write /invite, or /invite ask in a room")
        request = InviteRequest(room=self.room if many else None, ask=argument == "ask", wait=False)
        async for event in self._client.ask("invites", request):
            if isinstance(event, events.InviteReady):
                self._out.say(event.blob)

    async def _write_to(self, argument: str) -> None:
        name, text = addressed(argument)
        if not text:
            raise usage("/msg says nothing", 'write /msg NAME TEXT, or /msg "A NAME" TEXT')
        try:
            person = await self._client.one("people", PeerRequest(peer=name))
        except BadInput as error:
            hint = f"{error.hint}; to say it to the room, begin the line with a space"
            raise BadInput(error.code, error.message, hint) from error
        assert isinstance(person, events.Peer)
        await self._done("messages", SendRequest(room=f"@{person.peer}", text=text))

    async def _password(self, blob: str) -> str | None:
        """Asked for before the chat goes on: it has the keys while it is typed."""
        if not needs_password(blob):
            return None
        password = given_password(None) or await self._ask_secret("Password of the invite: ")
        if not password:
            raise Usage(
                "password-missing",
                "this invite needs a password, which your friend tells you",
                "write /join BLOB again, and then the password",
            )
        return password

    async def _join(self, blob: str, password: str | None) -> None:
        """While the chat goes on: it may take as long as the other is away."""
        try:
            request = JoinRequest(blob=blob, approval=False, password=password)
            async for event in self._client.ask("joins", request):
                if isinstance(event, events.ReplyReady):
                    self._out.note("send this reply back to whoever invited you:")
                    self._out.say(event.blob)
                elif isinstance(event, events.Joined):
                    self._out.note(f"go there with: /room {event.name}")
        except Error as error:
            self.fail(error)
        except NotRunning:
            return

    def fail(self, error: Error) -> None:
        self._out.note(f"p2pchat: {error.message}\nhint: {error.hint}")

    async def _show_all(self, route: str, request: msgspec.Struct) -> None:
        async for event in self._client.ask(route, request):
            self._out.event(event)

    async def _done(self, route: str, request: msgspec.Struct) -> None:
        """Ask for what is told by the events that come of it."""
        async for _ in self._client.ask(route, request):
            pass


_FORMS = {
    "approve": "/approve NAME, or !NAME",
    "deny": "/deny NAME",
    "remove": "/remove NAME",
    "msg": "/msg NAME TEXT, or @NAME TEXT",
    "nick": "/nick NAME",
    "me": "/me TEXT",
    "join": "/join BLOB",
}


def _one(argument: str) -> str:
    """A name, with or without quotes, an `@` before it or not."""
    try:
        words = shlex.split(argument)
    except ValueError:  # an apostrophe is part of many names
        words = [argument]
    return words[0] if len(words) == 1 else argument
