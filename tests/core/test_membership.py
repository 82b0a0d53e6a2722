"""Who belongs to a room: every order of arrival gives the same answer, and nobody gets back in."""

import random as random_module
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.core.acts import (
    ADMIN,
    ADMIT,
    MEMBER,
    REMOVE,
    ROLE,
    SETTING,
    Act,
    Admit,
    Create,
    Cut,
    Leave,
    Remove,
    Role,
    Seen,
    Setting,
    group_room,
)
from p2pchat.core.entry import chain_id
from p2pchat.core.identity import Certificate, digest
from p2pchat.core.membership import OPEN, VOID, Limit, Membership, Placed, kept

NONCE = bytes(32)


@dataclass
class Person:
    """One who writes acts by what it has seen so far. `key` orders people of equal rank."""

    name: str
    number: int
    world: "World"
    known: dict[bytes, Placed] = field(default_factory=dict)
    seq: int = 0

    @property
    def key(self) -> bytes:
        return bytes([self.number]) * 32

    @property
    def chain(self) -> bytes:
        return chain_id(self.world.room, self.key, bytes(8))

    @property
    def certificate(self) -> Certificate:
        return Certificate(self.key, self.key, b"", bytes(32), b"", self.name)

    def membership(self) -> Membership:
        membership = Membership(self.world.room)
        membership.add(self.known.values())
        return membership

    def learns(self, *others: "Person") -> None:
        for other in others:
            self.known.update(other.known)

    def does(self, act: Act) -> Placed:
        return self.writes(type(act)(self.membership().seen(self.key), *_rest(act)))

    def writes(self, act: Act) -> Placed:
        id_ = digest("test", self.key, self.seq.to_bytes(8, "big"), repr(act).encode())
        placed = Placed(id_, self.chain, self.seq, self.key, act)
        self.seq += 1
        self.known[id_] = placed
        return placed

    def admits(self, other: "Person", role: int = MEMBER) -> Placed:
        return self.does(Admit((), other.certificate, role))

    def removes(self, other: "Person", cut: int | None = None) -> Placed:
        seq = other.seq - 1 if cut is None else cut
        cuts = (Cut(other.key, bytes(8), seq, bytes(32), bytes(64)),) if seq >= 0 else ()
        return self.does(Remove((), other.key, cuts))

    def makes(self, other: "Person", role: int) -> Placed:
        return self.does(Role((), other.key, role))


def _rest(act: Act) -> tuple[object, ...]:
    return tuple(getattr(act, name) for name in act.__struct_fields__[1:])


class World:
    """A room founded by the first of its people; lower numbers win among equals."""

    def __init__(self, *names: str) -> None:
        self.people = [Person(name, number + 1, self) for number, name in enumerate(names)]
        self.founder = self.people[0]
        self.room = group_room(self.founder.key, NONCE)
        self.founder.writes(Create((), self.founder.certificate, NONCE, "crew"))

    def everything(self) -> dict[bytes, Placed]:
        return {id_: placed for one in self.people for id_, placed in one.known.items()}

    def all_meet(self) -> None:
        known = self.everything()
        for person in self.people:
            person.known.update(known)

    def members(self) -> set[str]:
        """As all see it who have everything, in several orders of arrival."""
        acts = list(self.everything().values())
        answers = []
        for seed in range(4):
            random_module.Random(seed).shuffle(acts)
            membership = Membership(self.room)
            for act in acts:
                membership.add([act])
                assert membership.members is not None
            answers.append({key[0]: one.role for key, one in membership.members.items()})
        assert all(answer == answers[0] for answer in answers)
        return {person.name for person in self.people if person.number in answers[0]}

    def fold(self) -> Membership:
        membership = Membership(self.room)
        membership.add(self.everything().values())
        return membership


def crew(*names: str, admins: str = "") -> World:
    """All of them members, admitted by the first."""
    world = World(*names)
    for person in world.people[1:]:
        world.founder.admits(person, ADMIN if person.name in admins.split() else MEMBER)
    world.all_meet()
    return world


def test_the_founder_is_an_admin_and_admits_others() -> None:
    world = crew("ann", "bob")
    ann, bob = world.people
    assert world.members() == {"ann", "bob"}
    assert world.fold().is_admin(ann.key)
    assert not world.fold().is_admin(bob.key)


