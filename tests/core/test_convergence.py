"""However links and disks fail, all members end with the same journal in the same order.

SEED=n repeats one run of the seeds.
"""

import os
import random
from collections.abc import Iterator
from itertools import combinations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from p2pchat.core.machine import Send
from p2pchat.core.reconcile import Reconcile
from p2pchat.core.wire import Heads, Row, Want, decode
from tests.harness.simulator import Faults, Member, World

_SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else range(60)
_HOURS = (0.0, 0.0, 7_200.0, -36_000.0)
_REPEAT = "SEED={} python -m pytest tests/core/test_convergence.py -k seed"


def _joined(world: World) -> None:
    """Everybody runs, and there is a way from each to each."""
    for member in world.members:
        if not member.running:
            member.start()
    for number in range(1, len(world.members)):
        world.link(world.random.randrange(number), number)


def _live(world: World, choose: random.Random, steps: int) -> None:
    """Write, meet, part and crash at random."""
    count = len(world.members)
    for step in range(steps):
        one, other = choose.randrange(count), choose.randrange(count)
        member = world.members[one]
        match choose.choices(("write", "link", "cut", "crash", "start"), (40, 30, 10, 7, 8))[0]:
            case "write" if member.running:
                member.write(*(f"{step}.{number}" for number in range(choose.choice((1, 1, 3)))))
            case "link":
                world.link(one, other)
            case "cut":
                world.cut(one, other)
            case "crash" if member.running:
                member.crash()
            case "start" if not member.running:
                member.start()
        world.run(choose.choice((0.0, 0.05, 0.5, 2.0)))


@pytest.mark.parametrize("seed", _SEEDS)
def test_a_seed_of_failures_ends_level(seed: int) -> None:
    choose = random.Random(f"life {seed}")
    faults = Faults(
        delay_s=choose.choice(((0.005, 0.05), (0.05, 1.5))),
        duplicate=choose.choice((0.0, 0.1)),
        reorder=choose.choice((0.0, 0.2)),
        commit_s=choose.choice(((0.001, 0.01), (0.01, 0.5))),
    )
    world = World(seed, choose.randint(2, 6), faults)
    for member in world.members:
        member.skew_s = choose.choice(_HOURS)
    try:
        _live(world, choose, 80)
        _joined(world)
        world.settle()
        world.check()
        assert not world.early, "a peer was believed to have what was not on its disk"
    except AssertionError as error:
        error.add_note(f"repeat it with: {_REPEAT.format(seed)}")
        raise


def test_a_partition_heals() -> None:
    world = World(1, 6)
    halves = ((0, 1, 2), (3, 4, 5))
    for half in halves:
        for one, other in combinations(half, 2):
            world.link(one, other)
    for number, member in enumerate(world.members):
        member.skew_s = _HOURS[number % 4]
        for text in range(10):
            member.write(f"{number} {text}")
            world.run(0.3)
    world.run(200)
    assert len({member.chains.digest() for member in world.members}) == 2
    world.link(2, 3)
    assert world.settle() < 5
    world.check()


def test_entries_travel_through_third_members() -> None:
    world = World(2, 5)
    for number in range(4):
        world.link(number, number + 1)
    world.members[0].write("from one end")
    world.members[4].write("from the other")
    assert world.settle() < 10
    world.check()
    # The writer is gone; what it wrote goes on to whoever comes later.
    world.cut(0, 1)
    world.members[1].write("second")
    world.cut(3, 4)
    world.settle()
    world.members[1].crash()
    world.link(3, 4)
    world.run(10)
    assert world.members[4].chains.digest() == world.members[2].chains.digest()


