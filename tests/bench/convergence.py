"""A large room converges: what it costs each member, and that this follows the links alone.

    python tests/bench/convergence.py [members=1000] [entries=100000] [authors=25]

All members run in this process, in virtual time, with random links, 8 each. First every author has
written alone and the links come up at once; then single messages are written, one after another.
Each run is decoded, parsed and verified once, and stored once, for all members together: a thousand
times over would not fit one machine. So CPU is that of reconciling, without checks and disk; frames
and bytes are whole. The order is not kept: tests/core/test_convergence.py compares it. A thousand
members with 100,000 entries take four minutes, and the 250 beside them one.
"""

import functools
import gc
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import msgspec

from p2pchat.core import wire
from p2pchat.core.chain import Accepted, Chains, Fork, Verdict
from p2pchat.core.entry import Entry, chain_id, parse_header
from p2pchat.core.facts import Load
from p2pchat.core.identity import Certificate
from tests.harness import simulator
from tests.harness.simulator import Disk, Faults, World

_LINKS = 8
_SINGLE = 20
"""Messages written one after another, into a room that is level."""
_RUN = 19
"""The type of a run's frame, its second byte; what follows the 16 bytes of its tag is the same
for all links."""


class _SharedDisk(Disk):
    """How long each chain is here; the entries themselves are held once, and their order is not."""

    def __init__(
        self,
        entries: dict[bytes, list[Entry]],
        full: dict[tuple[bytes, int], list[Entry]],
    ) -> None:
        super().__init__()
        self.chains = entries
        self._full = full
        """chain, first -> the run that is as long as runs are"""
        self._lengths: dict[bytes, int] = {}

    def append(self, entries: Sequence[Entry]) -> None:
        chain, first = entries[0].chain, entries[0].header.seq
        assert self._lengths.get(chain, 0) == first, "a commit that does not continue the chain"
        self._lengths[chain] = first + len(entries)
        whole = self.chains.setdefault(chain, [])
        if len(whole) == first:
            whole.extend(entries)

    def run(self, load: Load, size_bytes: int = 65_536) -> list[Entry]:
        last = min(load.last, self._lengths[load.chain] - 1)
        found = self._full.get((load.chain, load.first))
        if found is None or found[-1].header.seq > last:
            found = super().run(Load(load.room, load.chain, load.first, last), size_bytes)
            if found and found[-1].header.seq < last:
                self._full[load.chain, load.first] = found
        return found


class _Checks:
    """Decodes and checks each run once, for all members."""

    def __init__(self) -> None:
        self._runs: dict[bytes, wire.Run] = {}
        self._chains: dict[int, bytes] = {}
        """`headers` of a run, by identity -> its chain"""
        self._results: dict[tuple[int, bytes], Accepted | Fork | Verdict] = {}
        """`headers` of a run, the head that it met -> what came of it"""

    def decode(self, data: bytes) -> wire.Frame | None:
        if data[1] != _RUN:
            return wire.decode(data)
        run = self._runs.get(data[20:])
        if run is None:
            found = wire.decode(data)
            assert isinstance(found, wire.Run)
            run = self._runs[data[20:]] = found
        return msgspec.structs.replace(run, tag=data[4:20])

    def accept(
        self,
        chains: Chains,
        headers: tuple[bytes, ...],
        bodies: tuple[bytes | None, ...],
        signature: bytes,
    ) -> Accepted | Fork | Verdict:
        chain = self._chains.get(id(headers))
        if chain is None:
            header = parse_header(headers[0])
            assert header is not None
            chain = chain_id(header.room, header.device, header.incarnation)
            self._chains[id(headers)] = chain
        head = chains.heads.get(chain)
        key = id(headers), head.id if head else b""
        result = self._results.get(key)
        if result is None:
            result = _ACCEPT(chains, headers, bodies, signature)
            self._results[key] = result
        elif isinstance(result, Accepted):
            for certificate in chains._certificates_in(result.entries[:1]) or ():
                chains.certify(certificate)
            chains._advance(result.entries[-1])
            chains.unsaved.append(result.entries)
        return result


