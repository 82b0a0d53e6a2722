import msgspec
import pytest

from p2pchat.core.bounds import FORKS_EACH_MAX
from p2pchat.core.chain import Accepted, Branch, Fork, ForkProof, Head, Verdict
from p2pchat.core.entry import (
    DELETE,
    DEVICE,
    EDIT,
    MESSAGE,
    DeleteBody,
    EditBody,
    Entry,
    MessageBody,
    entry_id,
    statement,
)
from p2pchat.core.identity import Identity
from tests.harness.pair import START, Journal, forks, random_from


@pytest.fixture
def talk(journals: tuple[Journal, Journal]) -> tuple[Journal, Journal, list[Entry]]:
    """Ann has written; Bob has nothing of it yet."""
    ann, bob = journals
    entries = ann.begin([bob.identity])
    entries += [ann.say(f"message {number}") for number in range(5)]
    return ann, bob, entries


def test_a_run_is_taken_read_and_becomes_the_head(
    talk: tuple[Journal, Journal, list[Entry]],
) -> None:
    ann, bob, entries = talk
    assert isinstance(bob.take(entries[:4]), Accepted)
    assert isinstance(bob.take(entries[4:]), Accepted)
    assert bob.texts() == ann.texts() == [f"message {number}" for number in range(5)]
    assert bob.chains.digest() == ann.chains.digest()
    assert bob.chains.total == 7


def test_overlaps_are_skipped_and_gaps_are_told(
    talk: tuple[Journal, Journal, list[Entry]],
) -> None:
    _, bob, entries = talk
    assert bob.take(entries[3:]) is Verdict.GAP
    bob.take(entries[:4])
    assert bob.take(entries[:4]) is Verdict.KNOWN
    assert bob.take(entries[1:3]) is Verdict.KNOWN
    taken = bob.take(entries[2:6])
    assert isinstance(taken, Accepted)
    assert [entry.header.seq for entry in taken.entries] == [4, 5]


def _resigned(journal: Journal, entry: Entry, **fields: object) -> Entry:
    header = msgspec.structs.replace(entry.header, **fields)
    raw = msgspec.msgpack.encode(header)
    id_ = entry_id(raw)
    return Entry(id_, entry.chain, header, raw, entry.body, journal.identity.sign(statement(id_)))


def test_a_fork_stops_its_chain_and_no_other(talk: tuple[Journal, Journal, list[Entry]]) -> None:
    ann, bob, entries = talk
    bob.take(entries[:4])
    twin = _resigned(ann, entries[3], time=entries[3].header.time + 1)
    before = bob.chains.digest()
    fork = bob.take([twin])
    assert isinstance(fork, Fork)
    assert (fork.chain, fork.seq) == (twin.chain, 3)
    assert bob.chains.digest() != before
    assert bob.take(entries[4:]) is Verdict.FORKED
    bob.begin([ann.identity])
    assert bob.chains.seq(bob.own) == 1


def test_what_only_its_author_could_contradict_is_no_fork_unless_it_signed(
    talk: tuple[Journal, Journal, list[Entry]],
) -> None:
    ann, bob, entries = talk
    bob.take(entries[:4])
    forged = [
        msgspec.structs.replace(
            _resigned(ann, entries[3], time=entries[3].header.time + 1), signature=bytes(64)
        ),
        _resigned(bob, entries[3], time=entries[3].header.time + 1),
        msgspec.structs.replace(_resigned(ann, entries[4], prev=bytes(32)), signature=bytes(64)),
    ]
    for entry in forged:
        assert bob.take([entry]) is Verdict.BAD
    # Signed, but not following from what contradicts.
    apart = [_resigned(ann, entries[3], time=entries[3].header.time + 1), entries[5]]
    assert bob.take(apart) is Verdict.BAD
    assert not bob.chains.forks
    assert isinstance(bob.take(entries[4:]), Accepted)


def _branch(*entries: Entry) -> Branch:
    signature = entries[-1].signature
    assert signature is not None
    return Branch(tuple(entry.raw for entry in entries), signature)


def test_a_proof_convinces_whoever_knows_the_device(
    talk: tuple[Journal, Journal, list[Entry]],
) -> None:
    ann, bob, entries = talk
    twin = _resigned(ann, entries[3], time=entries[3].header.time + 1)
    grown = _resigned(ann, entries[4], prev=twin.id)
    for other in (_branch(twin), _branch(twin, grown), _branch(grown)):
        for proof in (
            ForkProof(_branch(*entries[3:]), other),
            ForkProof(other, _branch(*entries[3:])),
        ):
            fresh = Journal(bob.identity, tuple(bob.chains.members), 3)
            assert fresh.chains.prove(proof) is None, "of nobody known here"
            assert isinstance(fresh.take(entries[:2]), Accepted)
            assert fresh.chains.prove(proof) == twin.chain
            assert fresh.take(entries[2:]) is Verdict.FORKED


