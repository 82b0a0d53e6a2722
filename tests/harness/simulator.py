"""Members of one room in virtual time: the real core, on links and disks that fail.

One seeded `random.Random` decides everything, so a seed repeats a run exactly; nobody reads wall
time. Links delay, cut, duplicate and reorder frames. A disk commits in order and after a while, and
what is not committed is lost in a crash. `End` follows the law of `p2pchat/node/runner.py`: what a
machine wants persisted is committed before anything that it wants sent leaves.
"""

import functools
import hashlib
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from p2pchat.core.bounds import RUN_BYTES
from p2pchat.core.chain import Chains, Head
from p2pchat.core.clock import HybridClock
from p2pchat.core.entry import DEVICE, MESSAGE, Entry, MessageBody, chain_id
from p2pchat.core.facts import Append, Load, PeerHas, Progress
from p2pchat.core.identity import Certificate, Identity
from p2pchat.core.machine import Close, Emit, Output, Persist, Send
from p2pchat.core.reconcile import Reconcile
from p2pchat.core.timeline import Node, Timeline
from p2pchat.core.wire import Bye, Run, Signal, Swarm, decode
from p2pchat.net.channel import FRAME_MAX, LIVE_MAX
from p2pchat.store.journal import timeline_node

__all__ = ["Disk", "End", "Faults", "Link", "Member", "World", "identity"]

ROOM = hashlib.sha256(b"a room").digest()
EPOCH_ID = hashlib.sha256(b"an epoch").digest()
EPOCH_KEY = hashlib.sha256(b"its key").digest()
START_S = 1_800_000_000.0


@functools.cache
def identity(number: int) -> Identity:
    return Identity.create(f"Member {number}", random.Random(number).randbytes)


@dataclass(frozen=True)
class Faults:
    """What links and disks do to what they carry; times in seconds."""

    delay_s: tuple[float, float] = (0.005, 0.2)
    duplicate: float = 0.0
    reorder: float = 0.0
    commit_s: tuple[float, float] = (0.001, 0.05)
    read_s: tuple[float, float] = (0.0005, 0.01)


