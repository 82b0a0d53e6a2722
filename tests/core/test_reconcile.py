import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.core.bounds import (
    BODY_BYTES_MAX,
    FORKS_EACH_MAX,
    FRAME_BYTES_MAX,
    LIVE_BYTES_MAX,
    RUN_FULL_BYTES_MAX,
    WANTS_MAX,
)
from p2pchat.core.brief import in_brief
from p2pchat.core.chain import Branch, ForkProof, Head
from p2pchat.core.entry import Entry, entry_id, statement
from p2pchat.core.facts import Append, Forked, Load, PeerHas
from p2pchat.core.machine import Close, Emit, Persist, Send
from p2pchat.core.pushing import pushed_together
from p2pchat.core.reconcile import Reconcile
from p2pchat.core.wire import (
    Contested,
    Fork,
    Have,
    Heads,
    Level,
    Row,
    Run,
    SignedAct,
    Summary,
    Want,
    decode,
)
from tests.harness.pair import START, Journal, Meeting, Slow, forks, journals, random_from


def _level(meeting: Meeting) -> None:
    one, other = meeting.sides
    assert one.chains.digest() == other.chains.digest()
    assert one.texts() == other.texts()
    for machine in meeting.machines:
        assert all(progress.level for progress in machine.progress())


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 40),
    st.integers(0, 40),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 1)), max_size=4),
)
def test_two_are_level_whatever_was_cut_on_the_way(
    ann_says: int, bob_says: int, cuts: list[tuple[int, int]]
) -> None:
    sides = journals(ann_says, bob_says)
    for steps, first in cuts:
        meeting = Meeting(*sides)
        for number in range(steps):
            meeting.step((number + first) % 2)
        # The link is gone, and with it all that was on the way.
        for machine in meeting.machines:
            machine.end()
    meeting = Meeting(*sides)
    meeting.settle()
    _level(meeting)
    assert not meeting.closed


_COMMIT = (0, 3)
_TURNS = st.lists(
    st.one_of(
        st.integers(1, 80), st.tuples(st.integers(0, 1), st.integers(0, 2)), st.just(_COMMIT)
    ),
    max_size=120,
)
"""How many messages are written, or whose turn it is for what (`Slow.turn`, or a commit)."""


@settings(max_examples=150, deadline=None)
@given(_TURNS)
def test_what_is_written_in_bursts_arrives_in_order_with_no_pause_in_between(
    turns: list[int | tuple[int, int]],
) -> None:
    ann, bob = journals(1, 1)
    meeting = Slow(ann, bob)
    meeting.settle()
    unsaved: list[list[Entry]] = []

    def commit() -> None:
        said = unsaved.pop(0)
        ann.keep(said)
        for part in pushed_together(said):
            meeting.push(0, *part)

    for number, turn in enumerate(turns):
        if isinstance(turn, int):
            # Some too long to be pushed. In memory at once, on disk later.
            texts = [f"{number} {at} ".ljust(turn * 90, ".") for at in range(turn)]
            unsaved.append([ann.say(text, kept=False) for text in texts])
        elif turn != _COMMIT:
            meeting.turn(*turn)
        elif unsaved:
            commit()
    while unsaved:
        commit()
    # No timer has run: nothing waits for one.
    meeting.settle()
    _level(meeting)
    assert not meeting.closed


def test_a_short_want_passes_a_backlog_and_a_small_run_its_channel() -> None:
    ann, bob = journals(2, 60)
    Meeting(ann, bob).settle()
    machine = Reconcile(bytes(32), random_from(5), 0.0)
    machine.share(ann.chains)
    tag = machine.tag(ann.chains.room)
    assert tag is not None
    wanted = [Want(tag, bob.own, 0, 61), Want(tag, ann.own, 0, 3)]
    served: list[bytes] = []
    asides: list[bool] = []
    while True:
        loads = []
        for output in list(machine.outputs()):
            match output:
                case Emit(Load() as load):
                    loads.append(load)
                    served.append(load.chain)
                case Send(data, bulk) if isinstance(decode(data), Run):
                    asides.append(not bulk)
                    assert bulk or len(data) <= 4_096
        if wanted:
            machine.receive(wanted.pop(0))
            if not loads:
                continue
        if not loads:
            break
        (load,) = loads
        machine.loaded(load, ann.run(load))
    # What was under way when the short want came, the short one at once, and then the rest.
    assert served[:2] == [bob.own, ann.own]
    assert served.count(bob.own) > 5
    # Of a chain that is under way on `bulk`, or on `live`, nothing may overtake what was before.
    assert asides[:2] == [True, True]
    assert not any(asides[2:])


