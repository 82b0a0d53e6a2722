"""Which acts of a room count (docs/protocol.md, 8: Rooms of many; `membership` has the rules).

First all are weighed by what their authors were, by the acts that they had seen. Then removals and
demotions have their turns, and each that counts when its turn comes makes void what its target did
concurrently; what rests on that is weighed again. One act more is judged alone where it moves no
other, so that a flood of them costs each its own weight and no more.

Sets of acts are bit masks over the numbers that `views` gives them.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from p2pchat.core.acts import (
    ADMIN,
    MEMBER,
    Act,
    Admit,
    Create,
    Leave,
    Remove,
    Role,
    Setting,
    group_room,
)
from p2pchat.core.views import Placed, Views, bits

__all__ = ["Judgement", "Seniority", "Standing", "admits", "subject", "takes"]

Seniority = tuple[int, int, bytes]
"""Lower is more senior."""

_FAR = 1 << 62
"""Steps from the founder of somebody who is not reached."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What somebody is in the room. `depth`: steps of admission from the founder."""

    role: int
    depth: int
    admission: bytes
    """id of the act that a new chain of theirs has to name"""


_Order = tuple[Seniority, tuple[int, bytes]]
"""When the turn of a removal comes."""


@dataclass(slots=True)
class _Turn:
    """A removal or demotion that counted when its turn came."""

    order: _Order
    number: int
    undid: bool
    """whether it made anything void"""


@dataclass(slots=True)
class _Stage:
    """What counted from the turn on whose order this is, until more was made void."""

    order: _Order
    counting: int
    void: int


