"""What we do for members who are linked with us and not with each other: pass on two envelopes.

We tell one of such a pair that the other is here, pass its offer on, and the answer back. We can
read neither, since both are sealed under a secret of those two; all we could do is not to pass
them. Of each offer on its way we know for a few seconds whom its answer goes to. Nothing is passed
on between people who have no room in common with each other and with us.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from p2pchat.core.bounds import NEAR_MAX
from p2pchat.core.group import Group
from p2pchat.core.identity import Random
from p2pchat.core.wire import Answer, Introduce, Introduced, Introduction, Near
from p2pchat.node.mesh import neighbours
from signaling.rate import Rate

if TYPE_CHECKING:
    from p2pchat.node.session import Session

__all__ = ["Introducer"]

_ANSWER_S = 15.0
"""How long an offer that was passed on is known by its call."""
_CALLS_MAX, _CALLS_EACH_MAX = 1_024, 64
_OFFERS_BURST, _OFFERS_PER_S = 64.0, 2.0
"""Of one link: a newcomer may look for all of two rooms at once, and rarely again."""


class Introducer:
    """`say` sends a frame on a link, without waiting; `linked` are all links, one a person."""

    def __init__(
        self,
        me: Callable[[], bytes],
        groups: Callable[[], Iterable[Group]],
        linked: Callable[[], Iterator["Session"]],
        say: "Callable[[Session, Introduction], None]",
        random: Random,
    ) -> None:
        self._me = me
        self._groups = groups
        self._linked = linked
        self._say = say
        self._random = random
        self._told: dict[Session, set[bytes]] = {}
        """link -> whom it was told of, for as long as both are linked"""
        self._calls: dict[bytes, tuple[Session, bytes, Session]] = {}
        """call, as whom it is for knows it -> whose it is, its name there, whom it is for"""
        self._rate: Rate[bytes] = Rate(_OFFERS_BURST, _OFFERS_PER_S)

    def entered(self, session: "Session") -> None:
        """A link stands: tell of it, and on it, whoever can be introduced."""
        self._told[session] = set()
        for group in self._groups():
            self._pair(group, session)

    def left(self, session: "Session") -> None:
        self._told.pop(session, None)
        if all(other.peer != session.peer for other in self._told):
            for told in self._told.values():
                told.discard(session.peer)
        for call, (origin, _, target) in list(self._calls.items()):
            if target is session:
                # Whoever waits for it can go on at once.
                self._finish(call, None)
            elif origin is session:
                del self._calls[call]

    def followed(self, group: Group) -> None:
        """Members of a room have changed."""
        for session in self._linked():
            self._pair(group, session)

    def pass_on(self, session: "Session", frame: Introduce) -> None:
        """An offer, to a member that both of us know."""
        if self._rate.take(session.transcript, asyncio.get_running_loop().time()) != 0:
            self._say(session, Answer(frame.call, b""))
            return
        target = self._find(session.peer, frame.person)
        if target is None:
            self._say(session, Answer(frame.call, None))
            return
        waiting = sum(origin is session for origin, _, _ in self._calls.values())
        if waiting >= _CALLS_EACH_MAX or len(self._calls) >= _CALLS_MAX:
            self._say(session, Answer(frame.call, b""))
            return
        # A name of our own, so that nobody can answer what was passed to somebody else.
        call = self._random(16)
        self._calls[call] = (session, frame.call, target)
        asyncio.get_running_loop().call_later(_ANSWER_S, self._calls.pop, call, None)
        self._say(target, Introduced(session.peer, call, frame.offer))

    def answered(self, session: "Session", frame: Answer) -> bool:
        """Pass an answer back; False if it is to no offer that went this way."""
        known = self._calls.get(frame.call)
        if known is None or known[2] is not session:
            return False
        self._finish(frame.call, frame.answer)
        return True

    def _finish(self, call: bytes, answer: bytes | None) -> None:
        origin, name, _ = self._calls.pop(call)
        self._say(origin, Answer(name, answer))

    def _find(self, person: bytes, other: bytes) -> "Session | None":
        """The link to `other`, if these two are members of a room of ours."""
        three = (self._me(), person, other)
        if len(set(three)) < len(three) or not any(
            all(one in group.members for one in three) for group in self._groups()
        ):
            return None
        return next((one for one in self._linked() if one.peer == other), None)

    def _pair(self, group: Group, session: "Session") -> None:
        """Tell whoever seeks, of each pair that `session` is one of (the lower person key)."""
        if self._me() not in group.members or session not in self._told:
            return
        near = neighbours(group.members, session.peer)
        found: list[bytes] = []
        for other in self._linked():
            if other is session or other.peer not in near or other not in self._told:
                continue
            if session.peer < other.peer:
                if other.peer not in self._told[session]:
                    self._told[session].add(other.peer)
                    found.append(other.peer)
            elif session.peer not in self._told[other]:
                self._told[other].add(session.peer)
                self._say(other, Near((session.peer,)))
        for start in range(0, len(found), NEAR_MAX):
            self._say(session, Near(tuple(found[start : start + NEAR_MAX])))