def test_short_wants_are_served_in_the_order_in_which_they_came() -> None:
    ann, bob = journals(2, 2)
    Meeting(ann, bob).settle()
    ann.incarnation = b"another."
    ann.say("in a third log")
    machine = Reconcile(bytes(32), random_from(5), 0.0)
    machine.share(ann.chains)
    tag = machine.tag(ann.chains.room)
    assert tag is not None
    chains = sorted(ann.entries)
    assert len(chains) == 3
    for chain in chains:
        machine.receive(Want(tag, chain, 0, len(ann.entries[chain]) - 1))
    served: list[bytes] = []
    while loads := _loads(machine):
        (load,) = loads
        served.append(load.chain)
        machine.loaded(load, ann.run(load))
    assert served == chains


def test_what_is_written_as_a_link_begins_is_told_by_its_comparison_alone() -> None:
    ann, bob = journals(3, 3)
    Meeting(ann, bob).settle()
    ann.say("what the other lacks")
    meeting = Meeting(ann, bob)
    meeting.push(0, ann.say("and what comes next"))
    assert [type(decode(frame)) for frame in meeting.wires[0]] == [Summary]
    meeting.settle()
    _level(meeting)


def test_what_came_by_two_links_is_acknowledged_once_to_each() -> None:
    ann, bob = journals(3, 3)
    meeting = Meeting(ann, bob)
    meeting.settle()
    other = Reconcile(b"another".ljust(32), random_from(5), 0.0)
    other.share(bob.chains)
    tag = other.tag(bob.chains.room)
    assert tag is not None
    list(other.outputs())
    entry = ann.say("by both")
    meeting.push(0, entry)
    run = decode(meeting.wires[0][0])
    assert isinstance(run, Run)
    meeting.step(0)
    assert [type(decode(frame)) for frame in meeting.wires[1]] == [Have]
    # Before that link hears that it is on disk, as most often.
    other.receive(msgspec.structs.replace(run, tag=tag))
    other.push(bob.chains.room, [entry])
    sent = [decode(output.frame) for output in other.outputs() if isinstance(output, Send)]
    assert sent == [Have(tag, (Row(ann.own, entry.header.seq, entry.id),))]


def test_a_head_is_told_once_also_while_it_is_not_on_disk() -> None:
    ann, bob = journals(1, 1)
    meeting = Slow(ann, bob)
    meeting.settle()
    long = ["." * 5_000 + str(number) for number in range(2)]
    first = ann.say(long[0])
    meeting.push(0, first)
    told = list(meeting.wires[0])
    meeting.turn(0, 1)
    meeting.turn(1, 1)
    second = ann.say(long[1], kept=False)
    meeting.turn(0, 0)
    ann.keep([second])
    meeting.push(0, second)
    told += meeting.wires[0]
    rows = [frame.rows[0].id for data in told if isinstance(frame := decode(data), Heads)]
    assert rows == [first.id, second.id]
    meeting.settle()
    _level(meeting)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5)), max_size=25))
def test_what_is_written_during_a_backlog_arrives_too(
    backlog: int, pushes: list[tuple[int, int]]
) -> None:
    sides = journals(backlog, 1)
    meeting = Meeting(*sides)
    for number, (author, steps) in enumerate(pushes):
        side, other = sides[author], sides[1 - author]
        if side.chains.writing_epoch() is None:
            for entry in side.begin([other.identity]):
                meeting.push(author, entry)
        meeting.push(author, side.say(f"push {number}"))
        for turn in range(steps):
            meeting.step(turn % 2)
    meeting.settle()
    _level(meeting)
    assert not meeting.closed


def test_a_push_takes_one_frame_and_its_acknowledgement() -> None:
    sides = journals(3, 3)
    meeting = Meeting(*sides)
    meeting.settle()
    before = meeting.bytes
    meeting.push(0, sides[0].say("one more"))
    assert len(meeting.wires[0]) == 1
    meeting.step(0)
    assert len(meeting.wires[1]) == 1
    meeting.settle()
    _level(meeting)
    assert meeting.bytes - before < 700