def _history(world: World, authors: int, each: int) -> None:
    """Members 0 to `authors` have written, and are level."""
    for number in range(1, authors):
        world.link(0, number)
    for number in range(authors):
        for batch in range(each // 10):
            world.members[number].write(*(f"{number} {batch} {n} " * 20 for n in range(10)))
            world.run(0.01)
    world.settle()


def _size(member: Member) -> int:
    return sum(
        len(entry.raw) + len(entry.body or b"")
        for chain in member.disk.chains.values()
        for entry in chain
    )


@pytest.mark.parametrize("authors", [1, 3])
def test_who_joins_several_at_once_fetches_each_entry_once(authors: int) -> None:
    world = World(3, 4)
    _history(world, authors, 600 // authors)
    for number in range(authors, 3):
        world.link(0, number)
    world.settle()
    joiner = world.members[3]
    for number in range(3):
        world.link(3, number)
    world.run(0.2)
    world.members[0].write("written meanwhile")
    assert world.settle() < 30
    world.check()
    assert joiner.run_bytes < 1.2 * _size(joiner)


def test_much_that_is_new_comes_by_one_link_alone() -> None:
    world = World(11, 5)
    for one, other in combinations(range(5), 2):
        world.link(one, other)
    world.members[0].write(*(f"{n} " * 20 for n in range(300)))
    assert world.settle() < 10
    world.check()
    for member in world.members[1:]:
        assert member.run_bytes < 1.2 * _size(member)


def test_what_one_link_brings_is_shared_among_many() -> None:
    """More chains than one peer is asked for at once: each of three gives a part."""
    world = World(3, 4)
    for number in range(3):
        world.link(number, 3)
    machines = [end.machine for end in world.members[3].ends.values()]
    rows = tuple(Row(number.to_bytes(16, "big"), 0, bytes(32)) for number in range(600))
    asked: list[set[bytes]] = []
    for machine in machines:
        list(machine.outputs())
        (tag,) = machine._tags
        machine.receive(Heads(tag, rows, reply=False))
        asked.append({want.chain for want in _wants(machine)})
    assert [len(one) for one in asked] == [256, 256, 88]
    assert len(set().union(*asked)) == 600


def test_more_chains_than_one_peer_is_asked_for_at_once_come_all() -> None:
    quick = (0.0001, 0.0002)
    world = World(10, 2, Faults(delay_s=(0.005, 0.01), commit_s=quick, read_s=quick))
    writer = world.members[0]
    for number in range(600):
        writer._incarnation = number.to_bytes(8, "big")
        writer.write("hello")
    world.run(1)
    world.link(0, 1)
    assert world.settle() <= 1
    world.check()


def _wants(machine: Reconcile) -> Iterator[Want]:
    for output in machine.outputs():
        if isinstance(output, Send) and isinstance(frame := decode(output.frame), Want):
            yield frame


def test_a_cut_costs_only_what_was_not_committed() -> None:
    world = World(4, 2, Faults(delay_s=(0.05, 0.1)))
    writer, reader = world.members
    for batch in range(200):
        writer.write(*(f"{batch} {n} " * 30 for n in range(10)))
    world.run(10)
    world.link(0, 1)
    while not 200 < len(reader.disk.order()) < 1_500:
        world.run(0.01)
    world.cut(0, 1)
    world.run(1)
    committed, before = _size(reader), reader.run_bytes
    world.link(0, 1)
    world.settle()
    world.check()
    again = reader.run_bytes - before
    assert committed > 50_000
    assert again < 1.1 * (_size(reader) - committed)


def test_a_crash_costs_only_what_was_not_committed() -> None:
    world = World(4, 2, Faults(delay_s=(0.05, 0.1)))
    writer, reader = world.members
    for batch in range(200):
        writer.write(*(f"{batch} {n} " * 30 for n in range(10)))
    world.run(10)
    world.link(0, 1)
    while not 200 < len(reader.disk.order()) < 1_500:
        world.run(0.01)
    reader.crash()
    committed, before = _size(reader), reader.run_bytes
    reader.start()
    world.link(0, 1)
    world.settle()
    world.check()
    assert reader.run_bytes - before < 1.1 * (_size(reader) - committed)


@pytest.mark.parametrize("links", [(0, 1), (1, 0)])
def test_a_peer_that_never_delivers_holds_nothing_up(links: tuple[int, int]) -> None:
    world = World(5, 3)
    _history(world, 2, 200)
    world.members[0].mute = True
    for number in links:
        world.link(2, number)
        world.run(1)
    world.run(8)
    world.check()
    assert world.members[2].run_bytes < 1.2 * _size(world.members[2])


def test_a_peer_that_delivers_in_drips_keeps_nobody_from_delivering() -> None:
    world = World(7, 3)
    author, drip, joiner = world.members
    world.link(0, 1)
    for number in range(300):
        # Each with a signature of its own, so that it may be served alone.
        author.write(f"{number}")
        world.run(0.5)
    world.settle()
    world.cut(0, 1)
    drip.drip_s = 2.0
    world.link(2, 1)
    world.run(1)
    world.link(2, 0)
    world.run(8)
    assert joiner.chains.digest() == author.chains.digest()
    assert joiner.run_bytes < 1.2 * _size(joiner)


def test_a_slow_link_is_asked_on_while_it_delivers_as_well_as_it_can() -> None:
    world = World(7, 3)
    _history(world, 2, 3_000)
    joiner = world.members[2]
    # A full run every two seconds: whoever else is asked would share that path.
    world.faults = Faults(delay_s=(0.1, 0.2), read_s=(1.9, 2.0))
    world.link(2, 0)
    world.run(1)
    world.link(2, 1)
    world.settle(600)
    world.check()
    assert joiner.run_bytes < 1.1 * _size(joiner)


def test_what_a_peer_was_asked_for_moves_when_its_link_ends() -> None:
    world = World(6, 3)
    _history(world, 2, 200)
    world.members[0].mute = True
    world.link(2, 0)
    world.run(1)
    world.link(2, 1)
    world.run(0.5)
    world.cut(2, 0)
    world.run(3)
    world.check()


def test_a_slow_peer_stops_once_another_has_delivered() -> None:
    world = World(7, 3)
    _history(world, 2, 600)
    joiner = world.members[2]
    world.faults = Faults(delay_s=(0.3, 0.4), read_s=(4.0, 5.0))
    world.link(2, 0)
    world.run(2)
    world.faults = Faults()
    world.link(2, 1)
    assert world.settle() < 20
    world.check()
    assert joiner.run_bytes < 1.6 * _size(joiner)


def test_the_same_seed_gives_the_same_run() -> None:
    def orders() -> tuple[list[bytes], list[int]]:
        world = World(8, 4, Faults(duplicate=0.1, reorder=0.1))
        _live(world, random.Random(8), 40)
        _joined(world)
        world.settle()
        return world.members[0].disk.order(), [member.bytes for member in world.members]

    assert orders() == orders()


_NUMBERS = st.integers(0, 3)


class Room(RuleBasedStateMachine):
    """Four members; after whatever was done to them, they become level."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(9, 4, Faults(duplicate=0.05))

    @rule(one=_NUMBERS, count=st.integers(1, 3), skew_s=st.sampled_from(_HOURS))
    def append(self, one: int, count: int, skew_s: float) -> None:
        member = self.world.members[one]
        if member.running:
            member.skew_s = skew_s
            member.write(*map(str, range(count)))

    @rule(one=_NUMBERS, other=_NUMBERS)
    def link(self, one: int, other: int) -> None:
        self.world.link(one, other)

    @rule(one=_NUMBERS, other=_NUMBERS)
    def cut(self, one: int, other: int) -> None:
        self.world.cut(one, other)

    @rule(seconds=st.sampled_from((0.01, 0.1, 1.0, 5.0, 70.0)))
    def deliver(self, seconds: float) -> None:
        self.world.run(seconds)

    @rule(one=_NUMBERS)
    def crash(self, one: int) -> None:
        if self.world.members[one].running:
            self.world.members[one].crash()

    @rule(one=_NUMBERS)
    def restart(self, one: int) -> None:
        if not self.world.members[one].running:
            self.world.members[one].start()

    @invariant()
    def nothing_is_believed_that_is_not_so(self) -> None:
        assert not self.world.early
        assert not self.world.closed

    def teardown(self) -> None:
        _joined(self.world)
        self.world.settle()
        self.world.check()


TestRoom = Room.TestCase
TestRoom.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
