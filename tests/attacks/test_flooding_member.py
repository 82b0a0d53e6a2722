"""What a member tries by sheer number: acts, chains, forks, keys. Others must go on undisturbed."""

import asyncio
import copy
import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nacl.signing import SigningKey

from p2pchat.core.acts import ADMIN, ADMIT, MEMBER, ROLE, SETTING, Admit, Role, Seen, Setting
from p2pchat.core.bounds import STRAYS_MAX
from p2pchat.core.chain import Accepted, Chains, Verdict
from p2pchat.core.clock import stamp
from p2pchat.core.entry import (
    DEVICE,
    EPOCH,
    GRANT,
    MESSAGE,
    Entry,
    GrantBody,
    MessageBody,
    Recipient,
)
from p2pchat.core.facts import Append
from p2pchat.core.group import Group
from p2pchat.core.identity import Identity
from p2pchat.core.judgement import Judgement
from p2pchat.core.membership import Membership
from p2pchat.core.sealing import seal_epoch
from p2pchat.core.wire import SignedAct
from p2pchat.node.groups import Groups, signed_act
from p2pchat.store.database import Connection
from tests.harness.crew import Crew, Sailor
from tests.harness.writer import Writer, founder

guarded = pytest.mark.parametrize("guard", [False, True], ids=["check taken out", "as it is"])


@guarded
def test_crowding_out_what_entitles_an_admin(
    monkeypatch: pytest.MonkeyPatch, *, guard: bool
) -> None:
    """More chains with acts than an act can name, so that no admin can show that it is one."""
    if not guard:
        monkeypatch.setattr(Membership, "seen", _first_chains)
    monkeypatch.setattr("p2pchat.core.membership.ACT_SEEN_MAX", 8)
    ann, bob, mallory = founder("Ann", "Bob", "Mallory")
    ann.act(ROLE, Role(ann.group.membership.seen(ann.identity.person), bob.identity.person, ADMIN))
    bob.take_all(ann)
    mallory.take_all(ann)
    for entry in _low_chains(mallory, below=ann.chain, count=8):
        assert isinstance(bob.take(entry), Accepted)
    bob.remove(mallory, mallory.say("hi"))
    assert (mallory.identity.person in bob.group.members) is not guard


def _first_chains(self: Membership, author: bytes) -> tuple[Seen, ...]:
    del author
    views = self._judge().views
    newest = [views.acts[tips[0]] for _, tips in sorted(views.tips())]
    return tuple(Seen(one.chain, one.seq, one.id[:8]) for one in newest[:8])


def _low_chains(mallory: Writer, below: bytes, count: int) -> Iterator[list[Entry]]:
    """Runs of new chains of mallory's, each with an act, whose ids come first."""
    number = 0
    while count:
        number += 1
        mallory.incarnation = hashlib.sha256(number.to_bytes(8, "big")).digest()[:8]
        if mallory.chain < below:
            count -= 1
            mallory.written = []
            mallory.act(SETTING, Setting((), "topic", str(number)))
            yield [mallory.written[0]]
            yield [mallory.written[1]]


@guarded
def test_filling_the_room_with_logs(monkeypatch: pytest.MonkeyPatch, *, guard: bool) -> None:
    """As many chains as a room has, so that newcomers cannot write, and links with them end."""
    monkeypatch.setattr("p2pchat.core.chain.CHAINS_MAX", 8)
    monkeypatch.setattr("p2pchat.core.group.CHAINS_EACH_MAX", 4 if guard else 8)
    monkeypatch.setattr(Group, "_full", Group._full if guard else Chains._full)
    monkeypatch.setattr(Group, "_is_full", Group._is_full if guard else Chains._is_full)
    ann, bob, mallory = founder("Ann", "Bob", "Mallory")
    for number in range(8):
        mallory.incarnation = bytes([number]) * 8
        mallory.written = []
        mallory.begin()
        taken = ann.take(mallory.written)
        assert isinstance(taken, Accepted) or taken is Verdict.STRANGER or not guard
    bob.begin()
    assert isinstance(ann.take(bob.written), Accepted) is guard