class Disk:
    """What survives a crash: entries, and their order as it was kept up."""

    def __init__(self) -> None:
        self.chains: dict[bytes, list[Entry]] = {}
        self._nodes: dict[bytes, Node] = {}
        self._followers: dict[bytes, list[bytes]] = {}

    def append(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            kept = self.chains.setdefault(entry.chain, [])
            assert len(kept) == entry.header.seq, "a commit that does not continue the chain"
            kept.append(entry)
        fresh = [timeline_node(entry) for entry in entries]
        changed = Timeline(self).insert(fresh)
        self._nodes.update((node.id, node) for node in changed)
        for node in fresh:
            for cause in node.causes:
                self._followers.setdefault(cause, []).append(node.id)

    def run(self, load: Load, size_bytes: int = RUN_BYTES) -> list[Entry]:
        """As `p2pchat.store.journal.run`."""
        found: list[Entry] = []
        size = signed = 0
        for entry in self.chains.get(load.chain, [])[load.first : load.last + 1]:
            size += len(entry.raw) + entry.header.length
            if signed and size > size_bytes:
                break
            found.append(entry)
            if entry.signature is not None:
                signed = len(found)
        return found[:signed]

    def order(self) -> list[bytes]:
        """Ids in the order in which they are shown."""
        entries = (entry for chain in self.chains.values() for entry in chain)
        return [
            entry.id
            for entry in sorted(
                entries, key=lambda one: (self._nodes[one.id].eff, one.chain, one.header.seq)
            )
        ]

    def nodes(self, ids: Sequence[bytes]) -> dict[bytes, Node]:
        return {
            id_: Node(node.id, node.time, node.causes, node.high, node.eff, node.prev)
            for id_ in ids
            if (node := self._nodes.get(id_)) is not None
        }

    def followers(self, ids: Sequence[bytes]) -> dict[bytes, list[tuple[int, bytes]]]:
        return {
            id_: [(self._nodes[one].eff, one) for one in self._followers[id_]]
            for id_ in ids
            if id_ in self._followers
        }

    def witnesses(self, id_: bytes, count: int) -> list[bytes]:
        found = self._followers.get(id_, [])
        others = sorted(one for one in found if self._nodes[one].prev != id_)
        return [*(one for one in found if self._nodes[one].prev == id_), *others[:count]]


class Member:
    """One node: its disk, what it has in memory while it runs, its ends of links."""

    def __init__(self, world: "World", number: int, members: frozenset[bytes]) -> None:
        self.world = world
        self.number = number
        self.identity = identity(number)
        self.skew_s = 0.0
        self.mute = False
        """tells heads, and never delivers"""
        self.drip_s: float | None = None
        """delivers one entry at a time, each after so long"""
        self.disk = Disk()
        self.ends: dict[int, End] = {}
        self.frames = self.bytes = self.run_bytes = 0
        """received"""
        self.running = False
        self._members = members
        self._incarnation = world.random.randbytes(8)
        self._clock = HybridClock()
        self._life = 0
        self._free_s = 0.0
        self.chains = Chains(ROOM, members)
        self.start()

    @property
    def own(self) -> bytes:
        return chain_id(ROOM, self.identity.device, self._incarnation)

    def start(self) -> None:
        """Begin from the disk."""
        self.running = True
        self.chains = Chains(ROOM, self._members)
        self.chains.epochs[EPOCH_ID] = EPOCH_KEY
        newest = 0
        for chain, entries in self.disk.chains.items():
            last = entries[-1]
            device, time = last.header.device, last.header.time
            self.chains.restore(chain, Head(last.header.seq, last.id, device, time))
            newest = max(newest, time)
            for entry in entries:
                if entry.header.kind == DEVICE:
                    certificate = self.chains.read(entry)
                    assert isinstance(certificate, Certificate)
                    self.chains.certify(certificate)
        self._clock = HybridClock()
        self._clock.witness(newest, self._wall())

    def crash(self) -> None:
        """Lose memory and what is not committed yet. The others see their links end."""
        self.running = False
        self._life += 1
        self._free_s = self.world.now
        for end in list(self.ends.values()):
            end.link.cut()

    def write(self, *texts: str) -> None:
        """Write messages: committed together, then pushed."""
        entries = []
        if self.chains.seq(self.own) < 0:
            entries.append(self._written(DEVICE))
        entries += [self._written(MESSAGE, text) for text in texts]
        self._save([Append(ROOM, tuple(entries))], None, lambda: None)

    def _written(self, kind: int, text: str = "") -> Entry:
        device = kind == DEVICE
        certificate = self.identity.certificate
        if device:
            self.chains.certify(certificate)
        return self.chains.write(
            self.identity,
            self._incarnation,
            time=self._clock.next(self._wall()),
            kind=kind,
            body=certificate if device else MessageBody(text),
            random=self.world.random.randbytes,
            epoch=b"" if device else EPOCH_ID,
        )

    def _wall(self) -> float:
        return START_S + self.world.now + self.skew_s

    def commit(self, appends: list[Append], source: "End | None", then: Callable[[], None]) -> None:
        """As `Rooms.commit`: what all links accepted, in order."""
        unsaved = [Append(ROOM, entries) for entries in self.chains.unsaved]
        self.chains.unsaved.clear()
        for append in unsaved:
            newest = max(entry.header.time for entry in append.entries)
            self._clock.witness(newest, self._wall())
        if unsaved or self._free_s > self.world.now:
            self._save(unsaved, source if unsaved == appends else None, then)
        else:
            then()

    def _save(self, appends: list[Append], source: "End | None", then: Callable[[], None]) -> None:
        """One writer, in order; then the other links are told, as `Node` does it."""

        def done() -> None:
            for append in appends:
                self.disk.append(append.entries)
            then()
            for append in appends:
                for end in list(self.ends.values()):
                    if end is not source:
                        end.machine.push(ROOM, append.entries)
                        end.flush()

        self._free_s = max(self._free_s, self.world.now) + self.world.between("commit_s")
        self.later(self._free_s - self.world.now, done)

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Unless it crashes before."""
        life = self._life

        def alive() -> None:
            if self._life == life:
                action()

        self.world.at(delay_s, alive)

    def progress(self) -> Iterator[Progress]:
        for end in self.ends.values():
            yield from end.machine.progress()


class End:
    """One side of a link: its machine, and what the runner does for it."""

    def __init__(self, link: "Link", member: Member, peer: int, transcript: bytes) -> None:
        self.link = link
        self.member = member
        self.peer = peer
        world = member.world
        self.machine = Reconcile(transcript, world.random.randbytes, world.now)
        self.machine.share(member.chains)
        self._batch: deque[Output] = deque()
        self._busy = False
        self._due: float | None = None

    def receive(self, data: bytes) -> None:
        frame = decode(data)
        assert frame is not None
        assert not isinstance(frame, Signal | Swarm | Bye)
        self.member.frames += 1
        self.member.bytes += len(data)
        if isinstance(frame, Run):
            self.member.run_bytes += len(data)
        self.machine.receive(frame)
        self.flush()

    def flush(self) -> None:
        if self._busy or not self.link.up:
            return
        self._batch.extend(self.machine.outputs())
        records = [output.record for output in self._batch if isinstance(output, Persist)]
        if records:
            self._busy = True
            appends = [record for record in records if isinstance(record, Append)]
            self.member.commit(appends, self, self._go_on)
        else:
            self._carry_out()

    def _go_on(self) -> None:
        self._busy = False
        self._carry_out()

    def _carry_out(self) -> None:
        while self._batch and self.link.up:
            match self._batch.popleft():
                case Send(frame, bulk):
                    if not (self.member.mute and isinstance(decode(frame), Run)):
                        self.link.carry(self, frame, bulk=bulk)
                case Emit(Load() as load):
                    self._busy = True
                    delay_s = self.member.drip_s or self.member.world.between("read_s")
                    self.member.later(delay_s, functools.partial(self._loaded, load))
                    return
                case Emit(PeerHas() as fact):
                    self.member.world.told(self, fact)
                case Close(code):
                    self.member.world.closed.append(code)
                    self.link.cut()
                case _:
                    pass
        if self.link.up:
            self._set_timer()
            outputs = list(self.machine.outputs())
            if outputs:
                self._batch.extend(outputs)
                self.flush()

    def _loaded(self, load: Load) -> None:
        size_bytes = 1 if self.member.drip_s else RUN_BYTES
        self.machine.loaded(load, self.member.disk.run(load, size_bytes))
        self._go_on()

    def _set_timer(self) -> None:
        due = self.machine.next_timer()
        if due is not None and due != self._due:
            self._due = due
            self.member.later(
                max(0.0, due - self.member.world.now), functools.partial(self._tick, due)
            )

    def _tick(self, due: float) -> None:
        if self.link.up and due == self._due:
            self._due = None
            self.machine.handle_timer(self.member.world.now)
            self.flush()
            self._set_timer()


class Link:
    """Two ends. A channel keeps its order unless frames are reordered; `bulk` is one of its own."""

    def __init__(self, world: "World", one: Member, other: Member, transcript: bytes) -> None:
        self.world = world
        self.up = True
        self.ends = (
            End(self, one, other.number, transcript),
            End(self, other, one.number, transcript),
        )
        self._arrived: dict[tuple[int, bool], float] = {}
        for end in self.ends:
            end.member.ends[end.peer] = end
        for end in self.ends:
            end.flush()

    def carry(self, source: End, frame: bytes, *, bulk: bool) -> None:
        assert len(frame) <= (FRAME_MAX if bulk else LIVE_MAX), "no channel takes more"
        world, faults = self.world, self.world.faults
        index = self.ends.index(source)
        target = self.ends[1 - index]
        for _ in range(1 + (world.random.random() < faults.duplicate)):
            arrival = world.now + world.between("delay_s")
            if world.random.random() >= faults.reorder:
                arrival = max(arrival, self._arrived.get((index, bulk), 0.0))
                self._arrived[index, bulk] = arrival
            world.at(arrival - world.now, functools.partial(self._deliver, target, frame))

    def _deliver(self, target: End, frame: bytes) -> None:
        if self.up:
            target.receive(frame)

    def cut(self) -> None:
        """What is on the way is lost, and both sides forget the link."""
        if self.up:
            self.up = False
            for end in self.ends:
                del end.member.ends[end.peer]
                end.machine.end()


class World:
    def __init__(self, seed: int, count: int, faults: Faults | None = None) -> None:
        self.random = random.Random(seed)
        self.faults = faults or Faults()
        self.now = 0.0
        self.closed: list[str] = []
        self.early = 0
        """times that a peer was believed to have what was not on its disk"""
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        people = frozenset(identity(number).person for number in range(count))
        self.members = [Member(self, number, people) for number in range(count)]

    def between(self, name: str) -> float:
        least, most = getattr(self.faults, name)
        return self.random.uniform(least, most)

    def at(self, delay_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + delay_s, next(self._numbers), action))

    def link(self, one: int, other: int) -> None:
        """A new link between two that run and have none."""
        a, b = self.members[one], self.members[other]
        if one != other and a.running and b.running and other not in a.ends:
            number = next(self._numbers)
            Link(self, a, b, hashlib.sha256(number.to_bytes(8, "big")).digest())

    def cut(self, one: int, other: int) -> None:
        end = self.members[one].ends.get(other)
        if end is not None:
            end.link.cut()

    def told(self, end: End, fact: PeerHas) -> None:
        if len(self.members[end.peer].disk.chains.get(fact.chain, ())) <= fact.seq:
            self.early += 1

    def run(self, seconds: float) -> None:
        """Let that much time pass."""
        until = self.now + seconds
        while self._events and self._events[0][0] <= until:
            self.now, _, action = heapq.heappop(self._events)
            action()
        self.now = until

    def level(self) -> bool:
        """Whether all that have a link have the same entries, and every link knows it."""
        digests = {member.chains.digest() for member in self.members if member.ends}
        return len(digests) <= 1 and all(
            progress.level for member in self.members for progress in member.progress()
        )

    def settle(self, limit_s: float = 400.0) -> float:
        """Let time pass until all are level; answers how long that took."""
        begun = self.now
        while not self.level():
            assert self.now - begun < limit_s, self.differences()
            self.run(0.5)
        return self.now - begun

    def differences(self) -> str:
        lines = [f"not level after {self.now:.0f} s"]
        for member in self.members:
            heads = {
                chain.hex()[:4]: head.seq for chain, head in sorted(member.chains.heads.items())
            }
            lines.append(f"{member.number}: {heads}, stored {len(member.disk.order())}")
            lines += [
                f"   to {end.peer}: {progress}"
                for end in member.ends.values()
                for progress in end.machine.progress()
            ]
        return "\n".join(lines)

    def check(self) -> None:
        """All have the same on disk, in the same order, which is that of the whole set."""
        orders = [member.disk.order() for member in self.members]
        assert all(order == orders[0] for order in orders)
        anew = Disk()
        for chain in sorted(self.members[0].disk.chains.values(), key=lambda one: one[0].id):
            anew.append(chain)
        assert anew.order() == orders[0]
        assert not self.closed
