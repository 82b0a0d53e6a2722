"""A room's chains count as far as their authors were members, and keys are members' alone."""

from contextlib import ExitStack
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from nacl.signing import SigningKey

from p2pchat.core.acts import REMOVE, SETTING, Cut, Remove, Setting
from p2pchat.core.bounds import FORKS_EACH_MAX
from p2pchat.core.chain import Accepted, Head, Verdict
from p2pchat.core.entry import DEVICE, EPOCH, MESSAGE, Entry, MessageBody, entry_id, statement
from p2pchat.core.identity import Identity
from p2pchat.core.membership import OPEN
from p2pchat.core.sealing import seal_epoch
from tests.harness.pair import forks
from tests.harness.writer import Writer, founder


def test_newcomers_read_what_was_said_before_they_came() -> None:
    ann, bob = founder("Ann", "Bob")
    said = ann.say("hello")
    carol = Writer("Carol", ann.group.room)
    ann.admit(carol)
    carol.take_all(ann)
    assert carol.group.read(said) == MessageBody("hello")
    assert carol.group.members == {one.identity.person for one in (ann, bob, carol)}


def test_what_a_stranger_writes_is_declined_until_an_admission_comes() -> None:
    ann, bob = founder("Ann", "Bob")
    carol = Writer("Carol", ann.group.room)
    ann.admit(carol)
    carol.take_all(ann)
    carol.say("here I am")
    assert bob.take(carol.written[:1]) is Verdict.STRANGER
    assert bob.group.counts_to(carol.chain) == -1
    bob.take_all(ann)
    assert bob.group.estranged
    assert bob.group.counts_to(carol.chain) is None
    bob.take_all(carol)
    assert bob.group.read(carol.written[-1]) == MessageBody("here I am")


def test_a_chain_has_to_begin_under_one_admission_of_its_author() -> None:
    ann, bob = founder("Ann", "Bob")
    create = ann.written[0]
    for after in ((), tuple(sorted((create.id, bytes(32)))), (create.id,)):
        mallory = Writer("Bob", ann.group.room, incarnation=b"another!")
        entry = mallory.own(DEVICE, mallory.identity.certificate, after=after)
        expected = Verdict.STRANGER if len(after) == 1 else Verdict.BAD
        assert ann.take([entry]) is expected
    del bob


def test_an_act_ends_its_run() -> None:
    ann, bob = founder("Ann", "Bob")
    bob.begin()
    bob.act(SETTING, Setting(bob.group.membership.seen(bob.identity.person), "topic", "boats"))
    bob.say("see?")
    assert ann.take(bob.written) is Verdict.BAD
    ann.take_all(bob)
    assert ann.group.membership.setting("topic") == "boats"


@pytest.mark.parametrize(
    "act",
    [
        Setting((), "topic", "x" * 600),
        Remove((), b"short", ()),
    ],
)
def test_a_malformed_act_is_the_authors_fault(act: msgspec.Struct) -> None:
    ann, bob = founder("Ann", "Bob")
    bob.begin()
    bob.own(SETTING if isinstance(act, Setting) else 18, act)
    ann.take(bob.written[:1])
    assert ann.take(bob.written[1:]) is Verdict.BAD


def test_a_removal_has_to_show_signatures_of_the_removed() -> None:
    ann, bob = founder("Ann", "Bob")
    head = bob.say("hello")
    ann.take_all(bob)
    forged = msgspec.structs.replace(head, signature=bytes(64))
    with pytest.raises(AssertionError):
        ann.remove(bob, forged)


def test_what_was_written_beyond_a_cut_is_excess_and_more_is_not_taken() -> None:
    ann, bob, carol = founder("Ann", "Bob", "Carol")
    head = bob.say("one")
    bob.say("two")
    for other in (ann, carol):
        for entry in bob.written[: head.header.seq + 1]:
            other.take([entry])
    carol.take_all(bob)
    ann.remove(bob, head)
    assert not ann.group.excess()
    assert ann.take(bob.written[head.header.seq + 1 :]) is Verdict.STRANGER
    carol.take_all(ann)
    (limit,) = carol.group.excess().values()
    assert (limit.seq, limit.id) == (head.header.seq, head.id)
    assert carol.group.is_cut(bob.written[-1])
    assert not carol.group.is_cut(head)