@guarded
def test_puppets_that_fill_the_room_with_logs(
    monkeypatch: pytest.MonkeyPatch, *, guard: bool
) -> None:
    """Each has as many as one may have: whoever is heard after that is mute, for some."""
    monkeypatch.setattr("p2pchat.core.chain.CHAINS_MAX", 16)
    monkeypatch.setattr("p2pchat.core.group.CHAINS_EACH_MAX", 4)
    if not guard:
        monkeypatch.setattr(Group, "_is_full", Chains._is_full)
    ann, bob, mallory = founder("Ann", "Bob", "Mallory")
    puppets = [Writer(f"puppet {number}", ann.group.room) for number in range(5)]
    for puppet in puppets:
        mallory.admit(puppet)
    ann.take_all(mallory)
    for puppet in puppets:
        puppet.take_all(ann)
        puppet.take_all(mallory)
        for number in range(4):
            puppet.incarnation = bytes([number]) * 8
            puppet.written = []
            puppet.begin()
            ann.take(puppet.written)
    assert len(ann.group.heads) == (17 if guard else 16)
    bob.begin()
    assert isinstance(ann.take(bob.written), Accepted) is guard
    bob.incarnation = b"another!"
    bob.written = []
    bob.begin()
    assert ann.take(bob.written) is Verdict.STRANGER


def test_keys_that_lead_in_a_circle() -> None:
    """Epochs that name each other as parents: what follows them is still deeper."""
    ann, mallory = founder("Ann", "Mallory")
    mallory.begin()
    everybody = [ann.identity.certificate, mallory.identity.certificate]
    made = [seal_epoch(ann.group.room, bytes([at]) * 32, everybody, []) for at in range(1, 9)]
    for (id_, body), (parent, _) in zip(made, made[1:] + made[:1], strict=True):
        entry = mallory.own(EPOCH, msgspec.structs.replace(body, parents=(parent,)), id_)
        mallory.group.open_epochs(entry, mallory.identity)
    ann.take_all(mallory)
    for _ in range(20):
        ann.say("on we go")
    kinds = [entry.header.kind for entry in ann.written[-10:]]
    assert kinds == [MESSAGE] * 10
    mallory.take_all(ann)
    assert mallory.group.read(ann.written[-1]) == MessageBody("on we go")


def test_an_epoch_that_is_claimed_for_others_is_opened_nevertheless() -> None:
    """mallory tells bob, before ann can, that an epoch of ann's was made for other people."""
    ann, bob, mallory = founder("Ann", "Bob", "Mallory")
    said = ann.say("hello")
    mallory.take_all(ann)
    mallory.begin()
    ours = next(entry for entry in reversed(ann.written) if entry.header.kind == EPOCH)
    _, body = seal_epoch(ann.group.room, bytes(32), [mallory.identity.certificate], [])
    mallory.own(EPOCH, body, ours.header.epoch)
    fresh = Writer("Bob", ann.group.room)
    for entry in ann.written[: ann.written.index(ours)]:
        fresh.take([entry])
    assert fresh.group.learn_epoch(mallory.written[-1], mallory.identity.person)
    for entry in ann.written[ann.written.index(ours) :]:
        fresh.take([entry])
    assert fresh.group.read(said) == MessageBody("hello")
    del bob


def test_a_grant_that_comes_before_its_epoch_is_kept_for_it() -> None:
    ann, bob = founder("Ann", "Bob")
    said = ann.say("hello")
    bob.take_all(ann)
    carol = Writer("Carol", ann.group.room)
    bob.admit(carol)
    grant = bob.written[-1]
    assert grant.header.kind == GRANT
    carol.group.certify(bob.identity.certificate)
    assert not carol.group.open_epochs(grant, carol.identity)
    carol.take_all(ann)
    assert carol.group.read(said) == MessageBody("hello")