def test_what_proves_nothing_convinces_nobody(talk: tuple[Journal, Journal, list[Entry]]) -> None:
    ann, bob, entries = talk
    bob.take(entries[:2])
    twin = _resigned(ann, entries[3], time=entries[3].header.time + 1)
    whole, branch = _branch(*entries[3:]), _branch(twin)
    for proof in (
        ForkProof(whole, whole),
        ForkProof(_branch(entries[3]), _branch(entries[5])),
        ForkProof(whole, Branch(branch.headers, bytes(64))),
        ForkProof(whole, Branch((b"",), branch.signature)),
        ForkProof(whole, Branch((), branch.signature)),
        ForkProof(whole, _branch(twin, entries[5])),
        ForkProof(whole, _branch(_resigned(ann, twin, incarnation=b"other..."))),
        ForkProof(whole, _branch(_resigned(ann, twin, room=bytes(32)))),
    ):
        assert bob.chains.prove(proof) is None
    assert not bob.chains.forks


def test_a_header_beside_what_is_signed_proves_nothing(
    talk: tuple[Journal, Journal, list[Entry]],
) -> None:
    _, bob, entries = talk
    assert isinstance(bob.take(entries), Accepted)
    *_, before, last = entries
    assert before.signature is not None
    assert last.signature is not None
    # Its author never signed it: anybody can make one that follows an entry of somebody else's.
    forged = msgspec.msgpack.encode(msgspec.structs.replace(last.header, time=last.header.time + 1))
    real = Branch((last.raw,), last.signature)
    for way in ((before.raw, forged, before.raw), (before.raw, forged, last.raw)):
        signature = before.signature if way[-1] == before.raw else last.signature
        assert bob.chains.prove(ForkProof(Branch(way, signature), real)) is None
        assert bob.chains.prove(ForkProof(real, Branch(way, signature))) is None
    assert not bob.chains.forks


def test_a_chain_that_grows_out_of_a_twin_is_a_fork(
    talk: tuple[Journal, Journal, list[Entry]],
) -> None:
    ann, bob, entries = talk
    bob.take(entries[:4])
    strange = _resigned(ann, entries[4], prev=bytes(32))
    fork = bob.take([strange])
    assert isinstance(fork, Fork)
    proof = ForkProof(_branch(*entries[fork.seq : 4]), fork.branch)
    assert bob.chains.prove(proof) == strange.chain
    assert bob.chains.forks == {strange.chain: proof}


def test_what_is_forged_is_not_taken(talk: tuple[Journal, Journal, list[Entry]]) -> None:
    ann, bob, entries = talk
    replace = msgspec.structs.replace
    eve = Journal(Identity.create("Eve", random_from(66)), tuple(ann.chains.members), 66)
    forged = {
        "another's signature": [*entries[:3], replace(entries[3], signature=bytes(64))],
        "a body swapped": [*entries[:2], replace(entries[2], body=entries[3].body), entries[3]],
        "a body missing that proves membership": [replace(entries[0], body=None), *entries[1:]],
        "a gap inside": [entries[0], entries[2]],
        "no device entry first": [_resigned(ann, entries[0], kind=MESSAGE)],
        "a device of nobody here": eve.begin([]),
        "another room": [_resigned(ann, entries[0], room=bytes(32))],
    }
    for what, run in forged.items():
        assert bob.take(run) is Verdict.BAD, what
    assert bob.chains.total == 0
    assert isinstance(bob.take(entries), Accepted)


def test_a_certificate_of_another_device_is_not_taken(
    journals: tuple[Journal, Journal],
) -> None:
    ann, bob = journals
    stolen = ann.chains.write(
        ann.identity,
        ann.incarnation,
        time=(1_800_000_000_000 << 16),
        kind=DEVICE,
        body=bob.identity.certificate,
        random=ann.random,
    )
    assert bob.take([stolen]) is Verdict.BAD


