"""The carrier `introduced`: to meet a member by way of others that both are linked with.

A member who is linked with somebody whom we seek says so (`Near`); the offer goes by up to three of
them at once, sealed under the secret of us two as on every carrier, and the first answer that opens
is taken. The same offer gets the same answer by whichever of them it comes, so one honest member of
several is enough, and there is one connection whatever their number. A dishonest one can withhold,
and neither read nor forge: the handshake that follows proves both ends of the connection itself.

What is passed on for others is `node/introducer.py`.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from p2pchat.core.group import Group
from p2pchat.core.identity import Random
from p2pchat.core.wire import Answer as AnswerFrame
from p2pchat.core.wire import Introduce, Introduced, Introduction, Near
from p2pchat.node.introducer import Introducer
from p2pchat.node.mesh import Mesh
from signaling.carriers import Answer, Attempt, Offer, Reach
from signaling.envelope import (
    SlotKeys,
    offer_binding,
    open_answer,
    open_offer,
    seal_answer,
    seal_offer,
)
from signaling.rate import Rate
from signaling.rendezvous import Rendezvous
from signaling.sdp import Description

if TYPE_CHECKING:
    from p2pchat.node.peers import Peers
    from p2pchat.node.session import Session

__all__ = ["Introductions", "Way"]

_Outcomes = asyncio.Queue[tuple["Session", bytes | None]]

_log = logging.getLogger(__name__)
_FIRST_S = 0.25
"""The other end may learn of us a moment later than we of it; an offer by a link costs little."""
_ANSWER_S = 8.0
_BY_MAX, _BY_LATER_MAX = 3, 3
"""Members by which one offer goes: enough for one of them to be honest, and alive; and how many of
those that turn up while it is out."""
_OFFERING_MAX = 16
_NEAR_EACH_MAX = 256
"""Persons whom one link names as near; all neighbours in ten rooms of a thousand."""
_FRAMES_BURST, _FRAMES_PER_S = 128.0, 4.0
"""Of one link: who comes into a room of many is told of, and offered to by, all of it."""
_SLOT_BURST, _SLOT_PER_S = 16.0, 0.5
"""Answers to one person; only who has our common secret can make an offer at all."""
_ANSWERED_MAX = 1_024
_UNSAID_MAX = 256
"""Frames that wait for one link; beyond that they are dropped, as by a link that has ended."""


class _Slot:
    """One registration: seeking if it has an `offer`, serving if it has an `answer`."""

    def __init__(
        self,
        owner: "Introductions",
        person: bytes,
        keys: SlotKeys,
        offer: Offer | None,
        answer: Answer | None,
    ) -> None:
        self.person = person
        self.keys = keys
        self.offer = offer
        self.answer = answer
        self.closed = False
        self.way = Rendezvous(_FIRST_S)
        self.wake = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.ask: Callable[[Session], None] | None = None
        """while an offer is out: let it go by this link too"""
        self._owner = owner

    def close(self) -> None:
        self.closed = True
        self.wake.set()
        self._owner.drop(self)

    def retry(self) -> None:
        self.way.retry(asyncio.get_running_loop().time())
        self.wake.set()


class Way:
    """The carrier of one contact."""

    name = "introduced"

    def __init__(self, owner: "Introductions", person: bytes) -> None:
        self._owner = owner
        self._person = person

    def reach(self) -> Reach:
        """How many members there are now that could introduce us."""
        return Reach(self._owner.common_with(self._person))

    def serve(self, slot: SlotKeys, answer: Answer) -> _Slot:
        return self._owner.add(_Slot(self._owner, self._person, slot, None, answer))

    def seek(self, slot: SlotKeys, offer: Offer) -> _Slot:
        return self._owner.add(_Slot(self._owner, self._person, slot, offer, None))


class Introductions:
    """Hears of links and of frames from the node; `to` gives it the carrier of a contact."""

    def __init__(
        self,
        peers: "Peers",
        mesh: Mesh,
        me: Callable[[], bytes],
        tasks: asyncio.TaskGroup,
        random: Random,
        wall: Callable[[], float],
    ) -> None:
        self._tasks = tasks
        self._random = random
        self._wall = wall
        self._introducer = Introducer(me, mesh.groups, peers.sessions, self._say, random)
        self._slots: dict[bytes, _Slot] = {}
        self._near: dict[Session, OrderedDict[bytes, None]] = {}
        self._calls: dict[bytes, tuple[Session, _Outcomes]] = {}
        """an offer of ours by one link -> that link, and where what comes of it is waited for"""
        self._answered: OrderedDict[bytes, asyncio.Task[bytes]] = OrderedDict()
        """binding of an offer -> its answer, sealed"""
        self._unsaid: dict[Session, int] = {}
        self._frames: Rate[bytes] = Rate(_FRAMES_BURST, _FRAMES_PER_S)
        self._answers: Rate[bytes] = Rate(_SLOT_BURST, _SLOT_PER_S)
        self._offering = asyncio.Semaphore(_OFFERING_MAX)

    def common_with(self, person: bytes) -> int:
        """Links to members that say to be linked with `person` as well."""
        return sum(person in near for near in self._near.values())

    def to(self, person: bytes) -> Way:
        return Way(self, person)

    # -- what the node tells -------------------------------------------------------------------

    def entered(self, session: "Session") -> None:
        self._near[session] = OrderedDict()
        self._introducer.entered(session)

    def left(self, session: "Session") -> None:
        self._near.pop(session, None)
        self._introducer.left(session)
        for call, (by, _) in list(self._calls.items()):
            if by is session:
                self._outcome(session, AnswerFrame(call, None))

    def followed(self, group: Group) -> None:
        """Members of a room have changed."""
        self._introducer.followed(group)

    def received(self, session: "Session", frame: Introduction) -> None:
        now = asyncio.get_running_loop().time()
        if isinstance(frame, Introduce):
            self._introducer.pass_on(session, frame)
        elif isinstance(frame, AnswerFrame):
            if not self._introducer.answered(session, frame):
                self._outcome(session, frame)
        elif self._frames.take(session.transcript, now) != 0:
            _log.debug("too many introductions by one link")
        elif isinstance(frame, Near):
            self._told(session, frame, now)
        elif isinstance(frame, Introduced):
            self._answer(session, frame, now)

    # -- slots ---------------------------------------------------------------------------------

    def add(self, slot: _Slot) -> _Slot:
        self._slots[slot.person] = slot
        if any(slot.person in near for near in self._near.values()):
            self._found(slot, asyncio.get_running_loop().time())
        return slot

    def drop(self, slot: _Slot) -> None:
        if self._slots.get(slot.person) is slot:
            del self._slots[slot.person]
        if slot.task is not None:
            slot.task.cancel()

    # -- seeking -------------------------------------------------------------------------------

    def _told(self, session: "Session", frame: Near, now: float) -> None:
        near = self._near.get(session)
        if near is None:
            return
        for person in frame.persons:
            # Kept whether sought or not: a link may tell of somebody whose admission we lack yet.
            near[person] = None
            near.move_to_end(person)
            if len(near) > _NEAR_EACH_MAX:
                near.popitem(last=False)
            slot = self._slots.get(person)
            if slot is not None and slot.offer is not None:
                self._found(slot, now)
                if slot.ask is not None:
                    slot.ask(session)

    def _found(self, slot: _Slot, now: float) -> None:
        if slot.offer is None:
            return
        slot.way.found(now)
        slot.wake.set()
        if slot.task is None:
            slot.task = self._tasks.create_task(self._pursue(slot))

    async def _pursue(self, slot: _Slot) -> None:
        """Offer whenever it is due and somebody is there to offer by, until the slot is closed."""
        loop = asyncio.get_running_loop()
        while not slot.closed:
            by = [one for one, near in self._near.items() if slot.person in near]
            if by and slot.way.due(loop.time()):
                try:
                    async with self._offering:
                        await self._offer(slot, by)
                except Exception:  # noqa: BLE001  (a task's edge: one contact must not end others)
                    _log.exception("seeking an introduction")
                slot.way.failed(loop.time(), self._random(1)[0] / 256)
                continue
            slot.wake.clear()
            try:
                async with asyncio.timeout_at(slot.way.next_timer() if by else None):
                    await slot.wake.wait()
            except TimeoutError:
                continue

    async def _offer(self, slot: _Slot, by: "Sequence[Session]") -> None:
        assert slot.offer is not None
        now = asyncio.get_running_loop().time
        attempt = await slot.offer()
        if attempt is None:
            slot.way.unwanted(now())
            return
        accepted = False
        try:
            chosen = sorted(by, key=lambda _: self._random(4))[:_BY_MAX]
            answer = await self._ask(slot, attempt, chosen)
            if answer is not None:
                await attempt.accept(answer)
                accepted = True
                slot.way.answered(now())
        finally:
            if not accepted:
                await attempt.abandon()

    async def _ask(
        self, slot: _Slot, attempt: Attempt, by: "Sequence[Session]"
    ) -> Description | None:
        envelope = seal_offer(slot.keys, attempt.description, self._wall(), self._random)
        outcomes: _Outcomes = asyncio.Queue()
        calls: dict[bytes, Session] = {}
        out = 0

        def ask(session: "Session") -> None:
            nonlocal out
            if len(calls) < _BY_MAX + _BY_LATER_MAX and session not in calls.values():
                call = self._random(16)
                calls[call], self._calls[call] = session, (session, outcomes)
                out += 1
                self._say(session, Introduce(slot.person, call, envelope))

        for session in by:
            ask(session)
        slot.ask = ask
        try:
            async with asyncio.timeout(_ANSWER_S):
                while out:
                    session, data = await outcomes.get()
                    out -= 1
                    if data is None:
                        # Not here any more; we are told when it is again.
                        self._near.get(session, OrderedDict()).pop(slot.person, None)
                    elif data:
                        answer = open_answer(slot.keys, data, offer_binding(envelope))
                        if answer is not None:
                            return answer
                        _log.info("an introduction that was tampered with")
        except TimeoutError:
            _log.debug("no answer to an introduction")
        finally:
            slot.ask = None
            for call in calls:
                self._calls.pop(call, None)
        return None

    def _outcome(self, session: "Session", frame: AnswerFrame) -> None:
        by, outcomes = self._calls.get(frame.call, (None, None))
        if by is session and outcomes is not None:
            del self._calls[frame.call]
            outcomes.put_nowait((session, frame.answer))

    # -- serving -------------------------------------------------------------------------------

    def _answer(self, session: "Session", frame: Introduced, now: float) -> None:
        slot = self._slots.get(frame.person)
        offer = None
        if slot is not None and slot.answer is not None:
            offer = open_offer(slot.keys, frame.offer)
        if slot is None or offer is None:
            self._say(session, AnswerFrame(frame.call, b""))
            return
        binding = offer_binding(frame.offer)
        answering = self._answered.get(binding)
        if answering is None:
            if self._answers.take(slot.person, now) != 0:
                self._say(session, AnswerFrame(frame.call, b""))
                return
            answering = self._tasks.create_task(self._sealed_answer(slot, offer, binding))
            # Kept: an offer that comes by another member, or again much later, makes no second
            # connection.
            self._answered[binding] = answering
            if len(self._answered) > _ANSWERED_MAX:
                self._answered.popitem(last=False)

        def done(task: "asyncio.Task[bytes]") -> None:
            if not task.cancelled():
                self._say(session, AnswerFrame(frame.call, task.result()))

        answering.add_done_callback(done)

    async def _sealed_answer(self, slot: _Slot, offer: Description, binding: bytes) -> bytes:
        assert slot.answer is not None
        try:
            answer = await slot.answer(offer)
        except Exception:  # noqa: BLE001  (a task's edge)
            _log.exception("answering an introduction")
            return b""
        if answer is None or slot.closed:
            return b""
        return seal_answer(slot.keys, answer, binding, self._wall(), self._random)

    # -- frames --------------------------------------------------------------------------------

    def _say(self, session: "Session", frame: Introduction) -> None:
        """Send without waiting: whoever is slow must not hold up whoever asked."""
        waiting = self._unsaid.get(session, 0)
        if waiting < _UNSAID_MAX:
            self._unsaid[session] = waiting + 1
            self._tasks.create_task(self._send(session, frame))

    async def _send(self, session: "Session", frame: Introduction) -> None:
        try:
            await session.send(frame)
        finally:
            self._unsaid[session] -= 1
            if not self._unsaid[session]:
                del self._unsaid[session]