@guarded
def test_devices_without_end(monkeypatch: pytest.MonkeyPatch, *, guard: bool) -> None:
    """As many devices as one likes, to each of which everybody has to seal every key."""
    if not guard:
        monkeypatch.setattr("p2pchat.core.group.DEVICES_EACH_MAX", 1 << 20)
    ann, mallory = founder("Ann", "Mallory")
    for number in range(40):
        phone = Writer("Mallory", ann.group.room, incarnation=bytes([number]) * 8)
        phone.identity = Identity._certified(
            SigningKey(mallory.identity.person_seed), SigningKey(bytes([number]) * 32),
            mallory.identity.prekey_secret, "Mallory",
        )  # fmt: skip
        phone.take_all(ann)
        phone.begin()
        ann.take_all(phone)
    assert len(ann.group.certificates_of(ann.group.members)) == (17 if guard else 42)


@guarded
async def test_two_histories_that_let_somebody_in_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, guard: bool
) -> None:
    """A fork: ann is shown a history with an admission, bob one without, each for good."""
    if not guard:
        monkeypatch.setattr(Groups, "forked_acts", _none)
    async with Crew.open(tmp_path, "ann", "bob", "mallory", "puppet") as crew:
        room = await crew.found("ann")
        await crew.bring("ann", "bob", "mallory")
        await crew["mallory"].say("hi")
        await crew.settle("ann", "bob", "mallory")
        await crew.cut_all()
        ann, bob, puppet = crew["ann"], crew["bob"], crew["puppet"].node.identity.certificate
        mallory = crew["mallory"].node
        own = Group(room)
        vars(own).update(copy.deepcopy(vars(crew["mallory"].group(room))))
        seen = own.membership.seen(mallory.identity.person)
        for sailor, kind, body in (
            (ann, ADMIT, Admit(seen, puppet)),
            (bob, SETTING, Setting(seen, "topic", "nobody came")),
        ):
            branch = copy.deepcopy(own)
            entry = branch.write(
                mallory.identity,
                mallory._parts.rooms._incarnation,
                time=1_800_000_000_000 << 16,
                kind=kind,
                body=body,
                random=os.urandom,
            )
            assert isinstance(_take(sailor.group(room), entry), Accepted)
            await sailor.parts.rooms.commit([Append(room, (entry,))], None)
        await crew.link("ann", "bob")
        await crew.until(lambda: bool(ann.group(room).forks and bob.group(room).forks))

        def agreed() -> bool:
            return ann.group(room).members == bob.group(room).members

        if guard:
            await crew.until(agreed)
            assert puppet.person in bob.group(room).members
        else:
            await asyncio.sleep(1)
            assert not agreed()


def _take(group: Group, entry: Entry) -> object:
    assert entry.signature is not None
    return group.accept([entry.raw], [entry.body], entry.signature)


async def _none(*_: object) -> list[object]:
    return []


def _grant(mallory: Writer, whom: Writer, epoch: bytes) -> None:
    """Say to have given a key to somebody; whether what is sealed is the key tells nobody."""
    one = whom.identity.certificate
    recipient = Recipient(one.person, one.device, one.prekey, bytes(80))
    mallory.own(GRANT, GrantBody((recipient,)), epoch)


def _keys_of(writer: Writer) -> int:
    return sum(entry.header.kind == EPOCH for entry in writer.written)


