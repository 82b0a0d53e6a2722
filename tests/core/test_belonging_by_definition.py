"""Who belongs to a room of many, straight from docs/protocol.md, 8: slow, and without bit masks."""

from collections.abc import Callable, Iterable
from functools import cached_property

from hypothesis import HealthCheck, given, settings

from p2pchat.core.acts import ADMIN, Act, Admit, Create, Leave, Remove, Role, Setting, group_room
from p2pchat.core.membership import Membership
from p2pchat.core.views import Placed
from tests.core.test_judgement import PEOPLE, ROOM, tangles

_FAR = float("inf")


def _subject(act: Act) -> bytes | None:
    if isinstance(act, Create | Admit):
        return act.certificate.person
    return act.person if isinstance(act, Remove | Role) else None


def _makes_admin(act: Act) -> bool:
    return isinstance(act, Create) or (isinstance(act, Admit | Role) and act.role == ADMIN)


class ByDefinition:
    def __init__(self, acts: Iterable[Placed]) -> None:
        self.acts = {one.id: one for one in acts}
        places = {(one.chain, one.seq, one.id[:8]): one.id for one in acts}
        self.named = {
            one.id: [
                places[row.chain, row.seq, row.id]
                for row in one.act.seen
                if (row.chain, row.seq, row.id) in places
                and (row.chain != one.chain or row.seq < one.seq)
            ]
            for one in acts
        }
        self.height = self._heights()
        self.key: Callable[[bytes], tuple[int, bytes]] = lambda id_: (self.height[id_], id_)
        self.ordered = sorted(self.acts, key=self.key)
        self.view: dict[bytes, set[bytes]] = {}
        self.past: dict[bytes, set[bytes]] = {}
        self._see()
        self.counting = self._judge()

    def _right_before(self, id_: bytes, among: Iterable[bytes]) -> list[bytes]:
        one = self.acts[id_]
        mates = [self.acts[other] for other in among if self.acts[other].chain == one.chain]
        last = max((mate.seq for mate in mates if mate.seq < one.seq), default=None)
        return [mate.id for mate in mates if mate.seq == last]

    def _heights(self) -> dict[bytes, int]:
        right = {id_: self._right_before(id_, self.acts) for id_ in self.acts}
        found: dict[bytes, int] = {}

        def waits(id_: bytes, others: Iterable[bytes]) -> list[bytes]:
            return [other for other in others if other not in found]

        while left := sorted(waits(b"", self.acts)):
            free = [id_ for id_ in left if not waits(id_, (*self.named[id_], *right[id_]))][:1]
            if not free:
                walk = left[:1]
                while walk[-1] not in walk[:-1]:
                    at = walk[-1]
                    walk.append(min(waits(at, self.named[at]) or waits(at, right[at])))
                circle = walk[walk.index(walk[-1]) :]
                free = [min(id_ for id_ in circle if not waits(id_, self.named[id_]))]
            for id_ in free:
                before = [found.get(other, -1) for other in (*self.named[id_], *right[id_])]
                found[id_] = 1 + max(before, default=-1)
        return found

    def _see(self) -> None:
        led: dict[bytes, set[bytes]] = {}
        told: dict[bytes, set[bytes]] = {}
        for id_ in self.ordered:
            named, right = self.named[id_], self._right_before(id_, self.view)
            own = [one for one in named if self.acts[one].chain == self.acts[id_].chain]
            led[id_] = {id_}.union(*(led[one] for one in own))
            others = (led[one] for one in named if one not in own)
            self.view[id_] = set(right).union(*others, *(self.view[one] for one in right))
            told[id_] = set(named).union(*(told[one] for one in named))
            pasts = (self.past[one] for one in right)
            self.past[id_] = (self.view[id_] | told[id_]).union(*pasts)

    # -- by a set of acts ----------------------------------------------------------------------

    def _newest(self, some: list[bytes]) -> list[bytes]:
        return [id_ for id_ in some if not any(id_ in self.view[other] for other in some)]

    def _since_ends(self, person: bytes, some: set[bytes], *kinds: type[Act]) -> list[bytes]:
        """Of acts about somebody those that have seen all its removals and leaves."""

        def is_end(one: Placed) -> bool:
            left = isinstance(one.act, Leave) and one.author == person
            return left or (isinstance(one.act, Remove) and one.act.person == person)

        ends = {id_ for id_ in some if is_end(self.acts[id_])}
        about = [id_ for id_ in some if isinstance(self.acts[id_].act, kinds)]
        mine = [id_ for id_ in about if _subject(self.acts[id_].act) == person]
        return [id_ for id_ in mine if ends <= self.view[id_]]

    def members(self, some: set[bytes]) -> set[bytes]:
        return {person for person in PEOPLE if self._since_ends(person, some, Create, Admit)}

    def _is_said_admin(self, person: bytes, some: set[bytes]) -> bool:
        roles = self._newest(self._since_ends(person, some, Create, Admit, Role))
        return bool(roles) and all(_makes_admin(self.acts[id_].act) for id_ in roles)

    def admins(self, some: set[bytes]) -> set[bytes]:
        members = self.members(some)
        said = {person for person in members if self._is_said_admin(person, some)}
        return said or ({min(members, key=self._seniority)} if members else set())

    def setting(self, key: str, some: set[bytes], default: str) -> str:
        acts = {id_: self.acts[id_].act for id_ in some}
        said = {id_: act for id_, act in acts.items() if isinstance(act, Setting)}
        newest = self._newest([id_ for id_, act in said.items() if act.key == key])
        return said[max(newest, key=self.key)].value if newest else default

    # -- who may, and who undoes whom ----------------------------------------------------------

    @cached_property
    def _steps(self) -> tuple[dict[bytes, float], dict[bytes, float]]:
        found: tuple[dict[bytes, float], dict[bytes, float]] = ({}, {})
        for admitting, steps in enumerate(found):
            todo = [one.author for one in self.acts.values() if self._founds(one)][:1]
            steps.update(dict.fromkeys(todo, 0))
            for person in todo:
                for one in self.acts.values():
                    leads = isinstance(one.act, Admit) if admitting else _makes_admin(one.act)
                    whom = _subject(one.act)
                    if leads and one.author == person and whom is not None and whom not in steps:
                        steps[whom] = steps[person] + 1
                        todo.append(whom)
        return found

    def _seniority(self, person: bytes) -> tuple[float, float, bytes]:
        raised, admitted = self._steps
        return raised.get(person, _FAR), admitted.get(person, _FAR), person

    def _founds(self, one: Placed) -> bool:
        is_first = isinstance(one.act, Create) and one.seq == 0
        return is_first and group_room(one.author, one.act.nonce) == ROOM  # type: ignore[attr-defined]

    def _entitled(self, one: Placed, counting: set[bytes]) -> bool:
        act, view, past = one.act, self.view[one.id] & counting, self.past[one.id] & counting
        if isinstance(act, Create):
            return self._founds(one)
        closed = isinstance(act, Admit) and self.setting("admit", view, "members") == "admins"
        asks = closed or isinstance(act, Remove | Role) or _makes_admin(act)
        asks = asks or (isinstance(act, Setting) and act.key != "topic")
        said = any(self._is_said_admin(person, past) for person in self.members(past))
        may = self._is_said_admin(one.author, view) or (
            not said and one.author in self.admins(past)
        )
        return one.author in self.members(view) and (may or not asks)

    def _count(self, void: set[bytes]) -> set[bytes]:
        counting: set[bytes] = set()
        for id_ in self.ordered:
            if id_ not in void and self._entitled(self.acts[id_], counting):
                counting.add(id_)
        return counting

    def _judge(self) -> set[bytes]:
        takes = [one for one in self.acts.values() if isinstance(one.act, Remove | Role)]
        takes = [one for one in takes if not _makes_admin(one.act)]
        takes.sort(key=lambda one: (self._seniority(one.author), self.key(one.id)))
        void: set[bytes] = set()
        judged: set[bytes] = set()
        counting = self._count(void)
        for taking in takes:
            if taking.id in counting:
                judged.add(taking.id)
                void |= self._undone(taking) - judged
                counting = self._count(void)
        return counting

    def _undone(self, taking: Placed) -> set[bytes]:
        id_, known = taking.id, set(self.past[taking.id])
        for one in self.acts.values():
            if one.author == taking.author and id_ not in self.past[one.id] and one.id != id_:
                known |= self.past[one.id]
        whom = _subject(taking.act)
        theirs = {one.id for one in self.acts.values() if one.author == whom}
        leaves = {one for one in theirs if isinstance(self.acts[one].act, Leave)}
        return {one for one in theirs - known - leaves if id_ not in self.view[one]}


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tangles())
def test_who_belongs_is_what_the_definition_says(acts: list[Placed]) -> None:
    membership, told = Membership(ROOM), ByDefinition(acts)
    membership.add(acts)
    assert {id_ for id_ in told.acts if membership._judge().counts(told.acts[id_])} == told.counting
    assert set(membership.members) == told.members(told.counting)
    assert {one for one in PEOPLE if membership.is_admin(one)} == told.admins(told.counting)
    assert membership.setting("admit") == told.setting("admit", told.counting, "members")