def test_nobody_else_can_found_the_room() -> None:
    world = World("ann", "mallory")
    _, mallory = world.people
    mallory.writes(Create((), mallory.certificate, NONCE, "mine"))
    assert world.members() == {"ann"}


def test_a_stranger_admits_nobody() -> None:
    world = World("ann", "mallory", "puppet")
    _, mallory, puppet = world.people
    mallory.admits(puppet)
    assert world.members() == {"ann"}


def test_any_member_admits_unless_the_room_leaves_that_to_admins() -> None:
    world = World("ann", "bob", "carol", "dave")
    ann, bob, carol, dave = world.people
    ann.admits(bob)
    bob.learns(ann)
    bob.admits(carol)
    assert world.members() == {"ann", "bob", "carol"}
    ann.learns(bob)
    ann.does(Setting((), "admit", "admins"))
    bob.learns(ann)
    assert not world.fold().may_admit(bob.key)
    bob.admits(dave)
    assert world.members() == {"ann", "bob", "carol"}


def test_only_an_admin_makes_an_admin() -> None:
    world = crew("ann", "bob", "carol")
    ann, bob, carol = world.people
    bob.admits(carol, ADMIN)
    bob.makes(bob, ADMIN)
    assert not world.fold().is_admin(bob.key)
    assert not world.fold().is_admin(carol.key)
    ann.makes(bob, ADMIN)
    assert world.fold().is_admin(bob.key)


def test_a_member_may_set_the_topic_alone() -> None:
    world = crew("ann", "bob")
    _, bob = world.people
    bob.does(Setting((), "topic", "boats"))
    bob.does(Setting((), "name", "bob's"))
    assert world.fold().setting("topic") == "boats"
    assert world.fold().setting("name") == "crew"


def test_a_member_removes_nobody() -> None:
    world = crew("ann", "bob", "carol")
    _, bob, carol = world.people
    bob.removes(carol)
    assert world.members() == {"ann", "bob", "carol"}


def test_who_names_only_what_let_it_in_is_no_admin_for_want_of_one() -> None:
    world = World("ann", "bob", "mallory")
    ann, bob, mallory = world.people
    ann.admits(bob)
    bob.learns(ann)
    let_in = bob.admits(mallory)
    row = Seen(bob.chain, let_in.seq, let_in.id[:8])
    mallory.writes(Remove((row,), ann.key, ()))
    mallory.writes(Role((row,), mallory.key, ADMIN))
    assert world.members() == {"ann", "bob", "mallory"}
    assert not world.fold().is_admin(mallory.key)


def test_removal_wins_over_concurrent_admission() -> None:
    world = crew("ann", "bob", "carol")
    ann, bob, carol = world.people
    ann.removes(carol)
    bob.admits(carol)  # bob has not seen the removal
    assert world.members() == {"ann", "bob"}
    assert world.fold().was_removed(carol.key)


def test_somebody_removed_comes_back_by_an_admission_that_has_seen_the_removal() -> None:
    world = crew("ann", "bob", "carol")
    ann, bob, carol = world.people
    ann.removes(carol)
    bob.learns(ann)
    bob.admits(carol)
    assert world.members() == {"ann", "bob", "carol"}


def test_a_replayed_admission_does_not_bring_back_whom_it_once_admitted() -> None:
    world = crew("ann", "bob", "carol")
    ann, _, carol = world.people
    ann.removes(carol)
    fold = world.fold()
    fold.add(list(carol.known.values()))
    assert carol.key not in fold.members


def test_whom_somebody_removed_admits_afterwards_is_no_member() -> None:
    world = World("ann", "mallory", "puppet")
    ann, mallory, puppet = world.people
    ann.admits(mallory)
    mallory.learns(ann)
    ann.removes(mallory)
    mallory.admits(puppet)  # dated back: it says not to have seen the removal
    assert world.members() == {"ann"}
    # It would have worked had nobody removed him.
    mallory.known = {i: p for i, p in mallory.known.items() if not isinstance(p.act, Remove)}
    free = Membership(world.room)
    free.add(mallory.known.values())
    assert puppet.key in free.members


def test_of_two_admins_who_remove_each_other_the_senior_stays() -> None:
    world = crew("ann", "bob", "carol", "dave", admins="bob carol")
    _, bob, carol, _ = world.people
    bob.removes(carol)
    carol.removes(bob)
    assert world.members() == {"ann", "bob", "dave"}