def _branch(mallory: Sailor, room: bytes, count: int) -> list[Entry]:
    """Admissions in mallory's log, of which it then knows nothing."""
    rooms, group = mallory.parts.rooms, mallory.group(room)
    own = rooms.own_chain(room)
    head, known = copy.copy(group.heads[own]), group.membership.seen(mallory.person)
    found: list[Entry] = []
    for number in range(count):
        seen = {row.chain: row for row in known}
        if found:
            seen[own] = Seen(own, found[-1].header.seq, found[-1].id[:8])
        puppet = Identity.create(f"puppet {number}", os.urandom).certificate
        act = Admit(tuple(sorted(seen.values(), key=lambda row: row.chain)), puppet, MEMBER)
        found.append(_written(mallory, room, rooms._incarnation, ADMIT, act))
    group.heads[own] = head
    return found


def _written(
    mallory: Sailor,
    room: bytes,
    incarnation: bytes,
    kind: int,
    body: msgspec.Struct,
    after: tuple[bytes, ...] = (),
) -> Entry:
    return mallory.group(room).write(
        mallory.parts.rooms.identity(),
        incarnation,
        time=stamp(time.time()),
        kind=kind,
        body=body,
        random=os.urandom,
        after=after,
    )


async def _have(sailor: Sailor, entries: Iterable[Entry]) -> None:
    for entry in entries:
        assert entry.signature is not None
        group = sailor.group(entry.header.room)
        taken = group.accept([entry.raw], [entry.body], entry.signature)
        assert isinstance(taken, Accepted), taken
        await sailor.parts.rooms.commit([Append(group.room, taken.entries)], object())


def _agree(crew: Crew, room: bytes, *names: str) -> bool:
    groups = [crew[name].group(room) for name in names]
    return (
        len({frozenset(group.members) for group in groups}) == 1
        and len({frozenset(group.membership.acts()) for group in groups}) == 1
    )


@asynccontextmanager
async def _apart(tmp_path: Path) -> AsyncIterator[tuple[Crew, bytes]]:
    """ann, bob, mallory and dan are members, and linked with nobody."""
    async with Crew.open(tmp_path, "ann", "bob", "mallory", "dan") as crew:
        room = await crew.found("ann")
        await crew.bring("ann", "bob", "mallory", "dan")
        await crew.link_all()
        await crew.settle()
        await crew.cut_all()
        yield crew, room


async def test_two_histories_with_more_acts_than_are_kept_of_somebody_removed(
    tmp_path: Path,
) -> None:
    """Who holds one of them judges by both, and so does who holds none; also once it is removed."""
    async with _apart(tmp_path) as (crew, room):
        for name in ("ann", "bob"):
            await _have(crew[name], _branch(crew["mallory"], room, 70))
        await crew.link("ann", "bob")
        await crew.link("bob", "dan")
        await crew.until(lambda: len(crew["dan"].group(room).members) == 144, limit_s=40)
        await crew.until(partial(_agree, crew, room, "ann", "bob", "dan"), limit_s=40)
        assert all(crew[name].group(room).forks for name in ("ann", "bob", "dan"))
        await crew.cut_all()
        # ann's view, and 64 of what mallory wrote that ann has not seen.
        late = _branch(crew["mallory"], room, 1)
        await (await crew["ann"].room()).remove("mallory")
        acts = [one for entry in late if (one := _shown(crew["mallory"], entry))]
        await crew["dan"].parts.groups.contested(crew["dan"].group(room), acts)
        assert len(crew["dan"].group(room).members) == 145
        await crew.link("ann", "bob")
        await crew.link("bob", "dan")
        await crew.until(partial(_agree, crew, room, "ann", "bob", "dan"), limit_s=40)
        assert len(crew["ann"].group(room).members) == 143
        assert len(crew["ann"].group(room).membership.acts()) > 140


def _shown(author: Sailor, entry: Entry) -> SignedAct | None:
    return signed_act(entry, author.node.identity.certificate)


