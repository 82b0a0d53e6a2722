"""One link to a proven peer: what is said over it, between its machine and the node.

It knows frames and the order in which they are carried out, not what they mean to the node (`Hub`),
nor how links come about (`peers`).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

from p2pchat.core.chain import Chains, ForkProof
from p2pchat.core.entry import Entry
from p2pchat.core.facts import Contests, Declined, Forked, Load, PeerHas, Progress
from p2pchat.core.handshake import (
    Established,
)
from p2pchat.core.identity import Certificate, Identity, Random, id_text
from p2pchat.core.machine import Output, Send
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
from p2pchat.net.transport import Transport
from p2pchat.node.bodies import Filling
from p2pchat.node.runner import Runner

__all__ = ["Hub", "Session"]

_log = logging.getLogger(__name__)
_TURN_S = 0.025
"""How long frames of one peer are taken in before others have their turn, but for the last one."""
_CUES_MAX = 1_024
"""What waits for a link that is stuck: people make few, and it is dead after ten seconds."""


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

    def weigh(self, room: bytes) -> None:
        """What we have of a room may be less than it was, or count as more."""
        self.reconcile.weigh(room)
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