def test_what_an_admin_does_while_being_removed_does_not_count() -> None:
    world = crew("ann", "bob", "carol", admins="bob")
    ann, bob, carol = world.people
    ann.removes(bob)
    bob.removes(carol)
    assert world.members() == {"ann", "carol"}


def test_a_founder_removed_by_a_junior_admin_can_undo_it_and_a_junior_cannot() -> None:
    world = crew("ann", "bob", "carol", admins="bob")
    ann, bob, _ = world.people
    bob.removes(ann)
    assert world.members() == {"bob", "carol"}
    ann.removes(bob)  # concurrently: she has not seen it
    assert world.members() == {"ann", "carol"}


def test_nobody_can_make_somebody_more_senior_than_itself() -> None:
    """A removed admin cannot promote a friend, after the fact, who then undoes the removal."""
    world = World("ann", "xenia", "mallory", "zoe")
    ann, xenia, mallory, zoe = world.people
    for person, role in ((zoe, MEMBER), (xenia, ADMIN), (mallory, ADMIN)):
        ann.admits(person, role)
    world.all_meet()
    xenia.removes(mallory)
    mallory.makes(zoe, ADMIN)
    zoe.learns(mallory)
    zoe.removes(xenia)
    assert world.members() == {"ann", "xenia", "zoe"}


def test_when_the_founder_leaves_the_most_senior_member_is_admin() -> None:
    world = crew("ann", "bob", "carol")
    ann, bob, carol = world.people
    ann.does(Leave(()))
    world.all_meet()
    assert world.members() == {"bob", "carol"}
    assert world.fold().is_admin(bob.key)
    bob.removes(carol)
    assert world.members() == {"bob"}


def test_who_was_an_admin_to_the_last_moderates_still_and_who_was_demoted_does_not() -> None:
    world = crew("ann", "bob", "carol", "dave", "eve", admins="bob carol dave")
    ann, bob, carol, dave, eve = world.people
    assert world.fold().moderators == {one.key for one in (ann, bob, carol, dave)}
    bob.does(Leave(()))
    ann.removes(carol)
    world.all_meet()
    ann.makes(dave, MEMBER)
    world.all_meet()
    assert world.fold().moderators == {one.key for one in (ann, bob, carol)}
    eve.makes(eve, ADMIN)
    world.all_meet()
    ann.admits(bob)
    assert world.fold().moderators == {one.key for one in (ann, carol)}
    ann.does(Leave(()))
    assert world.members() == {"bob", "dave", "eve"}
    (left,) = [one for one in (bob, dave, eve) if world.fold().is_admin(one.key)]
    assert world.fold().moderators == {one.key for one in (ann, carol, left)}


def test_leaving_holds_even_if_it_happens_while_being_removed() -> None:
    world = crew("ann", "bob")
    ann, bob = world.people
    bob.does(Leave(()))
    ann.removes(bob)
    assert world.members() == {"ann"}


def test_a_chain_counts_up_to_the_cut_and_a_chain_that_is_not_named_not_at_all() -> None:
    world = crew("ann", "bob", "carol")
    ann, bob, carol = world.people
    admission = next(
        placed.id
        for placed in ann.known.values()
        if isinstance(placed.act, Admit) and placed.act.certificate.person == bob.key
    )
    assert world.fold().limit(bob.key, admission, bob.chain) == OPEN
    bob.does(Setting((), "topic", "boats"))
    ann.learns(bob)
    ann.removes(bob)
    assert world.fold().limit(bob.key, admission, bob.chain) == Limit(0, bytes(32), bytes(64))
    other = chain_id(world.room, bob.key, b"12345678")
    assert world.fold().limit(bob.key, admission, other) == VOID
    assert world.fold().limit(carol.key, admission, carol.chain) == VOID


def test_what_founded_a_room_counts_though_a_removal_of_the_founder_names_nothing() -> None:
    world = crew("ann", "bob", admins="bob")
    ann, bob = world.people
    founding = next(one.id for one in ann.known.values() if isinstance(one.act, Create))
    bob.removes(ann, cut=-1)
    assert world.members() == {"bob"}
    assert world.fold().limit(ann.key, founding, ann.chain) == Limit(0, founding)
    other = chain_id(world.room, ann.key, b"12345678")
    assert world.fold().limit(ann.key, founding, other) == VOID


