"""What somebody tries who was removed from a room. Each attack works once its check is taken out.

`mallory` runs a node that will not hear of its own removal; what the others run is what people run.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from p2pchat.core import group as group_module
from p2pchat.core.acts import ADMIN, ADMIT, SETTING, Act, Admit, Role, Setting
from p2pchat.core.entry import (
    MESSAGE,
    VERSION,
    Header,
    MessageBody,
    body_hash,
    entry_id,
    statement,
)
from p2pchat.core.facts import Contests
from p2pchat.core.group import Group
from p2pchat.core.judgement import Judgement
from p2pchat.core.membership import OPEN, VOID, Limit, Membership
from p2pchat.core.reconcile import Reconcile
from p2pchat.core.wire import Bodies, Lacking, Run, SignedAct, decode, encode
from p2pchat.node.mesh import Mesh
from p2pchat.store import groups as table
from p2pchat.store import journal
from tests.harness.crew import Crew, Sailor

guarded = pytest.mark.parametrize("guard", [False, True], ids=["check taken out", "as it is"])


@asynccontextmanager
async def removed(tmp_path: Path, *more: str, admin: bool = False) -> AsyncIterator[Crew]:
    """ann, bob and mallory have talked; all are apart, and ann has removed mallory."""
    async with Crew.open(tmp_path, "ann", "bob", "mallory", *more) as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob", "mallory")
        await crew.link_all("ann", "bob", "mallory")
        if admin:
            await (await crew["ann"].room()).set_role("mallory", "admin")
        await crew["mallory"].say("I am nice")
        await crew.settle("ann", "bob", "mallory")
        await crew.cut_all()
        _deafen(crew["mallory"])
        await (await crew["ann"].room()).remove("mallory")
        yield crew


def _deafen(mallory: Sailor) -> None:
    """It takes no act from outside its chains, and so never learns that it was removed."""

    async def contested(session: object, fact: Contests) -> None: ...

    mallory.mesh.contested = contested  # type: ignore[method-assign]


@guarded
async def test_stale_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, guard: bool) -> None:
    """Reading what is said after the removal, however the entries were come by."""
    if not guard:
        monkeypatch.setattr(Group, "writing_epoch", lambda self: max(self.epochs, default=None))
    async with removed(tmp_path) as crew:
        await crew["ann"].say("the new plan")
        room = (await crew["ann"].room()).key
        stolen = await crew["ann"].parts.database.read(
            lambda tx: journal.tail(tx, room, (MESSAGE,), last=1)
        )
        read = crew["mallory"].group(room).read(stolen[0])
        assert read == (None if guard else MessageBody("the new plan"))


@guarded
async def test_stale_key_that_still_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, guard: bool
) -> None:
    """Writing under the old key, over a link to somebody who knows of the removal."""
    if not guard:
        monkeypatch.setattr(Membership, "_limit", lambda *_: OPEN)
        monkeypatch.setattr(Mesh, "shares", lambda *_: True)
    async with removed(tmp_path) as crew:
        await crew["mallory"].say("still here")
        await crew.link("ann", "mallory")
        await crew.link("ann", "bob")
        await crew.settle("ann", "bob")
        await _quiet(crew, "mallory", "ann")
        assert ("still here" in await crew["ann"].texts()) is not guard


@guarded
async def test_old_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, guard: bool) -> None:
    """Fetching over a link that stood before the removal."""
    if not guard:
        monkeypatch.setattr(Reconcile, "close", lambda *_: None)
    async with Crew.open(tmp_path, "ann", "bob", "mallory") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob", "mallory")
        await crew.settle()
        _deafen(crew["mallory"])
        await (await crew["ann"].room()).remove("mallory")
        await crew.settle("ann", "bob")
        sent = crew["ann"].pipes["mallory"].sent
        before = len(sent)
        await crew["ann"].say("the new plan")
        room = (await crew["ann"].room()).key
        crew["mallory"].peers.held[crew["ann"].person].compare(room)
        await _quiet(crew, "mallory", "ann")
        runs = [frame for data in sent[before:] if isinstance(frame := decode(data), Run)]
        assert bool(runs) is not guard


@guarded
async def test_asking_for_bodies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, guard: bool
) -> None:
    """Asking, over a link that stood before the removal, for bodies of which it has the ids."""
    if not guard:
        monkeypatch.setattr(Reconcile, "room", lambda self, tag: self._tags.get(tag))
    async with Crew.open(tmp_path, "ann", "bob", "mallory") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob", "mallory")
        await crew.settle()
        _deafen(crew["mallory"])
        await (await crew["ann"].room()).remove("mallory")
        await crew.settle("ann", "bob")
        await crew["ann"].say("the new plan")
        room = (await crew["ann"].room()).key
        (entry,) = await crew["ann"].parts.database.read(
            lambda tx: journal.tail(tx, room, (MESSAGE,), last=1)
        )
        tag = crew["mallory"].peers.held[crew["ann"].person].reconcile._sides[room].tag
        await crew["mallory"].pipes["ann"].send(encode(Lacking(tag, (entry.id,))))
        await _quiet(crew, "mallory", "ann")
        sent = [decode(data) for data in crew["ann"].pipes["mallory"].sent]
        assert any(isinstance(frame, Bodies) for frame in sent) is not guard


@guarded
async def test_old_invite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, guard: bool) -> None:
    """Coming back by an invite that was made before the removal and never used."""
    if not guard:
        monkeypatch.setattr(Membership, "was_removed", lambda *_: False)
    async with removed(tmp_path) as crew:
        ann = crew["ann"]
        room = (await ann.room()).key
        arrival = table.Arrival(room, crew["mallory"].node.identity.certificate, ask=False)
        await ann.parts.database.write(lambda tx: table.add_arrival(tx, arrival))
        await crew.link("ann", "mallory")
        await crew.until(lambda: bool(crew["mallory"].pipes))
        if guard:
            await crew.asked("ann")
        else:
            await crew.until(lambda: crew["mallory"].person in ann.group(room).members)
        assert (crew["mallory"].person in ann.group(room).members) is not guard


@guarded
async def test_replayed_admission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, guard: bool
) -> None:
    """Beginning a new log under the old admission, passed on by a member who knows no better."""
    if not guard:
        judged = Membership._limit

        def limit(
            self: Membership, by: Judgement, person: bytes, admission: bytes, chain: bytes
        ) -> Limit:
            found = judged(self, by, person, admission, chain)
            return OPEN if found == VOID else found

        monkeypatch.setattr(Membership, "_limit", limit)
    async with removed(tmp_path) as crew:
        await crew["mallory"].parts.rooms.renew()
        await crew["mallory"].say("a new log")
        await _through(crew, "bob")
        for name in ("ann", "bob"):
            assert ("a new log" in await crew[name].texts()) is not guard


@guarded
async def test_through_an_honest_member(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, guard: bool
) -> None:
    """Going on in the old log, passed on by a member who has not heard of the removal."""
    if not guard:
        monkeypatch.setattr(Group, "excess", lambda _: {})
        monkeypatch.setattr(Group, "counts_to", lambda *_: None)
        monkeypatch.setattr(group_module, "_up_to", lambda entries, _: list(entries))
    async with removed(tmp_path) as crew:
        await crew["mallory"].say("still here")
        await _through(crew, "bob")
        for name in ("ann", "bob"):
            assert ("still here" in await crew[name].texts()) is not guard


@guarded
async def test_back_dated_admission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, guard: bool
) -> None:
    """Letting a friend in by an act that says not to have seen the removal."""
    if not guard:
        monkeypatch.setattr(Judgement, "_voided", _voids_nothing)
    async with removed(tmp_path, "puppet") as crew:
        mallory, puppet = crew["mallory"], crew["puppet"]
        room = (await crew["ann"].room()).key
        await mallory.parts.joining._admit(mallory.group(room), puppet.node.identity.certificate)
        await _through(crew, "bob")
        for name in ("ann", "bob"):
            assert (puppet.person in crew[name].group(room).members) is not guard


@guarded
async def test_back_dated_promotion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, guard: bool
) -> None:
    """Making an accomplice an admin, dated before the removal, who then undoes it."""
    if not guard:
        monkeypatch.setattr(Judgement, "_voided", _voids_nothing)
    async with removed(tmp_path, admin=True) as crew:
        mallory, bob = crew["mallory"], crew["bob"]
        room = (await crew["ann"].room()).key
        await mallory.parts.groups.act(
            mallory.group(room),
            20,
            lambda _, group: Role(group.membership.seen(mallory.person), bob.person, ADMIN),
        )
        await _through(crew, "bob")
        assert crew["ann"].group(room).membership.is_admin(bob.person) is not guard


@guarded
async def test_acts_shown_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, guard: bool
) -> None:
    """Showing back-dated acts directly, as is done with those that a removal has cut off."""
    if not guard:
        monkeypatch.setattr(Judgement, "_voided", _voids_nothing)
    async with removed(tmp_path, "puppet") as crew:
        mallory, puppet = crew["mallory"], crew["puppet"]
        room = (await crew["ann"].room()).key
        await mallory.parts.joining._admit(mallory.group(room), puppet.node.identity.certificate)
        acts = await mallory.parts.groups.acts_of(mallory.group(room), mallory.person)
        ann = crew["ann"]
        assert await ann.parts.groups.contested(ann.group(room), acts)
        assert (puppet.person in ann.group(room).members) is not guard


async def test_a_flood_of_back_dated_acts_is_kept_within_bounds(tmp_path: Path) -> None:
    async with removed(tmp_path, admin=True) as crew:
        mallory, ann = crew["mallory"], crew["ann"]
        room = (await ann.room()).key
        for number in range(70):
            await (await mallory.room()).set("topic", str(number))
        acts = await mallory.parts.groups.acts_of(mallory.group(room), mallory.person)
        assert len(acts) == 70
        assert len(await ann.parts.groups.contested(ann.group(room), acts)) == 64
        assert not await ann.parts.groups.contested(ann.group(room), acts)


async def test_a_flood_at_places_that_are_taken_is_kept_within_bounds(tmp_path: Path) -> None:
    """As many acts as one likes for one place: each signed, and beyond the end of no chain."""
    async with removed(tmp_path) as crew:
        mallory, ann = crew["mallory"], crew["ann"]
        group = ann.group((await ann.room()).key)
        topics = [Setting((), "topic", str(number)) for number in range(140)]
        acts = [_loose(mallory, group, SETTING, topic) for topic in topics]
        assert len(await ann.parts.groups.contested(group, acts[:70])) == 64
        for _ in range(2):
            await ann.parts.groups.contested(group, acts[70:])
            held = await ann.parts.groups.withheld_acts(group)
            least = sorted(entry_id(act.header) for act in acts)[:64]
            assert sorted(entry_id(act.header) for act in held) == least


@guarded
async def test_two_sets_of_acts_of_which_neither_is_kept_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, guard: bool
) -> None:
    """ann is shown one set and bob another, so that each is full, and they never agree."""
    if not guard:
        monkeypatch.setattr("p2pchat.core.membership.kept", _first_come)
    async with removed(tmp_path) as crew:
        mallory, ann, bob = crew["mallory"], crew["ann"], crew["bob"]
        room = (await ann.room()).key
        topics = [Setting((), "topic", str(number)) for number in range(140)]
        acts = [_loose(mallory, ann.group(room), SETTING, topic) for topic in topics]
        await ann.parts.groups.contested(ann.group(room), acts[:70])
        await bob.parts.groups.contested(bob.group(room), acts[70:])
        await crew.link("ann", "bob")

        def agreed() -> bool:
            both = [one.group(room) for one in (ann, bob)]
            known = [set(group.membership.acts()) for group in both]
            return known[0] == known[1] and both[0].members == both[1].members

        if guard:
            await crew.until(agreed)
            assert len(ann.group(room).loose) == 64
        else:
            await asyncio.sleep(1)
            assert not agreed()


def _first_come(acts: Iterable[tuple[bytes, int, bytes]]) -> set[bytes]:
    """Keeps what is held already; what comes then only as far as there is room."""
    return {id_ for _, _, id_ in list(acts)[:64]}


@guarded
async def test_people_of_ones_own_making(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, guard: bool
) -> None:
    """Letting puppets in after the removal, each of which has as many acts kept as anybody."""
    if not guard:
        monkeypatch.setattr(
            Group, "is_placed", lambda self, person: person in self.membership.persons
        )
    async with removed(tmp_path, "puppet") as crew:
        mallory, ann, puppet = crew["mallory"], crew["ann"], crew["puppet"]
        group = ann.group((await ann.room()).key)
        admission = Admit((), puppet.node.identity.certificate)
        await ann.parts.groups.contested(group, [_loose(mallory, group, ADMIT, admission)])
        act = _loose(puppet, group, SETTING, Setting((), "topic", "x"))
        assert bool(await ann.parts.groups.contested(group, [act])) is not guard


def _loose(author: Sailor, group: Group, kind: int, act: Act) -> SignedAct:
    """An act of `author`'s at the second place of a chain that nobody need have."""
    identity, body = author.node.identity, msgspec.msgpack.encode(act)
    header = Header(
        version=VERSION,
        room=group.room,
        device=identity.device,
        incarnation=author.parts.rooms._incarnation,
        seq=1,
        prev=bytes(32),
        after=(),
        time=1_800_000_000_000 << 16,
        kind=kind,
        epoch=b"",
        length=len(body),
        body_hash=body_hash(body),
    )
    raw = msgspec.msgpack.encode(header)
    signature = identity.sign(statement(entry_id(raw)))
    return SignedAct(identity.certificate, raw, body, signature)


def _voids_nothing(self: Judgement, number: int, exempt: int) -> int:
    """So that acts count by their authors' own account of what they had seen, and nothing else."""
    del self, number, exempt
    return 0


async def _through(crew: Crew, honest: str) -> None:
    """mallory meets an honest member who knows of nothing, who then meets ann."""
    await crew.link("mallory", honest)
    await crew.settle("mallory", honest)
    await crew.cut("mallory", honest)
    await crew.link("ann", honest)
    await crew.settle("ann", honest)


async def _quiet(crew: Crew, *names: str) -> None:
    """Until the links between these have carried nothing for a while."""

    def carried() -> Sequence[int]:
        return [len(pipe.sent) for name in names for pipe in crew[name].pipes.values()]

    before: Sequence[int] = ()
    while before != (now := carried()):
        before = now
        await asyncio.sleep(0.3)
