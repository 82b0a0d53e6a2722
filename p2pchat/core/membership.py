"""Who belongs to a room: a fold over the acts of its members (docs/protocol.md, 8: Rooms of many).

A pure function of the set of acts, so that all who have the same acts agree, however they came.
What an author had seen (its act's *view*) says `core/views.py`; which acts count then,
`core/judgement.py`. Two acts of which neither is in the other's view are *concurrent*.

    act       counts if its author, by the acts in its view, was
    create    the founder, from whom the room's id follows
    admit     a member (an admin, where the room says so, or to admit an admin)
    leave     a member
    setting   an admin; of the topic, a member
    remove    an admin, and not somebody whom a removal that counts, by somebody more senior or
    role      judged before, has taken that right from concurrently

Removals and demotions are judged by the seniority of their authors: steps from the founder by which
they were made admins, then steps of admission, then person key. One that counts voids what its
target did concurrently, other than leaving, other than removals already judged, and other than what
the author of the removal was told of by what it names, or knows by acts of its own elsewhere that
do not follow the removal. So nobody can make anybody more senior than itself, and only somebody
more senior can undo a removal, by one of its own. An admission holds against no removal that it has
not seen. Where nobody who is left is an admin, the most senior member is.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from p2pchat.core.acts import ADMIN, REMOVE, ROLE, SETTINGS, Create, Remove, Seen
from p2pchat.core.bounds import ACT_SEEN_MAX, CONTESTED_MAX
from p2pchat.core.entry import chain_id
from p2pchat.core.judgement import Judgement, Standing, admits, subject
from p2pchat.core.views import Placed, Views, bits

__all__ = ["OPEN", "VOID", "Limit", "Membership", "Placed", "Standing", "kept"]


@dataclass(frozen=True, slots=True)
class Limit:
    """Up to where a chain counts: `seq` -1 is not at all, None without end.

    `id` and `signature` are of the entry at `seq`, where a removal named them.
    """

    seq: int | None
    id: bytes = b""
    signature: bytes = b""


OPEN, VOID = Limit(None), Limit(-1)


def kept(acts: Iterable[tuple[bytes, int, bytes]]) -> set[bytes]:
    """Ids of those that are judged for their own sake, of acts (author, kind, id) that stand apart.

    Of each author the same ones whatever came first, and whoever dropped which of the others: those
    that may undo a removal, then others, by id.
    """
    found: dict[bytes, list[tuple[bool, bytes]]] = {}
    for author, kind, id_ in acts:
        found.setdefault(author, []).append((kind not in (REMOVE, ROLE), id_))
    return {id_ for some in found.values() for _, id_ in sorted(set(some))[:CONTESTED_MAX]}


class Membership:
    """Of one room of many. Cheap to add to; judged when somebody asks."""

    def __init__(self, room: bytes) -> None:
        self._room = room
        self._acts: dict[bytes, Placed] = {}
        self._persons: set[bytes] = set()
        self._judged: Judgement | None = None
        self._stale = False
        """whether acts came since which what was judged knows nothing of: they wait for more"""
        self._standings: dict[bytes, Standing] = {}
        """of members, before somebody is admin for want of one"""
        self._members: dict[bytes, Standing] | None = None

    def add(self, acts: Iterable[Placed]) -> None:
        for placed in acts:
            if placed.id in self._acts:
                continue
            self._acts[placed.id] = placed
            if admits(placed):
                self._persons.add(subject(placed))
            if self._judged is None or self._stale:
                continue
            if self._judged.add(placed):
                self._stand(self._judged, subject(placed))
            elif placed.id in self._judged.views.numbers:
                self._judged = None
            else:
                self._stale = True

    def drop(self, ids: Iterable[bytes]) -> None:
        """Take acts out again, as if they had never been there."""
        for id_ in ids:
            if self._acts.pop(id_, None) is not None:
                self._judged = None
        if self._judged is None:
            self._stale = False
            self._persons = {subject(one) for one in self._acts.values() if admits(one)}

    @property
    def is_stale(self) -> bool:
        """Whether acts wait to be judged with others: to ask who belongs has all judged anew."""
        return self._stale

    def acts(self) -> Mapping[bytes, Placed]:
        """All that are known, by id."""
        return self._acts

    def founding(self) -> Create | None:
        """The act by which the room began: whatever its author wrote besides, it gives the id."""
        found = (placed.act for placed in self._acts.values())
        return next((act for act in found if isinstance(act, Create)), None)

    # -- what it amounts to --------------------------------------------------------------------

    @property
    def members(self) -> Mapping[bytes, Standing]:
        """Person -> standing, of those who are members now."""
        judged = self._judge()
        if self._members is None:
            self._members = _with_admin(judged, self._standings)
        return self._members

    @property
    def persons(self) -> Set[bytes]:
        """Everybody whom any act names as founder or newcomer, member or not."""
        return self._persons

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
        last = {person for person in judged.raised if judged.was_admin(person)}
        return frozenset(last | {person for person in self.members if self.is_admin(person)})

    def may_admit(self, person: bytes) -> bool:
        """Whether `person` may let somebody in."""
        return person in self.members and (
            self.setting("admit") != "admins" or self.is_admin(person)
        )

    def setting(self, key: str) -> str:
        """One of `acts.SETTINGS`."""
        judged = self._judge()
        found = judged.setting(key, judged.counting)
        return found if found is not None else SETTINGS[key]

    def was_removed(self, person: bytes) -> bool:
        return person not in self.members and any(
            isinstance(placed.act, Remove) for placed in self._ends(person)
        )

    def is_lost(self, person: bytes) -> bool:
        """Whether no act says how `person`, who is no member, went: then acts are missing."""
        judged = self._judge()
        return person not in self.members and not judged.about.get(person, 0) & judged.ends

    def was_let_in(self, person: bytes) -> int:
        """How many acts have let somebody in, undone since or not."""
        return self._judge().was_let_in(person)

    def admissions(self, person: bytes) -> list[tuple[bytes, bool]]:
        """Ids of the acts by which `person` came in, and whether they count."""
        judged = self._judge()
        acts = judged.about.get(person, 0) & judged.admissions
        return [(judged.views.acts[at].id, bool(judged.counting >> at & 1)) for at in bits(acts)]

    def judged_apart(self, acts: Iterable[tuple[bytes, int, bytes]]) -> set[bytes]:
        """Ids of those that are judged, of acts (author, kind, id) that stand apart.

        Those of members, since these may write any number into chains too; what was known to
        whoever removed their author, or to the author who left; and of all others some.
        """
        members, known, found = self.members, dict[bytes, set[bytes]](), set[bytes]()
        others: list[tuple[bytes, int, bytes]] = []
        for author, kind, id_ in acts:
            if author not in members and author not in known:
                known[author] = self._known_to_ends(author)
            if author in members or id_ in known[author]:
                found.add(id_)
            else:
                others.append((author, kind, id_))
        return found | kept(others)

    def standing_apart(self) -> frozenset[bytes]:
        """By what `judged_apart` judges: members, and ids of the removals and leaves that count."""
        judged = self._judge()
        ends = bits(judged.ends & judged.counting)
        return frozenset(self.members) | {judged.views.acts[at].id for at in ends}

    def _known_to_ends(self, person: bytes) -> set[bytes]:
        """Ids of the acts by `person` in the past of a removal or leave of it that counts."""
        judged = self._judge()
        past = 0
        for at in bits(judged.about.get(person, 0) & judged.ends & judged.counting):
            past |= judged.views.pasts[at] | 1 << at
        found = (judged.views.acts[at] for at in bits(past))
        return {placed.id for placed in found if placed.author == person}

    def may_be_known(self, person: bytes, chain: bytes, seq: int) -> bool:
        """Whether a removal or leave of `person` that counts names `chain` at `seq` or later."""
        return any(
            row.chain == chain and seq <= row.seq
            for placed in self._ends(person)
            for row in placed.act.seen
        )

    def written_by(self, person: bytes) -> list[bytes]:
        """Ids of the acts that `person` wrote, whether or not they count."""
        return self._judge().written_by(person)

    def leading_to(self, persons: Iterable[bytes], peer: bytes) -> list[bytes]:
        """Ids of the acts by which `persons` are members, but for those that `peer` has seen.

        Each comes after what it rests on.
        """
        judged = self._judge()
        views, found = judged.views, 0
        for person in persons:
            standing = self.members.get(person)
            if standing is not None:
                at = views.numbers[standing.admission]
                found |= views.pasts[at] | 1 << at
        for at in judged.by(peer):
            found &= ~(views.views[at] | 1 << at)
        return [views.acts[at].id for at in bits(found)][::-1]

    def removals(self, person: bytes) -> list[bytes]:
        """Ids of the acts that remove `person`, whether or not they count."""
        judged = self._judge()
        found = (judged.views.acts[at] for at in bits(judged.about.get(person, 0) & judged.ends))
        return [placed.id for placed in found if isinstance(placed.act, Remove)]

    def seen(self, author: bytes) -> tuple[Seen, ...]:
        """What an act that `author` writes now says it has seen.

        Of more than an act can name: what its own chains have, since they lead through that; what
        says who the author is; then what its seniors did. Else a member who wrote in many chains
        could crowd out what entitles others. What a chain does not lead to comes last.
        """
        judged = self._judge()
        acts = judged.views.acts
        entitling = {acts[at].chain for at in bits(judged.about.get(author, 0) & judged.counting)}
        rows = [
            (
                (
                    bool(place),
                    one.author != author,
                    one.chain not in entitling,
                    judged.seniority(one.author),
                    one.chain,
                    place,
                ),
                Seen(one.chain, one.seq, one.id[:8]),
            )
            for _, tips in judged.views.tips()
            for place, one in enumerate(acts[at] for at in tips)
        ]
        rows.sort(key=lambda row: row[0])
        named = [row for _, row in rows[:ACT_SEEN_MAX]]
        return tuple(sorted(named, key=lambda row: (row.chain, row.seq, row.id)))

    def limit_so_far(self, person: bytes, admission: bytes, chain: bytes) -> Limit:
        """`limit`, by what was judged last: acts may have come since.

        For what is looked at again once all is judged: two chains that name each other's acts
        before these come would have all judged anew with each.
        """
        judged = self._judged
        if judged is None or admission not in judged.views.numbers:
            judged = self._judge()
        return self._limit(judged, person, admission, chain)

    def limit(self, person: bytes, admission: bytes, chain: bytes) -> Limit:
        """Up to where `chain` counts, which `person` began under `admission`."""
        return self._limit(self._judge(), person, admission, chain)

    def _limit(self, judged: Judgement, person: bytes, admission: bytes, chain: bytes) -> Limit:
        under = self._acts.get(admission)
        if under is None or not admits(under) or subject(under) != person:
            return VOID
        seen = judged.views.views[judged.views.numbers[admission]]
        ends = _ends(judged, person, seen)
        removals = [placed.act for placed in ends if isinstance(placed.act, Remove)]
        if removals:
            founding = isinstance(under.act, Create) and under.chain == chain
            return max(
                (
                    Limit(cut.seq, cut.id, cut.signature)
                    for act in removals
                    for cut in act.cuts
                    if chain_id(self._room, cut.device, cut.incarnation) == chain
                ),
                key=lambda limit: (limit.seq or 0, limit.id),
                # Nobody takes from a room what it was founded by: newcomers begin with that.
                default=Limit(0, under.id) if founding else VOID,
            )
        leaves = [(placed.seq, placed.id) for placed in ends if placed.chain == chain]
        if leaves:
            return Limit(*min(leaves))
        if ends or judged.counts(under) or person in self._standings:
            return OPEN
        return VOID

    # -- judging -------------------------------------------------------------------------------

    def _judge(self) -> Judgement:
        if self._judged is None or self._stale:
            self._stale = False
            self._judged = judged = Judgement(self._room, Views(self._acts.values()))
            self._standings, self._members = {}, None
            for person in judged.about:
                self._stand(judged, person)
        return self._judged

    def _stand(self, judged: Judgement, person: bytes) -> None:
        """Note what somebody is by all acts."""
        self._members = None
        standing = judged.standing(person, judged.counting)
        if standing is not None:
            self._standings[person] = standing
        else:
            self._standings.pop(person, None)

    def _ends(self, person: bytes) -> list[Placed]:
        return _ends(self._judge(), person)


def _ends(judged: Judgement, person: bytes, seen: int = 0) -> list[Placed]:
    """The removals and leaves of `person` that count, but for those in `seen`."""
    acts = judged.about.get(person, 0) & judged.ends & judged.counting & ~seen
    return [judged.views.acts[at] for at in bits(acts)]


def _with_admin(judged: Judgement, standings: Mapping[bytes, Standing]) -> dict[bytes, Standing]:
    """The members; where no admin is left, the most senior of them is one."""
    members = dict(standings)
    if members and all(one.role != ADMIN for one in members.values()):
        person = min(members, key=judged.seniority)
        members[person] = Standing(ADMIN, members[person].depth, members[person].admission)
    return members