def test_one_missing_entry_costs_two_round_trips_and_little() -> None:
    sides = journals(300, 300)
    Meeting(*sides).settle()
    sides[0].say("the one")
    meeting = Meeting(*sides)
    meeting.settle()
    _level(meeting)
    assert meeting.bytes < 2_000


def test_rooms_that_are_not_in_common_are_not_answered() -> None:
    sides = journals(2, 2)
    meeting = Meeting(*sides)
    meeting.settle()
    meeting.machines[0].receive(Summary(bytes(16), bytes(32), 5))
    assert list(meeting.machines[0].outputs()) == []


def test_forged_runs_end_the_link() -> None:
    sides = journals(2, 0)
    meeting = Meeting(*sides)
    (tag,) = meeting.machines[1]._tags
    entry = sides[0].entries[sides[0].own][0]
    meeting.machines[1].receive(Run(tag, (entry.raw,), (entry.body,), bytes(64), pushed=True))
    assert Close("bad-frame") in list(meeting.machines[1].outputs())


def test_a_run_beyond_the_last_place_ends_the_link() -> None:
    sides = journals(2, 0)
    machine = Meeting(*sides).machines[1]
    (tag,) = machine._tags
    first = sides[0].entries[sides[0].own][1].header
    raw = msgspec.msgpack.encode(msgspec.structs.replace(first, seq=(1 << 63) - 1))
    for count, verdict in ((1, False), (2, True)):
        machine.receive(Run(tag, (raw,) * count, (b"",) * count, bytes(64), pushed=False))
        assert (Close("bad-frame") in list(machine.outputs())) is verdict


def test_a_peer_that_wants_without_end_loses_its_link() -> None:
    sides = journals(2, 0)
    machine = Reconcile(bytes(32), random_from(1), 0.0)
    machine.share(sides[0].chains)
    (tag,) = machine._tags
    for _ in range(WANTS_MAX + 2):
        machine.receive(Want(tag, sides[0].own, 0, 3))
    assert Close("bad-frame") in list(machine.outputs())


def _serving(wanted: int) -> tuple[Journal, Reconcile, bytes, Load]:
    """A machine that was asked for its whole chain, and reads it."""
    journal, _ = journals(wanted - 2, 0)
    machine = Reconcile(bytes(32), random_from(1), 0.0)
    machine.share(journal.chains)
    (tag,) = machine._tags
    machine.receive(Want(tag, journal.own, 0, wanted - 1))
    (load,) = _loads(machine)
    return journal, machine, tag, load


def _loads(machine: Reconcile) -> list[Load]:
    return [
        output.fact
        for output in machine.outputs()
        if isinstance(output, Emit) and isinstance(output.fact, Load)
    ]


def test_what_is_wanted_before_its_commit_is_served_after_it() -> None:
    journal, machine, _, load = _serving(3)
    machine.loaded(load, [])
    assert _loads(machine) == []
    machine.push(journal.chains.room, journal.entries[journal.own][-1:])
    assert _loads(machine) == [load]


def test_what_came_by_another_link_is_sent_no_more() -> None:
    journal, machine, tag, load = _serving(10)
    entries = journal.entries[journal.own]
    machine.receive(Have(tag, (Row(journal.own, 5, entries[5].id),)))
    machine.loaded(load, journal.run(load, most=8))
    frames = [decode(output.frame) for output in machine.outputs() if isinstance(output, Send)]
    (run,) = [frame for frame in frames if isinstance(frame, Run)]
    assert run.headers == tuple(in_brief(entries[6:8]))
    machine.receive(Have(tag, (Row(journal.own, 9, entries[9].id),)))
    (load,) = _loads(machine) or [load]
    machine.loaded(load, journal.run(load))
    assert not any(isinstance(output, Send) for output in machine.outputs())


def test_heads_that_are_never_delivered_are_asked_for_again_after_a_minute() -> None:
    sides = journals(0, 0)
    machine = Reconcile(bytes(32), random_from(1), 0.0)
    machine.share(sides[0].chains)
    (tag,) = machine._tags
    rows = (Row(bytes(16), 7, bytes(32)),)

    def wants() -> int:
        return sum(
            output.frame[1:2] == b"\x12" for output in machine.outputs() if hasattr(output, "frame")
        )

    machine.receive(Heads(tag, rows, reply=False))
    assert wants() == 1
    machine.receive(Heads(tag, rows, reply=False))
    assert wants() == 0
    machine.handle_timer(1.0)
    machine.handle_timer(59.0)
    assert wants() == 0
    machine.handle_timer(61.0)
    assert wants() == 1