def test_a_run_that_goes_beyond_a_cut_is_taken_up_to_there() -> None:
    ann, bob, carol = founder("Ann", "Bob", "Carol")
    head = bob.say("one")
    for entry in bob.written:
        ann.take([entry])
    bob.say("two")
    ann.remove(bob, head)
    carol.take_all(ann)
    taken = carol.take(bob.written)
    assert isinstance(taken, Accepted)
    assert taken.beyond
    assert taken.entries[-1].id == head.id
    # Its own signature came with the removal, so that it can be passed on.
    assert taken.entries[-1].signature == head.signature
    assert carol.take([bob.written[-1]]) is Verdict.STRANGER


def test_a_removal_makes_a_key_that_the_removed_does_not_get() -> None:
    ann, bob, carol = founder("Ann", "Bob", "Carol")
    before = ann.group.writing_epoch()
    bob.begin()
    ann.take_all(bob)
    ann.remove(bob, bob.written[-1])
    after = ann.group.writing_epoch()
    assert after not in (None, before)
    said = ann.say("alone")
    carol.take_all(ann)
    assert carol.group.read(said) == MessageBody("alone")
    for entry in ann.written[bob.group.seq(ann.chain) + 1 :]:
        bob.group.accept([entry.raw], [entry.body], entry.signature or b"")
        bob.group.open_epochs(entry, bob.identity)
    assert bob.group.read(said) is None


def test_a_key_that_somebody_removed_has_made_is_not_written_under() -> None:
    """Though it names members alone: whoever made it has it."""
    ann, bob, carol = founder("Ann", "Bob", "Carol")
    members = ann.group.certificates_of({ann.identity.person, carol.identity.person})
    bob.begin()
    key = bytes(range(32))
    epoch, body = seal_epoch(bob.group.room, key, members, bob.group.tips())
    bob.own(EPOCH, body, epoch)
    ann.take_all(bob)
    assert ann.group.writing_epoch() == epoch
    ann.remove(bob, bob.written[-1])
    assert ann.group.writing_epoch() != epoch


def test_keys_made_at_once_become_one_again() -> None:
    ann, bob, carol = founder("Ann", "Bob", "Carol")
    bob.begin()
    ann.take_all(bob)
    carol.take_all(bob)
    ann.remove(bob, bob.written[-1])
    # carol has seen the removal, and not the key that came with it.
    for entry in ann.written[carol.group.seq(ann.chain) + 1 :]:
        carol.take([entry])
        if entry.header.kind == 18:
            break
    carol.say("mine")
    assert carol.group.writing_epoch() != ann.group.writing_epoch()
    ann.take_all(carol)
    carol.take_all(ann)
    assert carol.group.writing_epoch() == ann.group.writing_epoch()
    assert len(ann.group.tips()) == 2
    ann.say("ours")
    # To those who have both it makes no difference; who comes gets one that leads to both.
    assert len(ann.group.tips()) == 2
    dave = Writer("Dave", ann.group.room)
    ann.admit(dave)
    assert len(ann.group.tips()) == 1
    dave.take_all(ann)
    dave.take_all(carol)
    texts = [dave.group.read(one) for one in (*ann.written, *carol.written)]
    assert {one.text for one in texts if isinstance(one, MessageBody)} == {"mine", "ours"}


def test_an_act_outside_its_chain_has_to_be_signed_by_somebody_once_named() -> None:
    ann, bob = founder("Ann", "Bob")
    mallory = Writer("Mallory", ann.group.room)
    bob.begin()
    entry = bob.act(
        SETTING, Setting(bob.group.membership.seen(bob.identity.person), "topic", "boats")
    )
    assert ann.group.contested(entry, bob.identity.certificate) is not None
    assert ann.group.contested(entry, mallory.identity.certificate) is None
    unsigned = msgspec.structs.replace(entry, signature=bytes(64))
    assert ann.group.contested(unsigned, bob.identity.certificate) is None
    theirs = mallory.own(SETTING, Setting((), "topic", "mine"))
    assert ann.group.contested(theirs, mallory.identity.certificate) is not None
    assert ann.group.is_placed(bob.identity.person)
    assert not ann.group.is_placed(mallory.identity.person)
    message = bob.say("no act")
    assert ann.group.contested(message, bob.identity.certificate) is None


