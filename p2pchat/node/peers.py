"""Links to people: from an open transport to a proven peer, and what is said over it.

A `Session` is one link after its handshake. `Peers` owns all sessions, the carriers' registrations
that bring contacts back together, and the rule that a link is never doubled: when two links to one
person stand, the side with the lower person key closes the older.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from p2pchat.core.chain import Chains, ForkProof
from p2pchat.core.entry import Entry
from p2pchat.core.facts import Contests, Declined, Forked, Load, PeerHas, Progress
from p2pchat.core.handshake import (
    Established,
    Guess,
    Handshake,
    Proven,
    Refused,
    Terms,
    WrongPassword,
)
from p2pchat.core.identity import Certificate, Identity, Random, derive, id_text
from p2pchat.core.machine import Close, Output, Send
from p2pchat.core.pushing import pushed_together
from p2pchat.core.reconcile import Reconcile
from p2pchat.core.wire import (
    Answer,
    BadFrame,
    Bodies,
    Bye,
    Cue,
    Denied,
    Introduce,
    Introduced,
    Introduction,
    Lacking,
    Near,
    Pending,
    Presence,
    Seen,
    Signal,
    SignedAct,
    Swarm,
    Typing,
    Welcome,
)
from p2pchat.core.wire import decode as decode_frame
from p2pchat.core.wire import encode as encode_frame
from p2pchat.net.link import Link, LinkClosed
from p2pchat.net.transport import ConnectFailed, Settings, Transport
from p2pchat.node.bodies import Filling
from p2pchat.node.password import Password
from p2pchat.node.runner import Runner
from signaling.carriers import Carrier, Registration
from signaling.envelope import SlotKeys
from signaling.sdp import Description

__all__ = ["Hub", "LinkRefused", "Peers", "Purpose", "Session", "contact_psk", "contact_slot"]

_log = logging.getLogger(__name__)
_CONNECT_S = 20.0
"""From an answer to open channels: ICE over a lossy path takes a few seconds, rarely ten."""
_DELAYS_S = {"dht": 60.0}
"""What an answer takes to get there, by carrier; others are at once."""
_HALF_OPEN_MAX = 64
"""Links between answer and proof; each costs a socket and a DTLS context."""
_TURN_S = 0.025
"""How long frames of one peer are taken in before others have their turn, but for the last one."""
_CUES_MAX = 1_024
"""What waits for a link that is stuck: people make few, and it is dead after ten seconds."""


class LinkRefused(Exception):
    """The link came up and was refused, by either side. `code` is one of `wire.REFUSALS`.

    `left`: with `password-wrong` at the guest, how many tries are left by the host's word.
    """

    def __init__(self, code: str, left: int = 0) -> None:
        super().__init__(code)
        self.code = code
        self.left = left


@dataclass(frozen=True, slots=True)
class Purpose:
    """Why a link is made. `admit` puts a proven peer on disk, and answers a refusal code or None.

    `settled` hears once how the link ended up: the session, or the exception that ended it;
    `answered`, before, that there is an answer to our offer.
    """

    role: str
    psk: bytes
    expected: bytes | None
    via: str
    admit: Callable[[Proven], Awaitable[str | None]]
    settled: Callable[["Session | Exception"], None]
    password: Password | None = None
    answered: Callable[[], None] = lambda: None


class Hub(Protocol):
    """What sessions need of the node."""

    @property
    def identity(self) -> Identity: ...
    @property
    def filling(self) -> Filling: ...
    def rooms_with(self, person: bytes) -> list[Chains]: ...
    def refuses(self, person: bytes) -> bool: ...
    async def commit(self, records: Sequence[object], source: "Session") -> None: ...
    async def load_run(self, want: Load) -> list[Entry]: ...
    async def peer_has(self, session: "Session", fact: PeerHas) -> None: ...
    def progressed(self, session: "Session", fact: Progress) -> None: ...
    async def forked(self, session: "Session", fact: Forked) -> None: ...
    async def signalled(self, session: "Session", frame: Signal | Swarm) -> None: ...
    async def contested(self, session: "Session", fact: Contests) -> None: ...
    async def declined(self, session: "Session", fact: Declined) -> None: ...
    async def invited(self, session: "Session", frame: Welcome | Pending | Denied) -> None: ...
    def introduced(self, session: "Session", frame: Introduction) -> None: ...
    def cued(self, session: "Session", frame: Cue) -> None: ...
    async def entered(self, session: "Session") -> None: ...
    async def left(self, session: "Session", reason: str) -> None: ...


class Session:
    """One proven link. `peer` is the person's key; `transcript` names the link on both ends."""

    def __init__(
        self,
        hub: Hub,
        link: Link,
        transport: Transport,
        established: Established,
        via: str,
        random: Random,
    ) -> None:
        self.certificate: Certificate = established.certificate
        self.transcript = established.transcript
        self.via = via
        self.path = transport.path
        self.same_host = transport.same_host
        self.local_address = transport.local_address
        self.lower = hub.identity.person < established.certificate.person
        self.reconcile = Reconcile(self.transcript, random, asyncio.get_running_loop().time())
        self._hub = hub
        self._link = link
        self._runner = Runner(link, self._outputs, self._commit, self._tell)
        self._pushes: dict[bytes, list[Entry]] = {}
        """chain -> new entries that wait for the runner: what comes meanwhile shares their frame"""
        self.asked: set[bytes] = set()
        """entries whose bodies the peer was asked for"""
        self._cues: deque[Cue] = deque(maxlen=_CUES_MAX)

    @property
    def peer(self) -> bytes:
        return self.certificate.person

    @property
    def name(self) -> str:
        return self.certificate.safe_name()

    @property
    def doubtful(self) -> bool:
        """Whether the peer has not been heard for a while: another link may be made beside it."""
        return self._link.doubtful

    def doubt(self) -> None:
        self._link.doubt()

    def share(self, chains: Chains) -> None:
        """The peer is a member of this room."""
        self.reconcile.share(chains)
        self._runner.wake()

    def push(self, room: bytes, entries: Sequence[Entry]) -> None:
        """These entries of one chain of `room` are on our disk."""
        self._pushes.setdefault(entries[0].chain, []).extend(entries)
        self._runner.wake()

    def cue(self, frame: Cue) -> None:
        """Tell how it is with us; lost with the link."""
        self._cues.append(frame)
        self._runner.wake()

    def _outputs(self) -> Iterator[Output]:
        while self._cues:
            yield Send(encode_frame(self._cues.popleft()))
        pushes, self._pushes = self._pushes, {}
        for entries in pushes.values():
            for part in pushed_together(entries):
                self.reconcile.push(part[0].header.room, part)
        yield from self.reconcile.outputs()

    def part(self, chains: Chains) -> None:
        """The peer is no member of this room any more."""
        self.reconcile.close(chains)
        self._runner.wake()

    def drop(self, room: bytes) -> None:
        """We do not have this room any more."""
        self.reconcile.drop(room)
        self._runner.wake()

    def contest(self, room: bytes, acts: Sequence[SignedAct]) -> None:
        """Show acts of membership that stand in no chain that the peer takes."""
        self.reconcile.contest(room, acts)
        self._runner.wake()

    def compare(self, room: bytes) -> None:
        self.reconcile.compare(room)
        self._runner.wake()

    def prove(self, room: bytes, proof: ForkProof) -> None:
        """Tell of a fork."""
        self.reconcile.prove(room, proof)
        self._runner.wake()

    async def send(self, frame: Signal | Swarm | Welcome | Pending | Denied | Introduction) -> None:
        """Best effort: a link that just died takes the frame with it."""
        try:
            await self._link.send(encode_frame(frame))
        except LinkClosed:
            _log.debug("signal lost with its link")

    def tag(self, room: bytes) -> bytes | None:
        """What a room is called on this link; None if it is not shared on it."""
        return self.reconcile.tag(room)

    def room(self, tag: bytes) -> bytes | None:
        """The room that the peer calls so."""
        return self.reconcile.room(tag)

    async def send_bulk(self, frame: Lacking | Bodies) -> None:
        """Best effort, and behind what is urgent."""
        try:
            await self._link.send(encode_frame(frame), bulk=True)
        except LinkClosed:
            _log.debug("bodies lost with their link")

    async def close(self, code: str) -> None:
        """Say why, then end the link."""
        try:
            async with asyncio.timeout(1):
                await self._link.send(encode_frame(Bye(code)))
        except (TimeoutError, LinkClosed):
            _log.debug("link gone before goodbye")
        await self._link.close(code)

    async def run(self) -> str:
        """Until the link ends; answers why."""
        for chains in self._hub.rooms_with(self.peer):
            self.reconcile.share(chains)
        async with asyncio.TaskGroup() as tasks:
            driving = tasks.create_task(self._drive())
            try:
                return await self._read()
            except LinkClosed as closed:
                return closed.reason
            finally:
                driving.cancel()
                self.reconcile.end()

    async def _drive(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await self._runner.flush()
            await self._runner.run(
                self.reconcile.next_timer, lambda: self.reconcile.handle_timer(loop.time())
            )
        except* LinkClosed:
            _log.debug("link closed while writing")

    async def _read(self) -> str:
        loop = asyncio.get_running_loop()
        while True:
            data: bytes | None = await self._link.receive()
            due, until = self.reconcile.next_timer(), loop.time() + _TURN_S
            while data is not None:
                try:
                    frame = decode_frame(data)
                except BadFrame as bad:
                    _log.info("bad frame", extra={"peer": id_text(self.peer), "why": str(bad)})
                    await self.close("bad-frame")
                    return "bad-frame"
                match frame:
                    case Welcome() | Pending() | Denied():
                        await self._hub.invited(self, frame)
                    case Signal() | Swarm():
                        await self._hub.signalled(self, frame)
                    case Lacking() | Bodies():
                        await self._hub.filling.received(self, frame)
                    case Near() | Introduce() | Introduced() | Answer():
                        self._hub.introduced(self, frame)
                    case Presence() | Typing() | Seen():
                        self._hub.cued(self, frame)
                    case Bye(code):
                        await self._link.close(code)
                        return code
                    case None:
                        pass
                    case _:
                        self.reconcile.receive(frame)
                data = self._link.receive_nowait() if loop.time() < until else None
            await self._runner.flush()
            if loop.time() >= until:
                # Nothing above has to wait, and others are served too.
                await asyncio.sleep(0)
            if self.reconcile.next_timer() != due:
                self._runner.wake()

    async def _commit(self, records: list[object]) -> None:
        await self._hub.commit(records, self)

    async def _tell(self, fact: object) -> None:
        match fact:
            case Load():
                self.reconcile.loaded(fact, await self._hub.load_run(fact))
            case PeerHas():
                await self._hub.peer_has(self, fact)
            case Progress():
                self._hub.progressed(self, fact)
                if fact.level:
                    await self._hub.filling.ask(self, fact.room)
            case Forked():
                await self._hub.forked(self, fact)
            case Contests():
                await self._hub.contested(self, fact)
            case Declined():
                await self._hub.declined(self, fact)


class Peers:
    """All sessions, and the ways to new ones."""

    def __init__(
        self,
        hub: Hub,
        tasks: asyncio.TaskGroup,
        carriers: Sequence[Carrier],
        settings: Settings,
        random: Random,
    ) -> None:
        self._hub = hub
        self._tasks = tasks
        self.carriers = carriers
        self.settings = settings
        # Neighbours need no server to see each other, and a dead one would cost them time.
        self._near = replace(settings, stun=(), turn=())
        self._random = random
        self._sessions: dict[bytes, list[Session]] = {}
        self._registrations: dict[bytes, list[Registration]] = {}
        self._half_open = 0
        self.beside: Callable[[bytes], Sequence[Carrier]] = lambda person: ()
        """Carriers by which this contact may be found, beside those for all."""

    def session(self, person: bytes) -> Session | None:
        """The newest link to a person."""
        sessions = self._sessions.get(person)
        return sessions[-1] if sessions else None

    def refuses(self, person: bytes) -> bool:
        """Whether no link to this person is wanted."""
        return self._hub.refuses(person)

    def sessions(self) -> Iterator[Session]:
        """One for each person that is linked."""
        return iter([sessions[-1] for sessions in self._sessions.values()])

    # -- slots ---------------------------------------------------------------------------------

    def contact(self, person: bytes, secret: bytes) -> None:
        """Be reachable for a contact, or look for it: the lower person key seeks."""
        self.forget(person)
        slot = SlotKeys.derive(contact_slot(secret))
        lower = self._hub.identity.person < person

        async def admit(proven: Proven) -> str | None:
            del proven
            return None

        def settled(outcome: "Session | Exception") -> None:
            if isinstance(outcome, Exception):
                _log.info("contact not linked", extra={"why": str(outcome)})
            if isinstance(outcome, ConnectFailed):
                # It answered, so it is there; the attempt itself took long enough to be no rush.
                for registration in self._registrations.get(person, []):
                    registration.retry()

        def purpose(via: str) -> Purpose:
            role = "a" if lower else "b"
            return Purpose(role, contact_psk(secret), person, via, admit, settled)

        also = self.beside(person)
        self._registrations[person] = (
            self.seek(slot, purpose, wanted=lambda: self._wanted(person), also=also)
            if lower
            else self.serve(slot, purpose, also=also)
        )

    def _wanted(self, person: bytes) -> bool:
        session = self.session(person)
        return session is None or session.doubtful

    def retry(self, person: bytes | None = None) -> None:
        """Look again at once for somebody, or (None) for all who are not linked."""
        for one in [person] if person is not None else list(self._registrations):
            if self._wanted(one):
                for registration in self._registrations.get(one, []):
                    registration.retry()

    def meet(
        self, secret: bytes, person: bytes | None, met: Callable[[Proven], Awaitable[None]]
    ) -> list[Registration]:
        """Find whoever else has `secret`: look for `person`, or (None) wait for anybody.

        `met` puts whoever it is on disk, before the link is told that it stands.
        """
        slot = SlotKeys.derive(contact_slot(secret))

        async def admit(proven: Proven) -> str | None:
            await met(proven)
            return None

        def settled(outcome: "Session | Exception") -> None:
            if isinstance(outcome, Exception):
                _log.info("nobody met", extra={"why": str(outcome)})

        def purpose(via: str) -> Purpose:
            role = "b" if person is None else "a"
            return Purpose(role, contact_psk(secret), person, via, admit, settled)

        if person is None:
            return self.serve(slot, purpose)
        return self.seek(slot, purpose, wanted=lambda: self.session(person) is None)

    def forget(self, person: bytes) -> None:
        for registration in self._registrations.pop(person, []):
            registration.close()

    async def drop(self, person: bytes) -> None:
        """End all links to a person, and be reachable for it no more."""
        self.forget(person)
        for session in list(self._sessions.get(person, [])):
            await session.close("bye")

    def seek(
        self,
        slot: SlotKeys,
        purpose: Callable[[str], Purpose],
        wanted: Callable[[], bool],
        also: Sequence[Carrier] = (),
    ) -> list[Registration]:
        """Offer to whoever serves the slot, over every carrier and `also`, as long as `wanted`."""

        def offer_over(name: str) -> Callable[[], Awaitable["_Offer | None"]]:
            async def offer() -> "_Offer | None":
                if not wanted() or self._half_open >= _HALF_OPEN_MAX:
                    return None
                transport = await Transport.offering(self._settings_for(name))
                # Some carriers bring the answer late.
                self._tasks.create_task(transport.keep_alive())
                return _Offer(self, transport, purpose(name))

            return offer

        carriers = [*self.carriers, *also]
        return [carrier.seek(slot, offer_over(carrier.name)) for carrier in carriers]

    def serve(
        self, slot: SlotKeys, purpose: Callable[[str], Purpose], also: Sequence[Carrier] = ()
    ) -> list[Registration]:
        """Answer whoever seeks in the slot, over every carrier and `also`."""

        def answer_over(name: str) -> Callable[[Description], Awaitable[Description | None]]:
            async def answer(offer: Description) -> Description | None:
                return await self.answer(offer, purpose(name))

            return answer

        carriers = [*self.carriers, *also]
        return [carrier.serve(slot, answer_over(carrier.name)) for carrier in carriers]

    async def answer(self, offer: Description, purpose: Purpose) -> Description | None:
        """Answer an offer; the link comes up by itself. None where too many are half open."""
        if self._half_open >= _HALF_OPEN_MAX:
            return None
        try:
            transport = await Transport.answering(self._settings_for(purpose.via), offer)
        except ConnectFailed as failed:
            _log.info("offer not answered", extra={"why": str(failed)})
            return None
        self.begin(transport, purpose, _CONNECT_S + _DELAYS_S.get(purpose.via, 0.0))
        return transport.description

    def _settings_for(self, via: str) -> Settings:
        return self._near if via == "lan" else self.settings

    # -- links ---------------------------------------------------------------------------------

    def begin(self, transport: Transport, purpose: Purpose, timeout_s: float = _CONNECT_S) -> None:
        """Bring a transport, whose descriptions are exchanged, to a session, and run it."""
        self._tasks.create_task(self._run(transport, purpose, timeout_s))

    async def _run(self, transport: Transport, purpose: Purpose, timeout_s: float) -> None:
        self._half_open += 1
        proven = False
        try:
            await transport.opened(timeout_s)
            link = Link(transport)
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(link.run())
                try:
                    established = await self._shake_hands(link, transport, purpose)
                    self._half_open -= 1
                    proven = True
                    await self._live(link, transport, established, purpose)
                finally:
                    await link.close("bye")
                    running.cancel()
        except* (ConnectFailed, LinkRefused, LinkClosed) as group:
            failure = _first(group)
            _log.info("link failed", extra={"via": purpose.via, "why": str(failure)})
            if not proven:
                purpose.settled(failure)
        except* Exception as group:  # noqa: BLE001  (a task's edge: one link must not end others)
            _log.exception("link ended by a fault of ours", extra={"via": purpose.via})
            if not proven:
                purpose.settled(_first(group))
        finally:
            if not proven:
                self._half_open -= 1
            await transport.aclose()

    async def _shake_hands(self, link: Link, transport: Transport, purpose: Purpose) -> Established:
        own, peer = transport.fingerprints
        loop = asyncio.get_running_loop()
        terms = Terms(
            "a" if purpose.role == "a" else "b",
            purpose.psk,
            own,
            peer,
            transport.exporter,
            purpose.expected,
            purpose.password.key if purpose.password else None,
        )
        machine = Handshake(self._hub.identity, terms, self._random, loop.time())
        outcome: Established | None = None
        said, left = "bye", 0

        async def tell(fact: object) -> None:
            nonlocal outcome, said, left
            match fact:
                case Guess():
                    assert purpose.password is not None
                    allowed = await purpose.password.begin()
                    if isinstance(allowed, int):
                        machine.guess(allowed)
                    else:
                        machine.refuse(allowed)
                case WrongPassword():
                    assert purpose.password is not None
                    purpose.password.wrong(fact.left)
                case Proven():
                    # An invite that a blocked person found is for them one that was taken back.
                    code: str | None = "not-expected" if purpose.expected else "invite-withdrawn"
                    if not self._hub.refuses(fact.certificate.person):
                        code = await purpose.admit(fact)
                    if code is None:
                        machine.admit()
                    else:
                        machine.refuse(code)
                case Established():
                    outcome = fact
                case Refused():
                    said, left = fact.code, fact.left

        async def commit(records: list[object]) -> None:
            assert not records, "the handshake persists through `admit`"

        def outputs() -> Iterator[Output]:
            nonlocal said
            for output in machine.outputs():
                if isinstance(output, Close) and said == "bye":
                    said = output.code
                yield output

        runner = Runner(link, outputs, commit, tell)
        await runner.flush()
        while outcome is None:
            if runner.closed:
                raise LinkRefused(said, left)
            try:
                async with asyncio.timeout_at(machine.next_timer()):
                    frame = await link.receive()
            except TimeoutError:
                machine.handle_timer(loop.time())
            except LinkClosed as closed:
                raise LinkRefused(said if said != "bye" else closed.reason, left) from closed
            else:
                machine.receive(frame, loop.time())
            await runner.flush()
        return outcome

    async def _live(
        self, link: Link, transport: Transport, established: Established, purpose: Purpose
    ) -> None:
        session = Session(self._hub, link, transport, established, purpose.via, self._random)
        if self._hub.refuses(session.peer):
            # Blocked while hands were shaken.
            purpose.settled(LinkRefused("bye"))
            return
        standing = self._sessions.setdefault(session.peer, [])
        standing.append(session)
        link.on_doubt = lambda: self.retry(session.peer)
        reason = "bye"
        try:
            if len(standing) > 1 and self._hub.identity.person < session.peer:
                for older in standing[:-1]:
                    # Beside: where it is dead, its goodbye takes a second and more.
                    self._tasks.create_task(older.close("superseded"))
            await self._hub.entered(session)
            purpose.settled(session)
            reason = await session.run()
        finally:
            standing.remove(session)
            if not standing:
                self._sessions.pop(session.peer, None)
            await self._hub.left(session, reason)
            self.retry(session.peer)

    async def close(self) -> None:
        """Say goodbye on every link."""
        for registrations in self._registrations.values():
            for registration in registrations:
                registration.close()
        self._registrations.clear()
        # All at once: each waits for its peer to hear it.
        async with asyncio.TaskGroup() as tasks:
            for sessions in list(self._sessions.values()):
                for session in list(sessions):
                    tasks.create_task(session.close("bye"))


class _Offer:
    """One offer of ours on a carrier (`signaling.carriers.Attempt`)."""

    def __init__(self, peers: Peers, transport: Transport, purpose: Purpose) -> None:
        self._peers = peers
        self._transport = transport
        self._purpose = purpose

    @property
    def description(self) -> Description:
        return self._transport.description

    async def accept(self, answer: Description) -> None:
        self._purpose.answered()
        await self._transport.accept(answer)
        self._peers.begin(self._transport, self._purpose)

    async def abandon(self) -> None:
        await self._transport.aclose()


def contact_slot(secret: bytes) -> bytes:
    """The rendezvous secret of two contacts (docs/protocol.md, 2)."""
    return derive(secret, b"p2pchat/1/rendezvous")


def contact_psk(secret: bytes) -> bytes:
    return derive(secret, b"p2pchat/1/contact/psk")


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    """The first plain exception in a group of groups."""
    for inner in group.exceptions:
        return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
    raise AssertionError("an exception group is never empty")
