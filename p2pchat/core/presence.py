"""Whether people are at their terminals, and who is writing: ours to tell, theirs to show.

Rules. Nobody there for five minutes, or said so: away. Who says so is back with the next line, who
was merely quiet with the next key. Writing is told at most every three seconds and holds for six,
at both ends; nothing of it outlives a link. Who tells more than a person could is not heard.

    from        when                      what is done
    face        a key, after a while      emit OwnPresence
    timer       five minutes without      emit OwnPresence
    face        writing                   emit OwnTyping, unless that was told just now
    peer        another state than known  emit PeerPresence
    peer        begins or ends to write   emit PeerTyping
    timer       six seconds without word  emit PeerTyping
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from p2pchat.core.machine import Emit
from signaling.rate import Rate

__all__ = ["OwnPresence", "OwnTyping", "PeerPresence", "PeerTyping", "Presences"]

AWAY_S = 300.0
TYPING_S = 6.0
_AGAIN_S = 3.0
_STATES_BURST, _STATES_PER_S = 8.0, 0.2
"""Changes of one person's presence: who comes and goes by hand stays far below."""
_TYPING_BURST, _TYPING_PER_S = 16.0, 1.0
"""Words that somebody is writing, in all rooms; an honest one sends one in three seconds."""


@dataclass(frozen=True, slots=True)
class OwnPresence:
    """We are away, or back: tell it."""

    away: bool


@dataclass(frozen=True, slots=True)
class OwnTyping:
    """We are writing in a room, or no more: tell it."""

    room: bytes
    typing: bool


@dataclass(frozen=True, slots=True)
class PeerPresence:
    """Somebody is away, or there."""

    person: bytes
    away: bool


@dataclass(frozen=True, slots=True)
class PeerTyping:
    """Somebody is writing in a room, or no more."""

    room: bytes
    person: bytes
    typing: bool


class Presences:
    def __init__(self, now: float) -> None:
        self.away = False
        self._said = False
        """whether we are away because we said so"""
        self._active_at = now
        self._told_typing: dict[bytes, float] = {}
        """room -> when we told last that we are writing there"""
        self._peers: dict[bytes, bool] = {}
        self._typing: dict[tuple[bytes, bytes], float] = {}
        """(room, person) -> until when they count as writing"""
        self._states: Rate[bytes] = Rate(_STATES_BURST, _STATES_PER_S)
        self._words: Rate[bytes] = Rate(_TYPING_BURST, _TYPING_PER_S)
        self._outputs: deque[Emit] = deque()

    # -- ourselves -----------------------------------------------------------------------------

    def active(self, now: float, *, wrote: bool = False) -> None:
        """Somebody is at a face of ours; `wrote`: a whole line, not just a key."""
        self._active_at = now
        if wrote:
            self._said = False
        self._weigh(now)

    def leave(self, now: float) -> None:
        """Away from now on, until a line is written."""
        self._said = True
        self._weigh(now)

    def write(self, room: bytes, now: float, *, typing: bool) -> None:
        """We are writing in a room, or no more."""
        told = self._told_typing.get(room)
        if not typing:
            if told is not None:
                del self._told_typing[room]
                self._outputs.append(Emit(OwnTyping(room, typing=False)))
        elif told is None or now - told >= _AGAIN_S:
            self._told_typing[room] = now
            self._outputs.append(Emit(OwnTyping(room, typing=True)))

    def _weigh(self, now: float) -> None:
        away = self._said or now - self._active_at >= AWAY_S
        if away != self.away:
            self.away = away
            self._outputs.append(Emit(OwnPresence(away)))

    # -- others --------------------------------------------------------------------------------

    def state(self, person: bytes) -> bool | None:
        """Whether somebody is away; None where they have not said."""
        return self._peers.get(person)

    def says(self, person: bytes, state: int, now: float) -> None:
        """Somebody tells how it is with them. States of the future say nothing."""
        away = {0: False, 1: True}.get(state)
        if away is None or self._peers.get(person) == away:
            return
        if self._states.take(person, now) == 0:
            self._peers[person] = away
            self._outputs.append(Emit(PeerPresence(person, away)))

    def writes(self, room: bytes, person: bytes, now: float, *, typing: bool) -> None:
        """Somebody tells that they are writing, or no more."""
        if not typing:
            self.wrote(room, person)
        elif self._words.take(person, now) == 0:
            new = (room, person) not in self._typing
            self._typing[room, person] = now + TYPING_S
            if new:
                self._outputs.append(Emit(PeerTyping(room, person, typing=True)))

    def wrote(self, room: bytes, person: bytes) -> None:
        """What somebody was writing is there, or given up."""
        if self._typing.pop((room, person), None) is not None:
            self._outputs.append(Emit(PeerTyping(room, person, typing=False)))

    def gone(self, person: bytes) -> None:
        """The last link to somebody has ended."""
        self._peers.pop(person, None)
        for room, other in [key for key in self._typing if key[1] == person]:
            self.wrote(room, other)

    # -- the machine ---------------------------------------------------------------------------

    def handle_timer(self, now: float) -> None:
        self._weigh(now)
        for room, person in [key for key, until in self._typing.items() if until <= now]:
            self.wrote(room, person)
        self._told_typing = {
            room: told for room, told in self._told_typing.items() if now - told < TYPING_S
        }

    def next_timer(self) -> float | None:
        ours = None if self.away else self._active_at + AWAY_S
        theirs = min(self._typing.values(), default=None)
        return min((due for due in (ours, theirs) if due is not None), default=None)

    def outputs(self) -> Iterator[Emit]:
        while self._outputs:
            yield self._outputs.popleft()