def test_chains_are_told_in_the_order_in_which_they_can_be_understood() -> None:
    ann, bob, carol = founder("Ann", "Bob", "Carol")
    dave = Writer("Dave", ann.group.room)
    bob.admit(dave)
    dave.take_all(ann)
    dave.take_all(bob)
    dave.say("hi")
    ann.take_all(bob)
    ann.take_all(dave)
    carol.say("hello")
    ann.take_all(carol)
    order = list(ann.group.in_order())
    assert order[0] == ann.chain
    assert order[-1] == dave.chain


def test_a_chain_without_end_counts_without_end() -> None:
    ann, bob = founder("Ann", "Bob")
    bob.begin()
    ann.take_all(bob)
    assert ann.group.limit(bob.chain) == OPEN
    assert ann.group.counts_to(bob.chain) is None


def _as_another(entry: Entry, writer: Writer) -> Entry:
    id_ = entry_id(entry.raw)
    return msgspec.structs.replace(entry, signature=writer.identity.sign(statement(id_)))


def test_what_another_signed_is_not_taken() -> None:
    ann, bob, carol = founder("Ann", "Bob", "Carol")
    entry = bob.say("hello")
    for one in bob.written[:-1]:
        ann.take([one])
    assert ann.take([_as_another(entry, carol)]) is Verdict.BAD
    assert entry.header.kind == MESSAGE