async def test_more_logs_than_are_taken_of_one_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each member takes others of them, and yet all judge by the acts in all."""
    monkeypatch.setattr("p2pchat.core.group.CHAINS_EACH_MAX", 72)
    async with _apart(tmp_path) as (crew, room):
        mallory = crew["mallory"]
        group = mallory.group(room)
        seen = group.membership.seen(mallory.person)
        under = group.membership.members[mallory.person].admission
        for name in ("ann", "bob"):
            for number in range(70):
                log = os.urandom(8)
                puppet = Identity.create(f"puppet {number}", os.urandom).certificate
                own = mallory.node.identity.certificate
                first = _written(mallory, room, log, DEVICE, own, (under,))
                act = _written(mallory, room, log, ADMIT, Admit(seen, puppet, MEMBER))
                await _have(crew[name], (first, act))
        await crew.link("ann", "bob")
        await crew.until(lambda: len(crew["ann"].group(room).members) == 144, limit_s=40)
        await crew.until(partial(_agree, crew, room, "ann", "bob"), limit_s=40)
        # Both come to have the same logs, and dan, who has heard of none, has them too.
        await crew.settle("ann", "bob")
        await crew.link("bob", "dan")
        await crew.settle("ann", "bob", "dan")
        await crew.until(lambda: crew.level("ann", "bob", "dan"))
        orders = [await _order(crew[name], room) for name in ("ann", "bob", "dan")]
        assert orders[0] == orders[1] == orders[2]
        held = [crew["ann"].group(room).person_of(chain) for chain in crew["ann"].group(room).heads]
        assert held.count(mallory.person) == 72


async def _order(sailor: Sailor, room: bytes) -> list[bytes]:
    """Ids of all entries in the room's order."""

    def read(tx: Connection) -> list[bytes]:
        query = (
            "SELECT e.id FROM entries e JOIN chains c ON e.chain = c.number"
            " WHERE e.room = ? ORDER BY e.eff, c.chain, e.seq"
        )
        return [id_ for (id_,) in tx.execute(query, (room,))]

    return await sailor.parts.database.read(read)


@guarded
def test_grants_to_somebody_who_never_was_a_member(
    monkeypatch: pytest.MonkeyPatch, *, guard: bool
) -> None:
    """So that a key counts as known outside, and each message needs another."""
    if not guard:
        monkeypatch.setattr(Membership, "was_let_in", lambda self, person: 1 << 20)
    ann, mallory = founder("Ann", "Mallory")
    mallory.begin()
    ann.take_all(mallory)
    outsider = Writer("Outsider", ann.group.room)
    before = _keys_of(ann)
    for number in range(10):
        ann.say(str(number))
        _grant(mallory, outsider, ann.written[-1].header.epoch)
        ann.take_all(mallory)
    assert _keys_of(ann) - before == (0 if guard else 9)


@guarded
def test_grants_to_somebody_who_was_removed(
    monkeypatch: pytest.MonkeyPatch, *, guard: bool
) -> None:
    """A key may be given in good faith by whoever has not heard yet; not each time anew."""
    if not guard:
        monkeypatch.setattr("p2pchat.core.group.STRAYS_MAX", 1 << 20)
    ann, bob, mallory = founder("Ann", "Bob", "Mallory")
    head = bob.say("hello")
    mallory.begin()
    for one in (bob, mallory):
        ann.take_all(one)
    ann.remove(bob, head)
    before = _keys_of(ann)
    for number in range(10):
        ann.say(str(number))
        _grant(mallory, bob, ann.written[-1].header.epoch)
        ann.take_all(mallory)
    assert _keys_of(ann) - before == (STRAYS_MAX if guard else 9)


def test_false_words_on_whom_a_key_was_made_for() -> None:
    """mallory says that a key of ann's was made for somebody removed: the id shows it was not."""
    ann, bob, mallory = founder("Ann", "Bob", "Mallory")
    head = bob.say("hello")
    mallory.begin()
    for one in (bob, mallory):
        ann.take_all(one)
    ann.remove(bob, head)
    before = _keys_of(ann)
    for number in range(5):
        epoch = ann.say(str(number)).header.epoch
        _, body = seal_epoch(ann.group.room, bytes(32), [bob.identity.certificate], [])
        mallory.own(EPOCH, body, epoch)
        ann.take_all(mallory)
    assert _keys_of(ann) == before


