"""What counts is the same however acts came, one at a time or all at once, and cheap to say."""

import random as random_module
import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.core.acts import (
    ADMIN,
    MEMBER,
    Act,
    Admit,
    Create,
    Leave,
    Remove,
    Role,
    Seen,
    Setting,
    group_room,
)
from p2pchat.core.entry import chain_id
from p2pchat.core.identity import Certificate, digest
from p2pchat.core.judgement import Judgement
from p2pchat.core.membership import Membership
from p2pchat.core.views import Placed, Views

NONCE = bytes(32)
PEOPLE = [bytes([number]) * 32 for number in range(1, 6)]
ANN, BOB, CAROL, DAVE, _ = PEOPLE
ROOM = group_room(ANN, NONCE)


def certificate(person: bytes) -> Certificate:
    return Certificate(person, person, b"", bytes(32), b"", "")


def placed(author: bytes, log: int, seq: int, act: Act, salt: object = "") -> Placed:
    chain = chain_id(ROOM, author, log.to_bytes(8, "big"))
    id_ = digest("test", chain, seq.to_bytes(8, "big"), repr((act, salt)).encode())
    return Placed(id_, chain, seq, author, act)


def row(one: Placed) -> Seen:
    return Seen(one.chain, one.seq, one.id[:8])


CREATE = placed(ANN, 0, 0, Create((), certificate(ANN), NONCE, "crew"))


@st.composite
def tangles(draw: st.DrawFn) -> list[Placed]:
    """Acts of people who name what they like, write in several logs, and fork them."""
    acts = [CREATE]
    for number, person in enumerate(PEOPLE[1:4], 1):
        role = draw(st.sampled_from((MEMBER, ADMIN)))
        acts.append(placed(ANN, 0, number, Admit((row(acts[-1]),), certificate(person), role)))
    people = st.sampled_from(PEOPLE)
    for salt in range(draw(st.integers(2, 16))):
        author, whom, log = draw(people), draw(people), draw(st.sampled_from((0, 0, 0, 1)))
        named = draw(st.lists(st.sampled_from(acts), max_size=4, unique_by=lambda one: one.id))
        if draw(st.booleans()):
            named = [*named, acts[3]]
        seen = tuple(row(one) for one in named)
        act = draw(
            st.sampled_from(
                (
                    Admit(seen, certificate(whom), MEMBER),
                    Admit(seen, certificate(whom), ADMIN),
                    Remove(seen, whom, ()),
                    Remove(seen, whom, ()),
                    Role(seen, whom, MEMBER),
                    Role(seen, whom, ADMIN),
                    Leave(seen),
                    Setting(seen, "admit", "admins" if salt % 2 else "members"),
                )
            )
        )
        chain = chain_id(ROOM, author, log.to_bytes(8, "big"))
        seq = max((one.seq + 1 for one in acts if one.chain == chain), default=0)
        if seq and draw(st.integers(0, 5)) == 0:
            seq = draw(st.integers(0, seq - 1))
        acts.append(placed(author, log, seq, act, salt))
    return acts


def outcome(membership: Membership, acts: Sequence[Placed]) -> object:
    judged = membership._judge()
    return (
        dict(membership.members),
        membership.moderators,
        [membership.setting(key) for key in ("admit", "name")],
        {one.id for one in acts if judged.counts(one)},
        [membership.was_removed(person) for person in PEOPLE],
        membership.seen(ANN),
        [
            membership.limit(person, one.id, other.chain)
            for person in PEOPLE
            for one in acts
            for other in acts
        ],
    )


@settings(max_examples=400, deadline=None)
@given(tangles(), st.integers(0, 1 << 32))
def test_acts_that_come_one_by_one_count_as_if_they_had_come_at_once(
    acts: list[Placed], seed: int
) -> None:
    whole = Membership(ROOM)
    whole.add(acts)
    expected = outcome(whole, acts)
    orders = [list(acts)] + [list(acts) for _ in range(3)]
    for at, order in enumerate(orders[1:]):
        random_module.Random(seed + at).shuffle(order)
    for order in orders:
        one_by_one = Membership(ROOM)
        for act in order:
            one_by_one.add([act])
            assert one_by_one.members is not None
        assert outcome(one_by_one, acts) == expected


@settings(max_examples=200, deadline=None)
@given(tangles(), st.data())
def test_acts_that_are_dropped_have_never_been(acts: list[Placed], data: st.DataObject) -> None:
    gone = {one.id for one in data.draw(st.lists(st.sampled_from(acts)))}
    left = [one for one in acts if one.id not in gone]
    dropped, never = Membership(ROOM), Membership(ROOM)
    dropped.add(acts)
    assert dropped.members is not None
    dropped.drop(gone)
    never.add(left)
    assert outcome(dropped, left) == outcome(never, left)
    assert dropped.persons == never.persons