def _forking() -> tuple[Journal, ForkProof]:
    """Bob, who has what Ann wrote, and proof that she wrote something else too."""
    ann, bob = journals(3, 0)
    bob.take(entries := ann.entries[ann.own])
    last = entries[-1]
    header = msgspec.structs.replace(last.header, time=last.header.time + 1)
    raw = msgspec.msgpack.encode(header)
    signature = ann.identity.sign(statement(entry_id(raw)))
    assert last.signature is not None
    return bob, ForkProof(Branch((last.raw,), last.signature), Branch((raw,), signature))


def _sent(machine: Reconcile) -> list[object]:
    return [decode(output.frame) for output in machine.outputs() if isinstance(output, Send)]


def test_two_ids_for_one_place_are_looked_into() -> None:
    bob, _ = _forking()
    machine = Reconcile(b"T" * 32, random_from(1), 0.0)
    machine.share(bob.chains)
    [summary] = _sent(machine)
    assert isinstance(summary, Summary)
    [(chain, head)] = bob.chains.heads.items()
    machine.receive(Heads(summary.tag, (Row(chain, head.seq, head.id),), reply=False))
    assert not [frame for frame in _sent(machine) if isinstance(frame, Want)]
    machine.receive(Heads(summary.tag, (Row(chain, head.seq, bytes(32)),), reply=False))
    assert Want(summary.tag, chain, head.seq, head.seq) in _sent(machine)


def test_a_proof_of_a_fork_is_told_once_and_to_every_later_link() -> None:
    bob, proof = _forking()
    machine = Reconcile(b"T" * 32, random_from(1), 0.0)
    machine.share(bob.chains)
    [summary] = _sent(machine)
    assert isinstance(summary, Summary)
    [chain] = bob.chains.heads
    for _ in range(2):
        machine.receive(Fork(summary.tag, proof))
    facts = [output.fact for output in machine.outputs() if isinstance(output, Emit)]
    assert [fact for fact in facts if isinstance(fact, Forked)] == [
        Forked(bob.chains.room, chain, proof)
    ]
    assert bob.chains.digest() != summary.digest
    later = Reconcile(b"U" * 32, random_from(1), 0.0)
    later.share(bob.chains)
    assert [frame.proof for frame in _sent(later) if isinstance(frame, Fork)] == [proof]
    assert all(progress.behind == progress.ahead == 0 for progress in later.progress())
    # Whoever is level with us may hold another part of it: nothing of it counts as delivered.
    again = Reconcile(b"V" * 32, random_from(1), 0.0)
    again.share(bob.chains)
    [summary] = [frame for frame in _sent(again) if isinstance(frame, Summary)]
    again.receive(Level(summary.tag, bob.chains.digest()))
    facts = [output.fact for output in again.outputs() if isinstance(output, Emit)]
    assert not [fact for fact in facts if isinstance(fact, PeerHas)]


def _carried(machine: Reconcile) -> list[object]:
    """As `_sent`; no channel takes more of a frame."""
    sends = [output for output in machine.outputs() if isinstance(output, Send)]
    for send in sends:
        assert len(send.frame) <= (FRAME_BYTES_MAX if send.bulk else LIVE_BYTES_MAX)
    return [decode(send.frame) for send in sends]


def test_a_fork_whose_own_half_is_gone_is_proven_by_others() -> None:
    bob, proof = _forking()
    [chain] = bob.chains.heads
    last = bob.entries[chain][-1]
    machine = Reconcile(b"T" * 32, random_from(1), 0.0)
    machine.share(bob.chains)
    [summary] = _sent(machine)
    assert isinstance(summary, Summary)
    [other] = proof.other.headers
    machine.receive(Run(summary.tag, (other,), (last.body,), proof.other.signature, pushed=False))
    outputs = list(machine.outputs())
    [at] = [
        at
        for at, one in enumerate(outputs)
        if isinstance(one, Emit) and isinstance(one.fact, Forked)
    ]
    assert Persist(Append(bob.chains.room, (), 0)) in outputs[:at], "our half has to be on disk"
    assert bob.chains.forks == {chain: None}
    machine.receive(Fork(summary.tag, proof))
    assert Emit(Forked(bob.chains.room, chain, proof)) in list(machine.outputs())