class Judgement:
    """Of the acts of one room. `add` answers whether one more could be judged alone."""

    def __init__(self, room: bytes, views: Views) -> None:
        self.views = views
        self.about: dict[bytes, int] = {}
        self.ends = self.admissions = 0
        self.depths: dict[bytes, int] = {}
        """person -> steps of admission from the founder, whatever became of the acts"""
        self.ranks: dict[bytes, int] = {}
        """person -> steps from the founder by which it was made an admin, likewise"""
        self.raised: set[bytes] = set()
        """persons whom any act makes an admin"""
        self._room = room
        self._by: dict[bytes, int] = {}
        self._settings: dict[str, int] = {}
        self._creates = self._firm = 0
        self._elders: list[bytes] = []
        """who is named by any act, the most senior first"""
        self._heard: Seniority = (-1, -1, b"")
        """the most junior by whom anybody was refused what admins may"""
        self._stages = [_Stage(((-1, -1, b""), (-1, b"")), 0, 0)]
        self._turns: list[_Turn] = []
        self._against: dict[bytes, list[_Turn]] = {}
        """person -> turns of what took something from it"""
        self._undoing: dict[bytes, list[_Turn]] = {}
        """person -> turns of its own that made anything void"""
        self._known: dict[bytes, tuple[int, tuple[int, int] | None]] = {}
        """person -> acts about it, and what they amounted to when it was asked last"""
        for number in range(len(views.acts)):
            self._index(number)
        self._rank()
        self._elders = sorted(self.about, key=self.seniority)
        self._weigh()

    @property
    def counting(self) -> int:
        """The acts that count."""
        return self._stages[-1].counting

    def seniority(self, person: bytes) -> Seniority:
        return self.ranks.get(person, _FAR), self.depths.get(person, _FAR), person

    def counts(self, placed: Placed) -> bool:
        return bool(self.counting >> self.views.numbers[placed.id] & 1)

    def written_by(self, person: bytes) -> list[bytes]:
        """Ids of the acts of one author, each after what it has seen."""
        return [self.views.acts[at].id for at in self.by(person)][::-1]

    def by(self, person: bytes) -> Iterator[int]:
        """The acts of one author, the highest number first."""
        return bits(self._by.get(person, 0))

    def was_let_in(self, person: bytes) -> int:
        """How many acts have let somebody in, undone since or not."""
        acts = self.about.get(person, 0) & self.admissions
        return (acts & (self.counting | self._stages[-1].void)).bit_count()

    def standing(self, person: bytes, acts: int) -> Standing | None:
        """What `person` was by those of `acts` that are about it; None: no member."""
        acts &= self.about.get(person, 0)
        known = self._known.get(person)
        if known is None or known[0] != acts:
            self._known[person] = known = (acts, self._standing(acts))
        if known[1] is None:
            return None
        role, admission = known[1]
        return Standing(role, self.depths.get(person, 0), self.views.acts[admission].id)

    def setting(self, key: str, acts: int) -> str | None:
        """What was set by `acts`; None: nothing."""
        found = self._settings.get(key, 0) & acts
        if found:
            act = self.views.acts[self.views.last(found)].act
            assert isinstance(act, Setting)
            return act.value
        if key == "name" and (found := self._creates & self.counting):
            act = self.views.acts[self.views.last(found)].act
            assert isinstance(act, Create)
            return act.name
        return None

    def was_admin(self, person: bytes) -> bool:
        """Whether the newest that counts of what was said of somebody's role is: admin."""
        newest = self.views.newest(self.about.get(person, 0) & self.counting & ~self.ends)
        return bool(newest) and all(_role(self.views.acts[at]) == ADMIN for at in newest)

    # -- one more ------------------------------------------------------------------------------

    def add(self, placed: Placed) -> bool:
        """Judge one more, unless it moves what was judged before: then all is to be judged anew."""
        act = placed.act
        if isinstance(act, Create) or not self.views.append(placed):
            return False
        number, fresh = len(self.views.acts) - 1, subject(placed) not in self.about
        if isinstance(act, Admit | Role) and not self._is_below(placed):
            return False
        self._index(number)
        if fresh:
            insort(self._elders, subject(placed), key=self.seniority)
        past = self.views.pasts[number]
        if any(not past >> turn.number & 1 for turn in self._undoing.get(placed.author, ())):
            # What its author has seen elsewhere, no removal of its own can deny.
            return False
        undone = self._undone_by(number, self._order(number) if takes(placed) else None)
        if takes(placed) and undone is None:
            if self._has_turn(number):
                if not self._take_turn(number):
                    return False
            else:
                undone = self._undone_by(number)
        return self._settle(number, undone)

    def _undone_by(self, number: int, until: _Order | None = None) -> _Turn | None:
        """The first turn (before `until`) of what makes void an act that nobody has seen."""
        if self._firm >> number & 1:
            return None
        view, author = self.views.views[number], self.views.acts[number].author
        found = [
            turn
            for turn in self._against.get(author, ())
            if not view >> turn.number & 1 and (until is None or turn.order < until)
        ]
        return min(found, key=lambda turn: turn.order, default=None)

    def _stage_at(self, number: int) -> _Stage:
        """How things stood when the turn of a removal came."""
        at = bisect_left(self._stages, self._order(number), key=lambda stage: stage.order)
        return self._stages[at - 1]

    def _has_turn(self, number: int) -> bool:
        return self._entitled(number, self._stage_at(number).counting)

    def _take_turn(self, number: int) -> bool:
        """Have one more removal take its turn among the others, if it makes nothing void."""
        exempt = self._stage_at(number).void | 1 << number
        at = bisect_left(self._turns, self._order(number), key=lambda turn: turn.order)
        if self._voided(number, exempt):
            passed = sum(1 << turn.number for turn in self._turns[:at])
            if self._voided(number, exempt | passed):
                return False
        self._turns.insert(at, self._turn(number, undid=False))
        return True

    def _settle(self, number: int, undone: _Turn | None) -> bool:
        """Note for each stage whether one more counts, which a turn may make void."""
        if undone is not None and not undone.undid:
            return False
        for stage in self._stages:
            if undone is not None and stage.order >= undone.order:
                stage.void |= 1 << number
            elif self._entitled(number, stage.counting):
                stage.counting |= 1 << number
        return True

    def _turn(self, number: int, *, undid: bool) -> _Turn:
        turn = _Turn(self._order(number), number, undid)
        placed = self.views.acts[number]
        self._against.setdefault(subject(placed), []).append(turn)
        if undid:
            self._undoing.setdefault(placed.author, []).append(turn)
        return turn

    def _is_below(self, placed: Placed) -> bool:
        """Whether an admission or role makes nobody more senior to whom it matters; it is noted."""
        person, ways = subject(placed), []
        if isinstance(placed.act, Admit):
            ways.append(self.depths)
        if _role(placed) == ADMIN:
            ways.append(self.ranks)
        for way in ways:
            # Who is not reached reaches nobody. Who leads on by what it did before, or is reached
            # by a longer way, moves more than this one.
            if placed.author not in way:
                continue
            steps = way[placed.author] + 1
            if person in way and way[person] <= steps:
                continue
            if person in way or person in self._by:
                return False
            if person in self.about:
                self._elders.remove(person)
                way[person] = steps
                insort(self._elders, person, key=self.seniority)
                if self.seniority(person) <= self._heard:
                    return False
            else:
                way[person] = steps
        return True

    # -- all of them ---------------------------------------------------------------------------

    def _index(self, number: int) -> None:
        placed, bit = self.views.acts[number], 1 << number
        act, person = placed.act, subject(placed)
        self._by[placed.author] = self._by.get(placed.author, 0) | bit
        if isinstance(act, Setting):
            self._settings[act.key] = self._settings.get(act.key, 0) | bit
            return
        self.about[person] = self.about.get(person, 0) | bit
        if isinstance(act, Remove | Leave):
            self.ends |= bit
        if admits(placed):
            self.admissions |= bit
        if isinstance(act, Create):
            self._creates |= bit
        if isinstance(act, Leave | Create):
            self._firm |= bit
        if _role(placed) == ADMIN:
            self.raised.add(person)

    def _rank(self) -> None:
        """Steps from the founder, whatever became of the acts."""
        admissions: dict[bytes, set[bytes]] = {}
        grants: dict[bytes, set[bytes]] = {}
        for placed in self.views.acts:
            if isinstance(placed.act, Create):
                if group_room(placed.act.certificate.person, placed.act.nonce) == self._room:
                    self.depths[placed.act.certificate.person] = 0
            elif isinstance(placed.act, Admit):
                admissions.setdefault(placed.author, set()).add(subject(placed))
            if isinstance(placed.act, Admit | Role) and _role(placed) == ADMIN:
                grants.setdefault(placed.author, set()).add(subject(placed))
        self.ranks = dict(self.depths)
        _reach(self.depths, admissions)
        _reach(self.ranks, grants)

    def _weigh(self) -> None:
        acts, stage = self.views.acts, self._stages[0]
        for number in range(len(acts)):
            if self._entitled(number, stage.counting):
                stage.counting |= 1 << number
        removals = [number for number in range(len(acts)) if takes(acts[number])]
        passed = 0
        for number in sorted(removals, key=self._order):
            if not stage.counting >> number & 1:
                continue
            passed |= 1 << number
            voided = self._voided(number, passed | stage.void)
            if voided:
                counting = self._weigh_again(stage.counting, stage.void, voided)
                stage = _Stage(self._order(number), counting, stage.void | voided)
                self._stages.append(stage)
            self._turns.append(self._turn(number, undid=bool(voided)))

    def _weigh_again(self, counting: int, void: int, changed: int) -> int:
        """What counts once `changed` has become void as well: what rests on it may not."""
        counting, void = counting & ~changed, void | changed
        lowest = (changed & -changed).bit_length() - 1
        for number in range(lowest + 1, len(self.views.acts)):
            bit = 1 << number
            if void & bit or not self.views.pasts[number] & changed:
                continue
            if self._entitled(number, counting) != bool(counting & bit):
                counting ^= bit
                changed |= bit
        return counting

    def _order(self, number: int) -> _Order:
        return self.seniority(self.views.acts[number].author), self.views.keys[number]

    def _voided(self, number: int, exempt: int) -> int:
        """What a removal makes void: what its target did concurrently, and it could not know of.

        What its author has seen or was told of elsewhere, but for acts that follow the removal,
        it cannot deny to know of: nobody undoes by an older log what a newer one rests on.
        """
        views, placed, found = self.views, self.views.acts[number], 0
        possible = self._by.get(subject(placed), 0) & ~(exempt | self._firm | views.pasts[number])
        for other in bits(possible):
            if not views.has_seen(other, number):
                found |= 1 << other
        if found:
            # Those in its past too: what it did before them they had seen, named or not.
            for other in bits(self._by[placed.author] & ~(1 << number)):
                if not views.pasts[other] >> number & 1:
                    found &= ~views.pasts[other]
        return found

    # -- what an author was entitled to --------------------------------------------------------

    def _entitled(self, number: int, counting: int) -> bool:
        """Whether the author might do this, by the acts in its view that count."""
        placed = self.views.acts[number]
        act, author, view = placed.act, placed.author, self.views.views[number] & counting
        if isinstance(act, Create):
            person = act.certificate.person
            founded = group_room(person, act.nonce) == self._room
            return placed.seq == 0 and person == author and founded
        standing = self.standing(author, view)
        if standing is None:
            return False
        if isinstance(act, Leave) or _is_anybodys(act, self, view):
            return True
        if not isinstance(act, Admit | Setting | Remove | Role):
            return False
        return standing.role == ADMIN or self._is_for_want_of_one(
            author, self.views.pasts[number] & counting
        )

    def _is_for_want_of_one(self, person: bytes, past: int) -> bool:
        """Whether somebody is admin since no member is one, and it is the most senior.

        By its past, not its view: who names only what let it in would see no admin anywhere.
        """
        for elder in self._elders:
            if self.standing(elder, past) is not None:
                self._heard = max(self._heard, self.seniority(elder))
                break
        else:
            return False
        if elder != person:
            return False
        standings = (self.standing(one, past) for one in self.raised)
        return all(found is None or found.role != ADMIN for found in standings)

    def _standing(self, acts: int) -> tuple[int, int] | None:
        """Role, and the admission that holds, by `acts` about one person."""
        ends = acts & self.ends
        admissions = self._after(acts & self.admissions, ends)
        if not admissions:
            return None
        newest = self._after(acts & ~ends, ends)
        role = ADMIN if all(_role(self.views.acts[at]) == ADMIN for at in newest) else MEMBER
        return role, max(admissions, key=self.views.keys.__getitem__)

    def _after(self, acts: int, ends: int) -> list[int]:
        """Those of `acts` that have seen all of `ends`, and that no other such has seen."""
        if not ends:
            return self.views.newest(acts)
        found = []
        while acts:
            top = acts.bit_length() - 1
            view = self.views.views[top]
            if ends & ~view:
                # Those before it in its chain have seen no more.
                view = self.views.own(top)
            else:
                found.append(top)
            acts &= ~(view | 1 << top)
        return found