class Logs(RuleBasedStateMachine):
    """A member writes more logs than have places; whoever was told of which, all end alike."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.stack.enter_context(patch("p2pchat.core.group.CHAINS_EACH_MAX", 3))
        *self.members, self.mallory = founder("Ann", "Bob", "Carol", "Mallory")
        self.runs: dict[bytes, list[list[Entry]]] = {}
        self.removals = 0
        for number in range(8):
            self.mallory.incarnation = bytes([number]) * 8
            self.mallory.written = []
            self.mallory.act(SETTING, Setting((), "topic", str(number)))
            self.runs[self.mallory.chain] = [[entry] for entry in self.mallory.written]

    @rule(one=st.integers(0, 2), log=st.integers(0, 7), count=st.integers(1, 2))
    def tell(self, one: int, log: int, count: int) -> None:
        member = self.members[one]
        for run in list(self.runs.values())[log][:count]:
            if member.group.seq(run[0].chain) < run[0].header.seq:
                member.take(run)
        self.carry_out(member)

    @rule(one=st.integers(0, 2), other=st.integers(0, 2))
    def meet(self, one: int, other: int) -> None:
        a, b = self.members[one], self.members[other]
        for member, peer in ((a, b), (b, a)):
            for writer in (*self.members, self.mallory):
                if writer.written and peer is not writer and writer is not self.mallory:
                    runs = [[entry] for entry in writer.written]
                    self.serve(member, peer, runs)
            for runs in self.runs.values():
                self.serve(member, peer, runs)
        self.carry_out(a)
        self.carry_out(b)

    @rule(logs=st.sets(st.integers(0, 7), max_size=3))
    def remove(self, logs: set[int]) -> None:
        """By ann, who leaves some of what she has."""
        ann = self.members[0]
        held = [runs for at, runs in enumerate(self.runs.values()) if at in logs]
        heads = [runs[ann.group.seq(runs[0][0].chain)][0] for runs in held
                 if ann.group.seq(runs[0][0].chain) >= 0]  # fmt: skip
        if heads and not self.removals:
            self.removals += 1
            cuts = tuple(
                Cut(one.header.device, one.header.incarnation, one.header.seq, one.id,
                    one.signature or b"") for one in heads
            )  # fmt: skip
            seen = ann.group.membership.seen(ann.identity.person)
            ann.act(REMOVE, Remove(seen, self.mallory.identity.person, cuts))
            self.carry_out(ann)

    def serve(self, member: Writer, peer: Writer, runs: list[list[Entry]]) -> None:
        chain = runs[0][0].chain
        for run in runs[peer.group.seq(chain) + 1 : member.group.seq(chain) + 1]:
            peer.take(run)
            self.carry_out(peer)

    def carry_out(self, member: Writer) -> None:
        entries = {run[0].id: run[0] for runs in self.runs.values() for run in runs}
        for chain, limit in member.group.excess().items():
            last = entries.get(limit.id)
            head = None
            if limit.seq is not None and limit.seq >= 0 and last is not None:
                head = Head(limit.seq, last.id, last.header.device, last.header.time)
            member.group.shorten(chain, head)

    def teardown(self) -> None:
        for _ in range(4):
            for one, other in ((0, 1), (1, 2), (0, 2)):
                self.meet(one, other)
        groups = [member.group for member in self.members]
        assert len({group.digest() for group in groups}) == 1
        for group in groups:
            held = [chain for chain in self.runs if chain in group.heads]
            assert len(held) <= 3
            assert not group.excess()
        self.stack.close()


TestLogs = Logs.TestCase
TestLogs.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


def test_of_more_logs_than_have_places_those_with_the_least_ids_have_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("p2pchat.core.group.CHAINS_EACH_MAX", 2)
    ann, mallory = founder("Ann", "Mallory")
    logs: dict[bytes, Entry] = {}
    for number in range(5):
        mallory.incarnation = bytes([number]) * 8
        mallory.begin()
        logs[mallory.chain] = mallory.written[-1]
    for chain in sorted(logs, reverse=True):
        assert isinstance(ann.take([logs[chain]]), Accepted)
        for beyond in ann.group.excess():
            ann.group.shorten(beyond, None)
    least = sorted(logs)[:2]
    assert [chain for chain in sorted(ann.group.heads) if chain in logs] == least
    surplus = sorted(logs)[2]
    assert ann.take([logs[surplus]]) is Verdict.STRANGER
    # Nobody waits for it: what the peer has of it is not lacking here.
    assert ann.group.counts_to(surplus) == -1
    # A log that is known to be forked leaves its place to another.
    ann.group.stop(least[0], None)
    assert ann.group.counts_to(surplus) is None
    assert isinstance(ann.take([logs[surplus]]), Accepted)


def test_a_forged_certificate_of_whoever_is_barred_stops_nobodys_chain() -> None:
    """Below the first header of somebody else's new device: all members refuse it alike."""
    ann, bob, mal, vic = founder("Ann", "Bob", "Mal", "Vic")
    for proof in forks(mal.group, mal.identity, FORKS_EACH_MAX + 1, 5):
        assert bob.group.prove(proof) is not None
    assert bob.group.barred == {mal.identity.person}
    phone = Writer("Vic", ann.group.room)
    phone.identity = Identity._certified(
        SigningKey(vic.identity.person_seed), SigningKey(bytes(range(32))),
        vic.identity.prekey_secret, "Vic",
    )  # fmt: skip
    phone.take_all(ann)
    phone.begin()
    (first,) = phone.written
    genuine = mal.identity.certificate
    forged = msgspec.structs.replace(genuine, device=phone.identity.device)
    for certificate in (genuine, forged):
        false = msgspec.structs.replace(first, body=msgspec.msgpack.encode(certificate))
        for member in (ann, bob):
            assert member.take([false]) is Verdict.BAD
    assert isinstance(ann.take([first]), Accepted)
    assert isinstance(bob.take([first]), Accepted)
    # Of a new device of whoever is barred nothing is taken, by its own word.
    mal.identity = Identity._certified(
        SigningKey(mal.identity.person_seed), SigningKey(bytes(range(1, 33))),
        mal.identity.prekey_secret, "Mal",
    )  # fmt: skip
    mal.begin()
    assert bob.take([mal.written[-1]]) is Verdict.FORKED
