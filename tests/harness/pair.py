"""Machines of the core against each other, with no I/O."""

import itertools
from collections import deque
from collections.abc import Callable, Sequence

from p2pchat.core.chain import Accepted, Branch, Chains, ForkProof
from p2pchat.core.entry import DEVICE, EPOCH, MESSAGE, Entry, MessageBody, chain_id
from p2pchat.core.facts import Append, Load
from p2pchat.core.handshake import Established, Guess, Handshake, Proven, Refused, Terms
from p2pchat.core.identity import Identity, direct_room
from p2pchat.core.machine import Close, Emit, Persist, Send
from p2pchat.core.reconcile import Reconcile
from p2pchat.core.sealing import seal_epoch
from p2pchat.core.wire import decode
from p2pchat.net.channel import FRAME_MAX, LIVE_MAX

__all__ = ["START", "Journal", "Meeting", "Shake", "Slow", "forks", "journals", "random_from"]

START = 1_800_000_000_000 << 16


def random_from(seed: int) -> Callable[[int], bytes]:
    """Random bytes that are the same in every run."""
    import random

    return random.Random(seed).randbytes


class Journal:
    """One person's side of a room of two, entries and all."""

    def __init__(self, identity: Identity, members: Sequence[bytes], seed: int) -> None:
        self.identity = identity
        self.random = random_from(seed)
        self.incarnation = self.random(8)
        self.chains = Chains(direct_room(*members), frozenset(members))
        self.entries: dict[bytes, list[Entry]] = {}
        self._times = itertools.count(START + seed, 1 << 16)

    @property
    def own(self) -> bytes:
        return chain_id(self.chains.room, self.identity.device, self.incarnation)

    def begin(self, others: Sequence[Identity]) -> list[Entry]:
        """The device entry and an epoch."""
        certificate = self.identity.certificate
        first = self._write(DEVICE, certificate, b"")
        self.chains.certify(certificate)
        key = self.random(32)
        members = [certificate, *(other.certificate for other in others)]
        epoch, body = seal_epoch(self.chains.room, key, members, [])
        second = self._write(EPOCH, body, epoch)
        self.chains.epochs[epoch] = key
        return [first, second]

    def say(self, text: str, *, kept: bool = True) -> Entry:
        """`kept`: on disk at once, else only when it is handed to `keep`."""
        epoch = self.chains.writing_epoch()
        assert epoch is not None
        return self._write(MESSAGE, MessageBody(text), epoch, kept=kept)

    def _write(self, kind: int, body: object, epoch: bytes, *, kept: bool = True) -> Entry:
        entry = self.chains.write(
            self.identity,
            self.incarnation,
            time=next(self._times),
            kind=kind,
            body=body,  # type: ignore[arg-type]
            random=self.random,
            epoch=epoch,
        )
        if kept:
            self.keep([entry])
        return entry

    def keep(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            kept = self.entries.setdefault(entry.chain, [])
            assert len(kept) == entry.header.seq
            kept.append(entry)

    def take(self, entries: Sequence[Entry]) -> object:
        """Accept a run as it comes off the wire."""
        signature = entries[-1].signature
        assert signature is not None
        result = self.chains.accept(
            [entry.raw for entry in entries], [entry.body for entry in entries], signature
        )
        if isinstance(result, Accepted):
            self.keep(result.entries)
            for entry in result.entries:
                self.chains.open_epochs(entry, self.identity)
        return result

    def run(self, load: Load, most: int = 7) -> list[Entry]:
        kept = self.entries.get(load.chain, [])[load.first : load.last + 1][:most]
        while kept and kept[-1].signature is None:
            kept.pop()
        return kept

    def texts(self) -> list[str]:
        found = [self.chains.read(entry) for chain in self.entries.values() for entry in chain]
        return sorted(body.text for body in found if isinstance(body, MessageBody))


def journals(ann_says: int, bob_says: int) -> tuple[Journal, Journal]:
    """Ann's and Bob's of their room, each with what its owner said."""
    ann, bob = (Identity.create(name, random_from(ord(name[0]))) for name in ("Ann", "Bob"))
    members = (ann.person, bob.person)
    sides = Journal(ann, members, 1), Journal(bob, members, 2)
    for side, other, count in ((sides[0], bob, ann_says), (sides[1], ann, bob_says)):
        if count:
            side.begin([other])
            for number in range(count):
                side.say(f"{side.identity.certificate.name} {number}")
    return sides


def forks(
    chains: Chains, identity: Identity, count: int, seed: int, after: tuple[bytes, ...] = ()
) -> list[ForkProof]:
    """Proofs that as many logs of `identity` are forked at once, none of which anybody holds."""
    random, found = random_from(seed), []
    for _ in range(count):
        incarnation, branches = random(8), []
        for time in (START, START + 1):
            entry = chains.write(
                identity,
                incarnation,
                time=time,
                kind=DEVICE,
                body=identity.certificate,
                random=random,
                after=after,
            )
            del chains.heads[entry.chain]
            branches.append(Branch((entry.raw,), entry.signature or b""))
        found.append(ForkProof(*branches))
    return found


class Meeting:
    """A link between two journals; `step` carries one frame, so it can be cut anywhere."""

    def __init__(self, one: Journal, other: Journal, transcript: bytes = bytes(32)) -> None:
        self.sides = (one, other)
        self.machines = tuple(Reconcile(transcript, side.random, 0.0) for side in self.sides)
        self.wires: tuple[deque[bytes], deque[bytes]] = (deque(), deque())
        self.closed: list[str] = []
        self.outstanding = [0, 0]
        self.bytes = 0
        for side, machine in zip(self.sides, self.machines, strict=True):
            machine.share(side.chains)
        self.drain()

    def drain(self) -> None:
        busy = True
        while busy:
            busy = False
            for index, machine in enumerate(self.machines):
                for output in list(machine.outputs()):
                    busy = True
                    match output:
                        case Persist(Append(_, entries)):
                            self.sides[index].keep(entries)
                            for entry in entries:
                                side = self.sides[index]
                                side.chains.open_epochs(entry, side.identity)
                        case Send(frame, bulk):
                            # No channel takes more.
                            assert len(frame) <= (FRAME_MAX if bulk else LIVE_MAX)
                            self.bytes += len(frame)
                            self.wire(index, bulk=bulk).append(frame)
                        case Emit(Load() as load):
                            self.load(index, load)
                        case Close(code):
                            self.closed.append(code)

    def wire(self, index: int, *, bulk: bool) -> deque[bytes]:
        """On what side `index` sends its next frame."""
        del bulk
        return self.wires[index]

    def load(self, index: int, load: Load) -> None:
        """Side `index` wants to send what is on its disk."""
        self.machines[index].loaded(load, self.sides[index].run(load))

    def push(self, index: int, *entries: Entry) -> None:
        self.machines[index].push(self.sides[index].chains.room, entries)
        self.drain()

    def step(self, index: int) -> bool:
        """Deliver the oldest frame that side `index` has sent."""
        if not self.wires[index]:
            return False
        frame = decode(self.wires[index].popleft())
        self.machines[1 - index].receive(frame)  # type: ignore[arg-type]
        self.drain()
        return True

    def settle(self, most: int = 10_000) -> None:
        for _ in range(most):
            if not (self.step(0) | self.step(1)):
                return
        raise AssertionError("they never come to rest")


class Slow(Meeting):
    """A link whose two channels, and both disks, take their own time."""

    def __init__(self, one: Journal, other: Journal) -> None:
        self._bulk: tuple[deque[bytes], deque[bytes]] = (deque(), deque())
        self._loads: tuple[deque[Load], deque[Load]] = (deque(), deque())
        super().__init__(one, other)

    def wire(self, index: int, *, bulk: bool) -> deque[bytes]:
        return (self._bulk if bulk else self.wires)[index]

    def load(self, index: int, load: Load) -> None:
        self._loads[index].append(load)

    def turn(self, index: int, what: int) -> bool:
        """Let side `index` read its disk (0), or its oldest frame of a channel arrive (1, 2)."""
        if what == 0 and self._loads[index]:
            load = self._loads[index].popleft()
            self.machines[index].loaded(load, self.sides[index].run(load))
        elif what > 0 and (frames := (self.wires, self._bulk)[what - 1][index]):
            self.machines[1 - index].receive(decode(frames.popleft()))  # type: ignore[arg-type]
        else:
            return False
        self.drain()
        return True

    def settle(self, most: int = 10_000) -> None:
        for _ in range(most):
            turns = [self.turn(index, what) for index in (0, 1) for what in (0, 1, 2)]
            if not any(turns):
                return
        raise AssertionError("they never come to rest")


class Shake:
    """Two handshakes against each other."""

    def __init__(self, a: Handshake, b: Handshake) -> None:
        self.machines = (a, b)
        self.facts: tuple[list[object], list[object]] = ([], [])
        self.closed: list[list[str]] = [[], []]
        self.frames: tuple[list[bytes], list[bytes]] = ([], [])

    def run(self, refuse: str | None = None) -> None:
        for _ in range(40):
            for index, machine in enumerate(self.machines):
                for output in list(machine.outputs()):
                    match output:
                        case Send(frame):
                            self.frames[index].append(frame)
                            self.machines[1 - index].receive(frame, 0.0)
                        case Emit(Proven() as fact):
                            self.facts[index].append(fact)
                            if refuse is not None and index == 1:
                                machine.refuse(refuse)
                            else:
                                machine.admit()
                        case Emit(Guess() as fact):
                            self.facts[index].append(fact)
                            machine.guess(2)
                        case Emit(fact):
                            self.facts[index].append(fact)
                        case Close(code):
                            self.closed[index].append(code)

    def established(self, index: int) -> Established | None:
        return next((fact for fact in self.facts[index] if isinstance(fact, Established)), None)

    def refused(self, index: int) -> Refused | None:
        return next((fact for fact in self.facts[index] if isinstance(fact, Refused)), None)


def shake(a: Identity, b: Identity, terms_a: Terms, terms_b: Terms) -> Shake:
    return Shake(
        Handshake(a, terms_a, random_from(1), 0.0), Handshake(b, terms_b, random_from(2), 0.0)
    )