def _reach(steps: dict[bytes, int], edges: Mapping[bytes, Iterable[bytes]]) -> None:
    """Count steps along `edges`, from those that have some already."""
    reached = list(steps)
    for person in reached:
        for other in edges.get(person, ()):
            if other not in steps:
                steps[other] = steps[person] + 1
                reached.append(other)


def _is_anybodys(act: Act, judgement: Judgement, view: int) -> bool:
    """Whether any member may do it."""
    if isinstance(act, Setting):
        return act.key == "topic"
    return (
        isinstance(act, Admit)
        and act.role == MEMBER
        and judgement.setting("admit", view) in (None, "members")
    )


def subject(placed: Placed) -> bytes:
    """Whom an act is about."""
    match placed.act:
        case Create(_, certificate) | Admit(_, certificate):
            return certificate.person
        case Remove(_, person) | Role(_, person):
            return person
    return placed.author


def admits(placed: Placed) -> bool:
    return isinstance(placed.act, Create | Admit)


def takes(placed: Placed) -> bool:
    """Whether it takes somebody's rights away."""
    act = placed.act
    return isinstance(act, Remove) or (isinstance(act, Role) and act.role != ADMIN)


def _role(placed: Placed) -> int:
    match placed.act:
        case Create():
            return ADMIN
        case Admit(_, _, role) | Role(_, _, role):
            return role
    return MEMBER
