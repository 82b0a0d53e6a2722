"""Who belongs to a room: a fold over the acts of its members (docs/protocol.md, 8: Rooms of many).

A pure function of the set of acts, so that all who have the same acts agree, however they came.

An act's *view* is what its author said to have seen: the acts that it names and all before them in
their chains, and the author's own earlier ones with what those had seen. Two acts of which neither
is in the other's view are *concurrent*.

    act       counts if its author, by the acts in its view, was
    create    the founder, from whom the room's id follows
    admit     a member (an admin, where the room says so, or to admit an admin)
    leave     a member
    setting   an admin; of the topic, a member
    remove    an admin, and not somebody whom a removal that counts, by somebody more senior or
    role      judged before, has taken that right from concurrently

Removals and demotions are judged by the seniority of their authors: steps from the founder by which
they were made admins, then steps of admission, then person key. One that counts voids what its
target did concurrently, other than leaving and other than removals already judged. So nobody can
make anybody more senior than itself, and only somebody more senior can undo a removal, by one of
its own. An admission holds against no removal that it has not seen. Where nobody who is left is an
admin, the most senior member is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from p2pchat.core.acts import (
    ADMIN,
    MEMBER,
    SETTINGS,
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
from p2pchat.core.bounds import ACT_SEEN_MAX
from p2pchat.core.entry import chain_id

__all__ = ["OPEN", "VOID", "Limit", "Membership", "Placed", "Standing"]


@dataclass(frozen=True, slots=True)
class Placed:
    """An act, the entry that carries it, and the person who wrote it."""

    id: bytes
    chain: bytes
    seq: int
    author: bytes
    act: Act


@dataclass(frozen=True, slots=True)
class Standing:
    """What somebody is in the room. `depth`: steps of admission from the founder."""

    role: int
    depth: int
    admission: bytes
    """id of the act that a new chain of theirs has to name"""


@dataclass(frozen=True, slots=True)
class Limit:
    """Up to where a chain counts: `seq` -1 is not at all, None without end.

    `id` and `signature` are of the entry at `seq`, where a removal named them.
    """

    seq: int | None
    id: bytes = b""
    signature: bytes = b""


OPEN, VOID = Limit(None), Limit(-1)


@dataclass(slots=True)
class _Judged:
    """What the acts amount to."""

    order: list[Placed] = field(default_factory=list)
    views: dict[bytes, int] = field(default_factory=dict)
    pasts: dict[bytes, int] = field(default_factory=dict)
    """id -> its view, and the pasts of all in it: what an author cannot deny to know of"""
    bits: dict[bytes, int] = field(default_factory=dict)
    counts: dict[bytes, bool] = field(default_factory=dict)
    depths: dict[bytes, int] = field(default_factory=dict)
    """person -> steps of admission from the founder"""
    ranks: dict[bytes, int] = field(default_factory=dict)
    """person -> steps from the founder by which it was made an admin"""
    about: dict[bytes, list[Placed]] = field(default_factory=dict)
    settings: dict[str, list[Placed]] = field(default_factory=dict)
    authors: set[bytes] = field(default_factory=set)
    up_to: dict[bytes, dict[int, int]] = field(default_factory=dict)
    """chain -> place -> mask of its acts up to there"""
    seen: dict[bytes, int] = field(default_factory=dict)
    """chain -> mask of what its author has seen or done"""
    standings: dict[bytes, Standing] = field(default_factory=dict)
    """of members, before somebody is admin for want of one"""

    def index(self, placed: Placed) -> None:
        """Have it found by what it is about, and by its author."""
        self.authors.add(placed.author)
        if isinstance(placed.act, Setting):
            self.settings.setdefault(placed.act.key, []).append(placed)
        else:
            self.about.setdefault(_subject(placed), []).append(placed)

    def newest(self, acts: Sequence[Placed]) -> list[Placed]:
        """Those of `acts`, each after what it has seen, that none of the others has seen."""
        found, covered = [], 0
        for placed in reversed(acts):
            if not covered >> self.bits[placed.id] & 1:
                found.append(placed)
            covered |= self.views[placed.id]
        return found[::-1]

    def seniority(self, person: bytes) -> tuple[int, int, bytes]:
        """Lower is more senior."""
        none = len(self.bits) + 1
        return self.ranks.get(person, none), self.depths.get(person, none), person

    def has_seen(self, one: Placed, other: Placed) -> bool:
        return bool(self.views[one.id] >> self.bits[other.id] & 1)


class Membership:
    """Of one room of many. Cheap to add to; judged when somebody asks."""

    def __init__(self, room: bytes) -> None:
        self._room = room
        self._acts: dict[bytes, Placed] = {}
        self._chains: dict[bytes, dict[int, list[Placed]]] = {}
        """chain -> place -> the act there, several where the author forked"""
        self._judged: _Judged | None = None
        self._members: dict[bytes, Standing] = {}

    def add(self, acts: Iterable[Placed]) -> None:
        for placed in acts:
            if placed.id not in self._acts:
                self._acts[placed.id] = placed
                self._chains.setdefault(placed.chain, {}).setdefault(placed.seq, []).append(placed)
                if self._judged is not None and not self._extend(self._judged, placed):
                    self._judged = None

    def acts(self) -> Iterable[Placed]:
        """All that were added."""
        return self._acts.values()

    # -- what it amounts to --------------------------------------------------------------------

    @property
    def members(self) -> Mapping[bytes, Standing]:
        """Person -> standing, of those who are members now."""
        self._judge()
        return self._members

    @property
    def persons(self) -> frozenset[bytes]:
        """Everybody whom any act names as founder or newcomer, member or not."""
        return frozenset(_subject(placed) for placed in self._acts.values() if _admits(placed))

    def is_admin(self, person: bytes) -> bool:
        standing = self.members.get(person)
        return standing is not None and standing.role == ADMIN

    @property
    def moderators(self) -> frozenset[bytes]:
        """Whose deletes of what others wrote count: admins, and those gone who were to the last.

        By all acts, not by those that a delete has seen: so it is the same whatever came first,
        leaving brings nothing back, and who is no admin any more has no delete left that counts.
        """
        judged = self._judge()
        last = {person for person in judged.about if _was_admin(judged, person)}
        return frozenset(last | {person for person in self._members if self.is_admin(person)})

    def may_admit(self, person: bytes) -> bool:
        """Whether `person` may let somebody in."""
        return person in self.members and (
            self.setting("admit") != "admins" or self.is_admin(person)
        )

    def setting(self, key: str) -> str:
        """One of `acts.SETTINGS`."""
        judged = self._judge()
        found = _setting(judged, key, -1)
        return found if found is not None else SETTINGS[key]

    def was_removed(self, person: bytes) -> bool:
        judged = self._judge()
        return person not in self._members and any(
            isinstance(placed.act, Remove) and judged.counts[placed.id]
            for placed in judged.about.get(person, ())
        )

    def admissions(self, person: bytes) -> list[tuple[bytes, bool]]:
        """Ids of the acts by which `person` came in, and whether they count."""
        judged = self._judge()
        return [
            (placed.id, judged.counts[placed.id])
            for placed in judged.about.get(person, ())
            if _admits(placed)
        ]

    def seen(self, author: bytes) -> tuple[Seen, ...]:
        """What an act that `author` writes now says it has seen.

        Of more than an act can name: what says who the author is, then what its seniors did. Else
        a member who wrote in many chains could crowd out what entitles others.
        """
        judged = self._judge()
        entitling = {
            placed.chain for placed in judged.about.get(author, ()) if judged.counts[placed.id]
        }
        newest = [acts[max(acts)][0] for acts in self._chains.values()]
        newest.sort(
            key=lambda one: (
                one.chain not in entitling,
                judged.seniority(one.author),
                one.chain,
            )
        )
        rows = [Seen(placed.chain, placed.seq, placed.id[:8]) for placed in newest[:ACT_SEEN_MAX]]
        return tuple(sorted(rows, key=lambda row: row.chain))

    def limit(self, person: bytes, admission: bytes, chain: bytes) -> Limit:
        """Up to where `chain` counts, which `person` began under `admission`."""
        judged = self._judge()
        under = self._acts.get(admission)
        if under is None or not _admits(under) or _subject(under) != person:
            return VOID
        ends = [
            placed
            for placed in judged.about[person]
            if _ends(placed) and judged.counts[placed.id] and not judged.has_seen(under, placed)
        ]
        removals = [placed.act for placed in ends if isinstance(placed.act, Remove)]
        if removals:
            return max(
                (
                    Limit(cut.seq, cut.id, cut.signature)
                    for act in removals
                    for cut in act.cuts
                    if chain_id(self._room, cut.device, cut.incarnation) == chain
                ),
                key=lambda limit: (limit.seq or 0, limit.id),
                default=VOID,
            )
        for placed in ends:
            if placed.chain == chain:
                return Limit(placed.seq, placed.id)
        if ends or judged.counts[under.id] or person in self._members:
            return OPEN
        return VOID

    # -- judging -------------------------------------------------------------------------------

    def _judge(self) -> _Judged:
        if self._judged is None:
            self._judged = judged = _Judged()
            self._see(judged)
            self._rank(judged)
            _weigh(judged, self._room)
            judged.standings = {}
            for person in judged.about:
                _stand(judged, person)
            self._members = _with_admin(judged)
        return self._judged

    def _extend(self, judged: _Judged, placed: Placed) -> bool:
        """Judge one more act, if it changes nothing of what was judged before.

        So it is if it has seen all others, and makes nobody more senior: the usual case, and
        cheap, where to judge all anew for each of many acts would take time without end.
        """
        act, chain, known = placed.act, placed.chain, len(judged.bits)
        places = self._chains[chain]
        if len(places[placed.seq]) > 1 or placed.seq != max(places) or isinstance(act, Create):
            return False
        view = judged.seen.get(chain, 0)
        for row in self._named(act, chain):
            view |= judged.up_to[row.chain][row.seq]
        if view != (1 << known) - 1:
            return False
        if isinstance(act, Admit | Role) and not self._is_below(judged, placed):
            return False
        judged.bits[placed.id] = known
        judged.views[placed.id] = judged.pasts[placed.id] = view
        judged.seen[chain] = view | 1 << known
        up_to = judged.up_to.setdefault(chain, {})
        up_to[placed.seq] = max(up_to.values(), default=0) | 1 << known
        judged.order.append(placed)
        judged.counts[placed.id] = False
        judged.index(placed)
        judged.counts[placed.id] = _entitled(judged, placed, self._room)
        if not isinstance(act, Setting):
            _stand(judged, _subject(placed))
            self._members = _with_admin(judged)
        return True

    def _is_below(self, judged: _Judged, placed: Placed) -> bool:
        """Whether an admission or role leads to no shorter way from the founder; it is noted."""
        person, ways = _subject(placed), []
        if isinstance(placed.act, Admit):
            ways.append(judged.depths)
        if _role(placed) == ADMIN:
            ways.append(judged.ranks)
        for way in ways:
            # Who is not reached itself, or leads on to others by what it did before, or is reached
            # by a longer way: all of that moves more than this one.
            if placed.author not in way or (person not in way and person in judged.authors):
                return False
            if person in way and way[person] > way[placed.author] + 1:
                return False
        for way in ways:
            way.setdefault(person, way[placed.author] + 1)
        return True

    def _see(self, judged: _Judged) -> None:
        """Views, as bit masks, and an order in which acts come after what they have seen."""
        judged.bits = {id_: at for at, id_ in enumerate(self._acts)}
        up_to = judged.up_to
        for chain, places in self._chains.items():
            mask, masks = 0, up_to.setdefault(chain, {})
            for seq in sorted(places):
                for placed in places[seq]:
                    mask |= 1 << judged.bits[placed.id]
                masks[seq] = mask
        steps: dict[bytes, list[bytes]] = {}
        """id -> ids that come right before it"""
        for chain, places in self._chains.items():
            # What somebody has seen stays seen: along its own chain alone, since of other chains
            # not everybody has the acts that a removal has made void.
            view, before = 0, list[bytes]()
            for seq in sorted(places):
                views = []
                for placed in places[seq]:
                    rows = self._named(placed.act, chain)
                    views.append(view)
                    steps[placed.id] = list(before)
                    for row in rows:
                        views[-1] |= up_to[row.chain][row.seq]
                        steps[placed.id] += [one.id for one in self._chains[row.chain][row.seq]]
                    judged.views[placed.id] = views[-1]
                before = [placed.id for placed in places[seq]]
                for placed, mask in zip(places[seq], views, strict=True):
                    view |= mask | 1 << judged.bits[placed.id]
            judged.seen[chain] = view
        judged.order = [self._acts[id_] for id_ in _sorted(steps)]
        for placed in judged.order:
            past = judged.views[placed.id]
            for id_ in steps[placed.id]:
                past |= judged.pasts.get(id_, 0)
            judged.pasts[placed.id] = past
            judged.index(placed)

    def _named(self, act: Act, own: bytes) -> list[Seen]:
        """What `act` has seen in other chains; what is not here as it says is not seen."""
        return [
            row
            for row in act.seen
            if row.chain != own
            and any(
                one.id[:8] == row.id for one in self._chains.get(row.chain, {}).get(row.seq, ())
            )
        ]

    def _rank(self, judged: _Judged) -> None:
        """Steps from the founder, whatever became of the acts."""
        admissions: dict[bytes, set[bytes]] = {}
        grants: dict[bytes, set[bytes]] = {}
        for placed in judged.order:
            if isinstance(placed.act, Create):
                if group_room(placed.act.certificate.person, placed.act.nonce) == self._room:
                    judged.depths[placed.act.certificate.person] = 0
            elif isinstance(placed.act, Admit):
                admissions.setdefault(placed.author, set()).add(_subject(placed))
            if isinstance(placed.act, Admit | Role) and _role(placed) == ADMIN:
                grants.setdefault(placed.author, set()).add(_subject(placed))
        judged.ranks = dict(judged.depths)
        _reach(judged.depths, admissions)
        _reach(judged.ranks, grants)


def _reach(steps: dict[bytes, int], edges: Mapping[bytes, Iterable[bytes]]) -> None:
    """Count steps along `edges`, from those that have some already."""
    reached = list(steps)
    for person in reached:
        for other in edges.get(person, ()):
            if other not in steps:
                steps[other] = steps[person] + 1
                reached.append(other)


def _sorted(steps: Mapping[bytes, Sequence[bytes]]) -> list[bytes]:
    """Each after those that `steps` puts before it, else by id (Kahn 1962).

    Two acts that have seen each other would take a broken hash; they come last.
    """
    left = {id_: len(before) for id_, before in steps.items()}
    after: dict[bytes, list[bytes]] = {}
    for id_, before in steps.items():
        for other in before:
            after.setdefault(other, []).append(id_)
    free = [id_ for id_ in steps if not left[id_]]
    heapify(free)
    order: list[bytes] = []
    while free:
        id_ = heappop(free)
        order.append(id_)
        for other in after.get(id_, ()):
            left[other] -= 1
            if not left[other]:
                heappush(free, other)
    return order + sorted(steps.keys() - set(order))


def _weigh(judged: _Judged, room: bytes) -> None:
    """Which acts count."""
    void: set[bytes] = set()
    passed: set[bytes] = set()

    def count() -> None:
        judged.counts = dict.fromkeys(judged.views, False)
        for placed in judged.order:
            judged.counts[placed.id] = placed.id not in void and _entitled(judged, placed, room)

    count()
    removals = [placed for placed in judged.order if _takes(placed)]
    order = {placed.id: at for at, placed in enumerate(judged.order)}
    removals.sort(key=lambda one: (judged.seniority(one.author), order[one.id]))
    by_author: dict[bytes, list[Placed]] = {}
    for placed in judged.order:
        by_author.setdefault(placed.author, []).append(placed)
    for removal in removals:
        if not judged.counts[removal.id]:
            continue
        passed.add(removal.id)
        voided = {
            placed.id
            for placed in by_author.get(_subject(removal), ())
            if placed.id not in passed | void
            and not isinstance(placed.act, Leave | Create)
            and not judged.has_seen(removal, placed)
            and not judged.has_seen(placed, removal)
        }
        if voided:
            void |= voided
            count()


def _entitled(judged: _Judged, placed: Placed, room: bytes) -> bool:
    """Whether the author might do this, by the acts in its view that count."""
    view, author, act = judged.views[placed.id], placed.author, placed.act
    if isinstance(act, Create):
        person = act.certificate.person
        return placed.seq == 0 and person == author and group_room(person, act.nonce) == room
    standing, past = _standing(judged, author, view), judged.pasts[placed.id]
    if standing is None:
        return False
    match act:
        case Leave():
            return True
        case Admit(_, _, role):
            free = role == MEMBER and _setting(judged, "admit", view) in (None, "members")
            return free or _rules(judged, author, standing, past)
        case Setting(_, key, _):
            return key == "topic" or _rules(judged, author, standing, past)
        case Remove() | Role():
            return _rules(judged, author, standing, past)
    return False


def _rules(judged: _Judged, person: bytes, standing: Standing, past: int) -> bool:
    """Whether somebody with this standing is an admin, if only for want of one.

    By its `past`, not its view: who names only what let it in would see no admin anywhere.
    """
    if standing.role == ADMIN:
        return True
    others = {one: _standing(judged, one, past) for one in judged.about}
    left = {one: found for one, found in others.items() if found is not None}
    return all(found.role != ADMIN for found in left.values()) and person == min(
        left, key=judged.seniority
    )


def _standing(judged: _Judged, person: bytes, view: int) -> Standing | None:
    """What `person` was by those acts of `view` (a mask, -1: all) that count; None: no member."""
    acts = [
        placed
        for placed in judged.about.get(person, ())
        if judged.counts[placed.id] and view >> judged.bits[placed.id] & 1
    ]
    ends = [placed for placed in acts if _ends(placed)]
    live = [
        placed
        for placed in acts
        if not _ends(placed) and all(judged.has_seen(placed, end) for end in ends)
    ]
    admissions = [placed for placed in live if _admits(placed)]
    if not admissions:
        return None
    role = ADMIN if all(_role(placed) == ADMIN for placed in judged.newest(live)) else MEMBER
    return Standing(role, judged.depths.get(person, 0), admissions[-1].id)


def _stand(judged: _Judged, person: bytes) -> None:
    """Note what somebody is by all acts."""
    standing = _standing(judged, person, -1)
    if standing is not None:
        judged.standings[person] = standing
    else:
        judged.standings.pop(person, None)


def _with_admin(judged: _Judged) -> dict[bytes, Standing]:
    """The members; where no admin is left, the most senior of them is one."""
    members = dict(judged.standings)
    if members and all(one.role != ADMIN for one in members.values()):
        person = min(members, key=judged.seniority)
        members[person] = Standing(ADMIN, members[person].depth, members[person].admission)
    return members


def _was_admin(judged: _Judged, person: bytes) -> bool:
    """Whether the newest that counts of what was said of somebody's role is: admin."""
    acts = [
        placed for placed in judged.about[person] if judged.counts[placed.id] and not _ends(placed)
    ]
    newest = [one for one in acts if not any(judged.has_seen(other, one) for other in acts)]
    return bool(newest) and all(_role(placed) == ADMIN for placed in newest)


def _setting(judged: _Judged, key: str, view: int) -> str | None:
    acts = [
        placed
        for placed in judged.settings.get(key, ())
        if judged.counts[placed.id] and view >> judged.bits[placed.id] & 1
    ]
    if acts:
        act = judged.newest(acts)[-1].act
        assert isinstance(act, Setting)
        return act.value
    if key == "name":
        for placed in judged.order:
            if isinstance(placed.act, Create) and judged.counts[placed.id]:
                return placed.act.name
    return None


def _subject(placed: Placed) -> bytes:
    """Whom an act is about."""
    match placed.act:
        case Create(_, certificate) | Admit(_, certificate):
            return certificate.person
        case Remove(_, person) | Role(_, person):
            return person
    return placed.author


def _admits(placed: Placed) -> bool:
    return isinstance(placed.act, Create | Admit)


def _ends(placed: Placed) -> bool:
    return isinstance(placed.act, Remove | Leave)


def _takes(placed: Placed) -> bool:
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