def test_a_row_that_names_what_is_not_there_has_seen_nothing() -> None:
    """Else somebody could say to have seen, before they were written, all acts of another."""
    world = crew("ann", "bob", "carol", admins="bob")
    ann, bob, carol = world.people
    bob.writes(Remove((Seen(ann.chain, 1_000, b"whatever"),), carol.key, ()))
    # bob says to have seen nothing that is there: not even that he is a member.
    assert world.members() == {"ann", "bob", "carol"}
    assert ann.seq < 1_000


def test_two_hundred_admissions_are_judged() -> None:
    world = World("ann", *(f"p{number}" for number in range(200)))
    for person in world.people[1:]:
        world.founder.admits(person)
    assert len(world.fold().members) == 201


@st.composite
def stories(draw: st.DrawFn) -> World:
    """A room of five in which everybody does anything, now and then hearing of others."""
    world = World("ann", "bob", "carol", "dave", "erin")
    for person in world.people[1:4]:
        world.founder.admits(person, draw(st.sampled_from((MEMBER, ADMIN))))
    world.all_meet()
    people = st.sampled_from(world.people)
    for _ in range(draw(st.integers(1, 14))):
        who, whom = draw(people), draw(people)
        match draw(st.integers(0, 7)):
            case 0 | 1:
                who.learns(whom)
            case 2:
                who.admits(whom, draw(st.sampled_from((MEMBER, ADMIN))))
            case 3 | 4:
                who.removes(whom)
            case 5:
                who.makes(whom, draw(st.sampled_from((MEMBER, ADMIN))))
            case 6:
                who.does(Leave(()))
            case 7:
                who.does(Setting((), "admit", draw(st.sampled_from(("admins", "members")))))
    return world


@settings(max_examples=300, deadline=None)
@given(stories())
def test_whatever_the_order_of_arrival_all_agree(world: World) -> None:
    world.members()


@settings(max_examples=200, deadline=None)
@given(stories())
def test_a_removal_that_all_have_seen_holds(world: World) -> None:
    world.all_meet()
    fold = world.fold()
    admins = [person for person in world.people if fold.is_admin(person.key)]
    for admin in admins[:1]:
        for other in world.people:
            if other is not admin and other.key in fold.members:
                admin.removes(other)
                assert other.key not in world.fold().members
                # Nor do acts of the removed that say not to have seen it bring anybody back.
                before = set(world.fold().members)
                other.known = {
                    id_: placed for id_, placed in other.known.items() if placed.author != admin.key
                }
                other.makes(other, ADMIN)
                other.admits(other)
                assert set(world.fold().members) == before
                return


@settings(max_examples=200, deadline=None)
@given(stories())
def test_somebody_is_admin_as_long_as_anybody_is_left(world: World) -> None:
    fold = world.fold()
    assert not fold.members or any(fold.is_admin(person) for person in fold.members)


def test_acts_that_may_undo_a_removal_are_kept_before_others() -> None:
    acts = [(b"m", SETTING, bytes([at])) for at in range(70)]
    removals = [(b"m", kind, bytes([200 + kind])) for kind in (REMOVE, ROLE)]
    assert kept([*acts, *removals]) == {bytes([at]) for at in range(62)} | {
        id_ for _, _, id_ in removals
    }
    assert kept([*acts, (b"n", SETTING, b"other")]) >= {b"other"}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400)), max_size=200), st.data())
def test_whoever_was_shown_what_first_all_keep_the_same_acts(
    shown: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Each shows what it has kept, and nothing else, until nobody hears anything new."""

    def act(number: int) -> tuple[bytes, int, bytes]:
        kind = (SETTING, ADMIT, REMOVE)[number % 3]
        return bytes([number % 2]), kind, digest("act", number.to_bytes(2, "big"))

    members: list[set[tuple[bytes, int, bytes]]] = [set() for _ in range(4)]

    def take(who: int, acts: set[tuple[bytes, int, bytes]]) -> None:
        both = members[who] | acts
        keeping = kept(both)
        members[who] = {one for one in both if one[2] in keeping}

    for who, number in shown:
        take(who, {act(number)})
    order = data.draw(st.permutations(range(4)))
    for _ in range(2):
        for one, other in pairwise([*order, order[0]]):
            take(other, members[one])
            take(one, members[other])
    expected = kept({act(number) for _, number in shown})
    assert all({one[2] for one in held} == expected for held in members)
