"""Presence and typing between links, faces and the bus (`core/presence.py` decides).

Members of common rooms are told; whoever is blocked has no link to be told by. What our owner has
switched off is neither told nor shown.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from p2pchat import events
from p2pchat.config import PrivacyConfig
from p2pchat.core.entry import MESSAGE, Entry
from p2pchat.core.identity import Identity, id_text
from p2pchat.core.presence import (
    OwnPresence,
    OwnTyping,
    PeerPresence,
    PeerTyping,
    Presences,
)
from p2pchat.core.wire import Presence as PresenceFrame
from p2pchat.core.wire import Typing
from p2pchat.node.people import People
from p2pchat.node.rooms import Rooms

if TYPE_CHECKING:
    from p2pchat.node.session import Session

__all__ = ["Presence"]

_ONLINE, _AWAY = PresenceFrame(0), PresenceFrame(1)


class Presence:
    def __init__(
        self,
        rooms: Rooms,
        people: People,
        me: Callable[[], Identity],
        publish: Callable[[events.Event], None],
        privacy: PrivacyConfig,
    ) -> None:
        self._rooms = rooms
        self._people = people
        self._me = me
        self._publish = publish
        self._privacy = privacy
        self._machine = Presences(_now())
        self._wake = asyncio.Event()
        self.sessions: Callable[[], Iterable[Session]] = lambda: ()
        people.presence = self.of
        rooms.listeners.append(self._heard)

    async def run(self) -> None:
        """Notice that nobody is there, or writes any more, until cancelled."""
        while True:
            try:
                async with asyncio.timeout_at(self._machine.next_timer()):
                    await self._wake.wait()
            except TimeoutError:
                self._machine.handle_timer(_now())
            self._wake.clear()
            self._carry_out()

    def of(self, person: bytes) -> Literal["online", "away", "offline"] | None:
        """How it is with somebody; None where they do not tell, or we do not."""
        away: bool | None
        if person == self._me().person:
            away = self._machine.away
        elif self._people.session(person) is None:
            return "offline"
        else:
            away = self._machine.state(person)
        return None if away is None else "away" if away else "online"

    # -- faces ---------------------------------------------------------------------------------

    def active(self, *, wrote: bool = False) -> events.Presence:
        """Somebody is at a face; `wrote`: a whole line."""
        self._machine.active(_now(), wrote=wrote)
        return self._moved()

    def leave(self) -> events.Presence:
        """Away until a line is written."""
        self._machine.leave(_now())
        return self._moved()

    def write(self, room: bytes, *, typing: bool) -> None:
        """We are writing in a room, or no more."""
        self._machine.write(room, _now(), typing=typing)
        self._moved()

    def _moved(self) -> events.Presence:
        self._carry_out()
        self._wake.set()
        return self._event(self._me().person, away=self._machine.away)

    # -- links ---------------------------------------------------------------------------------

    def entered(self, session: "Session") -> None:
        if self._privacy.presence and not self._people.blocked(session.peer):
            session.cue(_AWAY if self._machine.away else _ONLINE)

    def left(self, person: bytes) -> None:
        """The last link to somebody has ended."""
        self._machine.gone(person)
        self._carry_out()

    def cued(self, session: "Session", frame: PresenceFrame | Typing) -> None:
        """A peer tells how it is with it."""
        if self._people.blocked(session.peer):
            return
        match frame:
            case PresenceFrame(state) if self._privacy.presence:
                self._machine.says(session.peer, state, _now())
            case Typing(tag, typing) if self._privacy.typing:
                room = session.room(tag)
                chains = self._rooms.get(room) if room is not None else None
                if chains is not None and session.peer in chains.members:
                    self._machine.writes(chains.room, session.peer, _now(), typing=typing)
                    self._wake.set()
        self._carry_out()

    def _heard(self, room: bytes, entries: Sequence[Entry], source: object) -> None:
        """New entries are on disk (`rooms.Listener`): what was being written is there."""
        del source
        author = self._rooms.author(room, entries[0].chain)
        if author is not None and any(entry.header.kind == MESSAGE for entry in entries):
            self._machine.wrote(room, author)
            self._carry_out()

    # -- carrying out --------------------------------------------------------------------------

    def _carry_out(self) -> None:
        for output in self._machine.outputs():
            match output.fact:
                case OwnPresence(away):
                    self._publish(self._event(self._me().person, away=away))
                    for session in self.sessions():
                        self.entered(session)
                case OwnTyping(room, typing) if self._privacy.typing:
                    for session in self.sessions():
                        tag = session.tag(room)
                        if tag is not None and not self._people.blocked(session.peer):
                            session.cue(Typing(tag, typing))
                case PeerPresence(person, away):
                    self._publish(self._event(person, away=away))
                case PeerTyping(room, person, typing):
                    self._publish(
                        events.Typing(
                            room=id_text(room),
                            peer=id_text(person),
                            name=self._people.name_of(person),
                            typing=typing,
                        )
                    )

    def _event(self, person: bytes, *, away: bool) -> events.Presence:
        return events.Presence(
            peer=id_text(person),
            name=self._people.name_of(person),
            presence="away" if away else "online",
            time=events.rfc3339(time.time()),
            me=person == self._me().person,
        )


def _now() -> float:
    return asyncio.get_running_loop().time()