def test_what_says_something_of_a_message_may_not_come_without_its_body(
    talk: tuple[Journal, Journal, list[Entry]],
) -> None:
    ann, bob, entries = talk
    assert isinstance(bob.take(entries), Accepted)
    epoch = ann.chains.writing_epoch()
    assert epoch is not None
    target = entries[-1].id
    delete = ann._write(DELETE, DeleteBody(target), epoch)
    assert bob.take([msgspec.structs.replace(delete, body=None)]) is Verdict.BAD
    assert isinstance(bob.take([delete]), Accepted)
    edit = ann._write(EDIT, EditBody(target, "x"), epoch)
    assert isinstance(bob.take([msgspec.structs.replace(edit, body=None)]), Accepted)


def test_a_deleted_body_leaves_the_chain_verifiable(
    talk: tuple[Journal, Journal, list[Entry]],
) -> None:
    _, bob, entries = talk
    gone = [*entries[:3], msgspec.structs.replace(entries[3], body=None), *entries[4:]]
    assert isinstance(bob.take(gone), Accepted)
    assert bob.chains.read(gone[3]) is None
    assert isinstance(bob.chains.read(gone[4]), MessageBody)


def test_an_epoch_for_somebody_else_too_is_not_used(journals: tuple[Journal, Journal]) -> None:
    ann, bob = journals
    eve = Identity.create("Eve", random_from(66))
    bob.take(ann.begin([bob.identity, eve]))
    assert bob.chains.writing_epoch() is None


def test_entries_name_what_their_author_had_seen(journals: tuple[Journal, Journal]) -> None:
    ann, bob = journals
    first = ann.begin([bob.identity])
    bob.take(first)
    bob.begin([ann.identity])
    assert bob.entries[bob.own][0].header.after == (first[-1].id,)
    assert bob.say("again").header.after == ()
    bob.take([ann.say("more")])
    assert len(bob.say("seen").header.after) == 1


def test_what_came_last_is_named_first_however_wrong_its_clock(
    journals: tuple[Journal, Journal],
) -> None:
    ann, bob = journals
    ann.begin([bob.identity])
    ids = [bytes([number]) * 32 for number in range(6)]
    for number, id_ in enumerate(ids):
        # Each clock is further behind than the one before.
        head = Head(0, id_, bob.identity.device, START - (number << 40))
        ann.chains.restore(id_[:16], head)
    assert ann.say("one").header.after == tuple(ids[2:])
    assert ann.say("two").header.after == tuple(ids[:2])
    assert ann.say("three").header.after == ()
    ann.chains.restore(ids[0][:16], Head(1, bytes(32), bob.identity.device, 0))
    assert ann.say("four").header.after == (bytes(32),)


def test_of_whoever_forks_without_end_nothing_is_taken_and_little_kept(
    talk: tuple[Journal, Journal, list[Entry]],
) -> None:
    ann, bob, entries = talk
    bob.take(entries[:4])
    proofs = forks(ann.chains, ann.identity, 3 * FORKS_EACH_MAX, 5)
    for proof in proofs[:FORKS_EACH_MAX]:
        assert bob.chains.prove(proof) is not None
    assert isinstance(bob.take(entries[:5]), Accepted), "each log for itself, so far"
    assert sum(bob.chains.prove(proof) is not None for proof in proofs[FORKS_EACH_MAX:]) == 1
    assert bob.chains.barred == {ann.identity.person}
    assert bob.take(entries) is Verdict.FORKED
    anew = Journal(ann.identity, tuple(ann.chains.members), 9)
    [first, *_] = anew.begin([])
    assert bob.take([first]) is Verdict.FORKED
    assert anew.own in bob.chains.forks, "nothing of it is waited for"
    assert sum(proof is not None for proof in bob.chains.forks.values()) == FORKS_EACH_MAX + 1


def test_whichever_forks_are_shown_first_all_come_to_the_same(
    talk: tuple[Journal, Journal, list[Entry]],
) -> None:
    ann, bob, entries = talk
    proofs = forks(ann.chains, ann.identity, 2 * FORKS_EACH_MAX + 2, 5)
    digests = set()
    for at, shown in enumerate((proofs, proofs[::-1], proofs[FORKS_EACH_MAX:])):
        member = Journal(bob.identity, tuple(bob.chains.members), 3)
        # Nor does it matter how much of the others they hold.
        member.take(entries[: 2 + at])
        for proof in shown:
            member.chains.prove(proof)
        digests.add(member.chains.digest())
    assert len(digests) == 1
    again = Journal(bob.identity, tuple(bob.chains.members), 3)
    again.take(entries[:3])
    for chain, proof in member.chains.forks.items():
        if proof is not None:
            again.chains.stop(chain, proof)
    assert digests == {again.chains.digest()}, "as from disk"