def test_a_key_that_was_granted_to_a_member_who_is_removed_later_is_written_under_no_more() -> None:
    """However the grant came: while it was a member, or before anybody here knew of it."""
    ann, bob, carol = founder("Ann", "Bob", "Carol")
    dave = Writer("Dave", ann.group.room)
    key = ann.say("hello").header.epoch
    for one in (bob, carol):
        one.take_all(ann)
    bob.admit(dave)
    assert bob.written[-1].header.kind == GRANT
    # carol hears of the grant first, then that dave came and went.
    carol.group.certify(bob.identity.certificate)
    assert carol.group.learn_epoch(bob.written[-1], bob.identity.person)
    assert carol.group.writing_epoch() == key
    ann.take_all(bob)
    dave.take_all(ann)
    dave.take_all(bob)
    ann.take_all(dave)
    removal = ann.remove(dave, dave.say("hi"))
    for entry in bob.written:
        placed = bob.group.placed(entry, bob.identity.person)
        if placed is not None:
            carol.group.act(placed)
    gone = ann.group.placed(removal, ann.identity.person)
    assert gone is not None
    carol.group.act(gone)
    assert dave.identity.person not in carol.group.members
    assert carol.group.writing_epoch() is None


def test_rubbish_that_is_granted_first_keeps_no_key_shut() -> None:
    """Before its epoch is here nobody can tell which grant is the right one."""
    ann, bob, mallory = founder("Ann", "Bob", "Mallory")
    said = ann.say("hello")
    for one in (bob, mallory):
        one.take_all(ann)
    mallory.begin()
    carol = Writer("Carol", ann.group.room)
    for _ in range(20):
        _grant(mallory, carol, said.header.epoch)
    bob.admit(carol)
    for one in (bob, mallory):
        carol.group.certify(one.identity.certificate)
    for entry in (*mallory.written[1:], bob.written[-1]):
        assert not carol.group.open_epochs(entry, carol.identity)
    carol.take_all(ann)
    assert carol.group.read(said) == MessageBody("hello")


@guarded
def test_logs_that_name_each_others_acts_before_showing_them(
    monkeypatch: pytest.MonkeyPatch, *, guard: bool
) -> None:
    """Each act that others have named changes what these had seen: all is to be judged anew."""
    if not guard:
        monkeypatch.setattr(Membership, "limit_so_far", Membership.limit)
    ann, bob, mallory = founder("Ann", "Bob", "Mallory")
    logs: dict[bytes, list[Entry]] = {bytes(8): [], b"another!": []}
    for number in range(200):
        for mallory.incarnation, log in logs.items():
            mallory.written = []
            seen = mallory.group.membership.seen(mallory.identity.person)
            mallory.act(SETTING, Setting(seen, "topic", str(number)))
            log.extend(mallory.written)
    shown = [entry for log in reversed(logs.values()) for entry in log]
    judged: list[Judgement] = []
    judge = Judgement.__init__

    def counted(self: Judgement, *rest: Any) -> None:
        judged.append(self)
        judge(self, *rest)

    monkeypatch.setattr(Judgement, "__init__", counted)
    for entry in shown:
        assert isinstance(bob.take([entry]), Accepted)
        # As a link does that weighs what it lacks.
        assert bob.group.counts_to(entry.chain) is None
    assert not bob.group.excess()
    assert (len(judged) < 4) is guard
    assert bob.group.members == ann.group.members
    assert bob.group.membership.setting("topic") == "199"
    one_by_one = Membership(bob.group.room)
    one_by_one.add(bob.group.membership.acts().values())
    assert one_by_one.seen(bob.identity.person) == bob.group.membership.seen(bob.identity.person)
