"""Links to people: from an open transport to a proven peer.

`Peers` owns all sessions, the carriers' registrations that bring contacts back together, and the
rule that a link is never doubled: when two links to one person stand, the side with the lower
person key closes the older.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from p2pchat.core.handshake import (
    Established,
    Guess,
    Handshake,
    Proven,
    Refused,
    Terms,
    WrongPassword,
)
from p2pchat.core.identity import Random, derive
from p2pchat.core.machine import Close, Output
from p2pchat.net.link import Link, LinkClosed
from p2pchat.net.transport import ConnectFailed, Settings, Transport
from p2pchat.node.password import Password
from p2pchat.node.runner import Runner
from p2pchat.node.session import Hub, Session
from signaling.carriers import Carrier, Registration
from signaling.envelope import SlotKeys
from signaling.sdp import Description

__all__ = ["LinkRefused", "Peers", "Purpose", "contact_psk", "contact_slot"]

_log = logging.getLogger(__name__)
_CONNECT_S = 20.0
"""From an answer to open channels: ICE over a lossy path takes a few seconds, rarely ten."""
_DELAYS_S = {"dht": 60.0}
"""What an answer takes to get there, by carrier; others are at once."""
_HALF_OPEN_MAX = 64
"""Links between answer and proof; each costs a socket and a DTLS context."""


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