@settings(max_examples=200, deadline=None)
@given(tangles(), st.integers(0, 1 << 32))
def test_what_is_asked_before_all_is_judged_changes_nothing(acts: list[Placed], seed: int) -> None:
    whole = Membership(ROOM)
    whole.add(acts)
    expected = outcome(whole, acts)
    choose = random_module.Random(seed)
    hasty = Membership(ROOM)
    for act in choose.sample(acts, len(acts)):
        hasty.add([act])
        one, other = choose.choice(acts), choose.choice(acts)
        hasty.limit_so_far(choose.choice(PEOPLE), one.id, other.chain)
        if choose.random() < 0.1:
            assert hasty.members is not None
    assert outcome(hasty, acts) == expected


# -- what it costs ---------------------------------------------------------------------------------


def blind(make: Callable[[tuple[Seen, ...], int], Act], count: int, *, role: int) -> list[Placed]:
    """A room, and `count` acts of bob's that know of no more than his admission."""
    let_in = placed(ANN, 0, 1, Admit((row(CREATE),), certificate(BOB), role))
    carol = placed(ANN, 0, 2, Admit((row(let_in),), certificate(CAROL), MEMBER))
    acts = [placed(BOB, 0, at, make((row(let_in),), at), at) for at in range(count)]
    return [CREATE, let_in, carol, *acts]


FLOODS: dict[str, Callable[[tuple[Seen, ...], int], Act]] = {
    "admissions": lambda seen, at: Admit(seen, certificate(digest("p", b"%d" % at)), MEMBER),
    "admissions of admins": lambda seen, at: Admit(seen, certificate(digest("p", b"%d" % at)), 1),
    "admissions of oneself": lambda seen, at: Admit(seen, certificate(BOB), MEMBER),
    "names": lambda seen, at: Setting(seen, "name", str(at)),
    "removals": lambda seen, at: Remove(seen, CAROL, ()),
    "removals of strangers": lambda seen, at: Remove(seen, digest("p", b"%d" % at), ()),
    "roles": lambda seen, at: Role(seen, CAROL, at % 2),
    "leaves": lambda seen, at: Leave(seen),
}