_ACCEPT = Chains.accept


def _share_checks() -> None:
    checks = _Checks()
    simulator.decode = checks.decode  # type: ignore[attr-defined]

    def accept(self: Chains, *run: Any) -> Accepted | Fork | Verdict:
        return checks.accept(self, *run)

    Chains.accept = accept  # type: ignore[assignment,method-assign]
    Certificate.holds = functools.cache(Certificate.holds)  # type: ignore[method-assign]


def _link(world: World, count: int) -> int:
    """A ring, so that all are connected, and random links up to 8 each."""
    for number in range(count):
        world.link(number, (number + 1) % count)
    for _ in range(20 * count):
        one, other = world.random.randrange(count), world.random.randrange(count)
        if max(len(world.members[number].ends) for number in (one, other)) < _LINKS:
            world.link(one, other)
    return sum(len(member.ends) for member in world.members) // 2


def _spent(world: World) -> tuple[int, int]:
    return (
        sum(member.frames for member in world.members),
        sum(member.bytes for member in world.members),
    )


def _line(label: str, count: int, entries: int, spent: tuple[int, int], cpu_s: float) -> None:
    frames, size = spent
    each = count * entries
    print(
        f"  {label:22} per member {frames / count:8.0f} frames {size / count / 1000:9.1f} kB"
        f" {cpu_s / count * 1000:7.1f} ms; per member and entry {frames / each:5.2f} frames"
        f" {size / each:6.0f} bytes {cpu_s / each * 1e6:6.1f} us"
    )


def _measure(count: int, authors: int, entries: int) -> None:
    began = time.process_time()
    world = World(count, count, Faults(delay_s=(0.02, 0.1)))
    held: dict[bytes, list[Entry]] = {}
    full: dict[tuple[bytes, int], list[Entry]] = {}
    for member in world.members:
        member.disk = _SharedDisk(held, full)
    for author in range(authors):
        world.members[author].write(*(f"message {n}" for n in range(entries // authors - 1)))
    world.run(1)
    total = sum(member.chains.total for member in world.members)
    made_s = time.process_time() - began
    size = sum(
        len(entry.raw) + len(entry.body or b"") for chain in held.values() for entry in chain
    )
    begun, now = time.process_time(), world.now
    links = _link(world, count)
    level_s = _settle(world)
    cpu_s = time.process_time() - begun
    print(
        f"{count} members, {links} links ({2 * links / count:.1f} each), {total} entries of"
        f" {size / total:.0f} bytes by {authors} authors: all level after {world.now - now:.0f} s"
        f" of virtual time ({made_s:.0f} s of CPU to write, {cpu_s:.0f} s to converge)"
    )
    assert level_s < 300
    _line("from nothing to level", count, total, _spent(world), cpu_s)
    before, begun = _spent(world), time.process_time()
    for number in range(_SINGLE):
        world.members[number % count].write("one more")
        world.run(0.5)
    level_s = _settle(world)
    cpu_s = time.process_time() - begun
    after = _spent(world)
    spent = (after[0] - before[0], after[1] - before[1])
    _line("one message at a time", count, _SINGLE, spent, cpu_s)
    assert len({member.chains.digest() for member in world.members}) == 1
    assert not world.closed


def _settle(world: World) -> float:
    begun = world.now
    while not world.level():
        world.run(2)
        assert world.now - begun < 300, "it does not converge"
    return world.now - begun


def main(members: int = 1_000, entries: int = 100_000, authors: int = 25) -> None:
    print("checks and storage of entries are shared by all members; CPU is that of reconciling")
    _share_checks()
    # What lives does so until the end: to look through it again and again costs half the time.
    gc.disable()
    for count in (members // 4, members):
        _measure(count, authors, entries)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