def test_two_who_were_shown_other_forks_are_level_once_they_meet() -> None:
    ann, bob = journals(3, 0)
    carol = Journal(bob.identity, tuple(bob.chains.members), 3)
    proofs = forks(ann.chains, ann.identity, 6 * FORKS_EACH_MAX, 5)
    for at, side in enumerate((bob, carol)):
        side.take(ann.entries[ann.own])
        for proof in proofs[at::2]:
            side.chains.prove(proof)
    meeting = Meeting(bob, carol)
    meeting.settle()
    _level(meeting)
    for machine in meeting.machines:
        machine.handle_timer(100.0)
    before = meeting.bytes
    meeting.drain()
    meeting.settle()
    assert meeting.bytes - before < 500, "nothing is left to say"


def test_many_proofs_come_round_by_several_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pchat.core.reconcile._PROOFS_MAX", 3)
    ann, bob = journals(3, 0)
    carol = Journal(bob.identity, tuple(bob.chains.members), 3)
    for side in (bob, carol):
        side.take(ann.entries[ann.own])
    for proof in forks(ann.chains, ann.identity, FORKS_EACH_MAX, 5):
        bob.chains.prove(proof)
    for _ in range(40):
        Meeting(bob, carol).settle()
    assert bob.chains.digest() == carol.chains.digest()


def test_heads_of_any_number_of_chains_fit_their_channel() -> None:
    ann, _ = journals(1, 0)
    for number in range(2_500):
        head = Head(1 << 40, bytes(32), ann.identity.device, START)
        ann.chains.restore(number.to_bytes(16, "big"), head)
    machine = Reconcile(b"T" * 32, random_from(1), 0.0)
    machine.share(ann.chains)
    [summary] = _carried(machine)
    assert isinstance(summary, Summary)
    machine.receive(Summary(summary.tag, bytes(32), 0))
    told = [frame for frame in _carried(machine) if isinstance(frame, Heads)]
    assert {row.chain for frame in told for row in frame.rows} == ann.chains.heads.keys()
    assert [frame.reply for frame in told] == [True, False, False]


def test_a_long_proof_of_a_fork_fits_its_channel() -> None:
    ann, bob = journals(3, 0)
    bob.take(entries := ann.entries[ann.own])
    at, last = ann.chains.heads[ann.own], entries[-1]
    branches = []
    for text in ("a", "b"):
        ann.chains.restore(ann.own, at)
        run = [ann.say(f"{text} {number}", kept=False) for number in range(500)]
        assert sum(len(entry.raw) for entry in run) < RUN_FULL_BYTES_MAX
        branches.append(Branch(tuple(entry.raw for entry in run), run[-1].signature or b""))
    proof = ForkProof(*branches)
    assert last.chain == bob.chains.prove(proof)
    machine = Reconcile(b"T" * 32, random_from(1), 0.0)
    machine.share(bob.chains)
    assert [frame.proof for frame in _carried(machine) if isinstance(frame, Fork)] == [proof]


def test_acts_of_any_width_fit_their_channel() -> None:
    ann, _ = journals(1, 0)
    certificate = ann.identity.certificate
    sizes = [20_000] * 7 + [100] * 40 + [BODY_BYTES_MAX, 100]
    acts = [SignedAct(certificate, b"h", bytes(size), bytes(64)) for size in sizes]
    machine = Reconcile(b"T" * 32, random_from(1), 0.0)
    machine.share(ann.chains)
    _sent(machine)
    machine.contest(ann.chains.room, acts)
    shown = [frame for frame in _carried(machine) if isinstance(frame, Contested)]
    assert [act for frame in shown for act in frame.acts] == acts
    assert len(shown) < 10


def test_a_peer_that_names_chains_without_end_is_parted_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("p2pchat.core.reconcile.CHAINS_MAX", 8)
    meeting = Meeting(*journals(1, 1))
    meeting.settle()
    machine = meeting.machines[0]
    side = machine._sides[meeting.sides[0].chains.room]
    for number in range(3):
        rows = tuple(Row(bytes([number, at]) * 8, 1 << 40, bytes(32)) for at in range(8))
        machine.receive(Heads(side.tag, rows, reply=False))
    assert Close("bad-frame") in list(machine.outputs())
    assert len(side.peer) == 16