@pytest.mark.parametrize("role", [MEMBER, ADMIN], ids=["member", "admin"])
@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_blind_acts_costs_each_its_own_weight(
    flood: str, role: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which would be judged all anew for each, as they are concurrent with all others."""
    acts = blind(FLOODS[flood], 1_500, role=role)
    weighed: list[int] = []
    entitled = Judgement._entitled
    monkeypatch.setattr(
        Judgement,
        "_entitled",
        lambda self, number, counting: weighed.append(number) or entitled(self, number, counting),
    )
    membership = Membership(ROOM)
    membership.add(acts[:3])
    began = time.process_time()
    for act in acts[3:]:
        membership.add([act])
        assert membership.members is not None
    spent = time.process_time() - began
    assert len(weighed) < 4 * len(acts)
    # 0.03 to 0.06 s; it was minutes when each had all judged anew.
    assert spent < 5.0


def test_a_flood_that_is_read_at_once_is_judged_once() -> None:
    membership = Membership(ROOM)
    membership.add(blind(FLOODS["removals of strangers"], 1_500, role=MEMBER))
    began = time.process_time()
    assert CAROL in membership.members
    assert time.process_time() - began < 2.0  # 0.02 s


# -- what a removal cannot undo --------------------------------------------------------------------


def room_with_a_sleeper() -> tuple[list[Placed], Placed]:
    """bob, an admin, has a log that knows of nothing since he was made one; carol let dave in."""
    bob = placed(ANN, 0, 1, Admit((row(CREATE),), certificate(BOB), ADMIN))
    carol = placed(ANN, 0, 2, Admit((row(bob),), certificate(CAROL), MEMBER))
    dave = placed(CAROL, 0, 0, Admit((row(carol),), certificate(DAVE), MEMBER))
    topic = placed(DAVE, 0, 0, Setting((row(carol), row(dave)), "topic", "boats"))
    sleeper = placed(BOB, 1, 0, Remove((row(bob),), CAROL, ()))
    return [CREATE, bob, carol, dave, topic], sleeper


def members(*acts: Placed) -> set[bytes]:
    membership = Membership(ROOM)
    membership.add(acts)
    return set(membership.members)


def test_a_removal_from_an_old_view_undoes_what_its_author_never_named() -> None:
    """What remains possible (docs/security.md): an admin who was silent may know of nothing."""
    acts, sleeper = room_with_a_sleeper()
    assert members(*acts) == {ANN, BOB, CAROL, DAVE}
    assert members(*acts, sleeper) == {ANN, BOB}


def test_a_removal_undoes_nothing_that_its_author_has_named_in_another_log() -> None:
    acts, sleeper = room_with_a_sleeper()
    before = placed(BOB, 0, 0, Setting((row(acts[1]), row(acts[2]), row(acts[3])), "topic", "x"))
    assert members(*acts, before, sleeper) == {ANN, BOB, DAVE}
    # Nor what it was told of by what it named.
    told = placed(BOB, 0, 0, Setting((row(acts[1]), row(acts[4])), "topic", "x"))
    assert members(*acts, told, sleeper) == {ANN, BOB, DAVE}


def test_what_an_author_learns_after_its_removal_takes_nothing_of_it_back() -> None:
    acts, sleeper = room_with_a_sleeper()
    after = placed(BOB, 1, 1, Setting((row(acts[3]), row(sleeper)), "topic", "x"))
    assert members(*acts, sleeper, after) == {ANN, BOB}
    named = placed(BOB, 0, 0, Setting((row(acts[1]), row(acts[3]), row(sleeper)), "topic", "x"))
    assert members(*acts, sleeper, named) == {ANN, BOB}


def test_nothing_from_before_somebody_was_made_an_admin_is_undone_by_it() -> None:
    """As far as whoever made it one knew: to show that it is one, it has to name that."""
    acts, _ = room_with_a_sleeper()
    bob = placed(ANN, 0, 3, Role((row(acts[2]), row(acts[4])), CAROL, ADMIN))
    erin = placed(DAVE, 0, 1, Admit((row(acts[2]), row(acts[3]), row(bob)), certificate(PEOPLE[4])))
    sleeper = placed(CAROL, 1, 0, Remove((row(bob),), DAVE, ()))
    assert members(*acts, bob, erin) == set(PEOPLE)
    assert members(*acts, bob, erin, sleeper) == {ANN, BOB, CAROL}
    judged = Judgement(ROOM, Views([*acts, bob, erin, sleeper]))
    assert judged.counts(acts[4])
    assert not judged.counts(erin)


# -- what forks cannot do --------------------------------------------------------------------------


def test_nothing_is_slipped_in_below_an_act_that_a_removal_has_seen() -> None:
    """A fork: where others have a message, an act is shown that lets a puppet in."""
    bob = placed(ANN, 0, 1, Admit((row(CREATE),), certificate(BOB), MEMBER))
    topic = placed(BOB, 0, 5, Setting((row(bob),), "topic", "boats"))
    removal = placed(ANN, 0, 2, Remove((row(bob), row(topic)), BOB, ()))
    slipped = placed(BOB, 0, 3, Admit((row(bob),), certificate(CAROL), MEMBER))
    assert members(CREATE, bob, topic, slipped) == {ANN, BOB, CAROL}
    assert members(CREATE, bob, topic, slipped, removal) == {ANN}


def test_a_fork_that_names_what_has_seen_its_chain_upsets_nobody_else() -> None:
    """Each would have seen the other, and nothing that rests on either could be judged."""
    bob = placed(ANN, 0, 1, Admit((row(CREATE),), certificate(BOB), MEMBER))
    topic = placed(BOB, 0, 5, Setting((row(bob),), "topic", "boats"))
    later = [placed(ANN, 0, 2, Admit((row(bob), row(topic)), certificate(CAROL), MEMBER))]
    later += [placed(CAROL, 0, 0, Admit((row(later[0]),), certificate(DAVE), MEMBER))]
    for seq in range(5):
        twin = placed(BOB, 0, seq, Setting((row(later[0]),), "topic", "x"))
        assert members(CREATE, bob, topic, *later, twin) == {ANN, BOB, CAROL, DAVE}


def test_who_removes_itself_undoes_nothing_that_its_own_log_went_on_from() -> None:
    bob = placed(ANN, 0, 1, Admit((row(CREATE),), certificate(BOB), MEMBER))
    carol = placed(ANN, 0, 2, Admit((row(bob),), certificate(CAROL), MEMBER))
    later = placed(ANN, 0, 3, Setting((), "topic", "boats"))
    left = Remove((row(CREATE), row(bob), row(later)), ANN, ())
    membership = Membership(ROOM)
    membership.add([CREATE, bob, carol, later, placed(ANN, 1, 0, left)])
    assert set(membership.members) == {BOB, CAROL}, "what came after Carol was let in says so"
