"""Which acts of a room their authors had seen (docs/protocol.md, 8: Rooms of many).

An act *names* others by chain, place and id. Who names an act has seen it, and those before it that
its own chain leads to: each act names the one before it in its chain. Beyond that an author has
seen its own earlier acts, named or not, and what these had seen: nobody un-sees anything. All of it
is an act's *view*. What it names has *told* it of what that names, and so on; its *past* is all
that it has seen or was told of, and that its author's earlier acts were.

What is named has to be here as it is named. A chain leads through ids, not places: whoever forks
its chain puts nothing below an act that others have named. Acts have numbers, each a higher one
than what it has seen, and sets of them are bit masks.

An author's own earlier acts come first, unless they have seen it (a fork made so): of such a circle
the least id that waits for nothing but its own chain is let through.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from p2pchat.core.acts import Act, Seen

__all__ = ["Placed", "Views", "bits"]


@dataclass(frozen=True, slots=True)
class Placed:
    """An act, the entry that carries it, and the person who wrote it."""

    id: bytes
    chain: bytes
    seq: int
    author: bytes
    act: Act


class _Chain:
    """Acts of one chain by place; several at one place where the author forked."""

    __slots__ = ("at", "mask", "places")

    def __init__(self) -> None:
        self.places: list[int] = []
        self.at: dict[int, list[int]] = {}
        self.mask = 0

    def add(self, seq: int, number: int) -> None:
        if seq not in self.at:
            self.places.insert(bisect_left(self.places, seq), seq)
        self.at.setdefault(seq, []).append(number)
        self.mask |= 1 << number

    def before(self, seq: int) -> Sequence[int]:
        """The act right before a place; several where the author forked."""
        at = bisect_left(self.places, seq)
        return self.at[self.places[at - 1]] if at else ()


class Views:
    """What each of `acts` has seen. Cheap to add to where an act comes after all of its chain."""

    def __init__(self, acts: Iterable[Placed]) -> None:
        self.acts: list[Placed] = []
        self.numbers: dict[bytes, int] = {}
        self.views: list[int] = []
        self.pasts: list[int] = []
        """what an author cannot deny to know of"""
        self.keys: list[tuple[int, bytes]] = []
        """sorted by these, acts come after what they have seen, the same way wherever they came"""
        self._led: list[int] = []
        """of each, itself and those before it that its chain leads to"""
        self._told: list[int] = []
        """of each, what it names, and what that has told"""
        self._chains: dict[bytes, _Chain] = {}
        self._tips: dict[bytes, set[int]] = {}
        """chain -> those that no other of the chain leads to"""
        self._awaited: set[tuple[bytes, int, bytes]] = set()
        """what is named and not here"""
        found = list(acts)
        for height, placed in sorted(
            zip(_heights(found), found, strict=True), key=lambda pair: (pair[0], pair[1].id)
        ):
            self._place(placed, height)

    def append(self, placed: Placed) -> bool:
        """Add one, unless it may stand in the view of those that are here."""
        chain = self._chains.get(placed.chain)
        if chain is not None and chain.places[-1] >= placed.seq:
            return False
        if (placed.chain, placed.seq, placed.id[:8]) in self._awaited:
            return False
        before = [number for row in placed.act.seen for number in self._at(row)]
        before += chain.before(placed.seq) if chain is not None else ()
        self._place(placed, 1 + max((self.keys[at][0] for at in before), default=-1))
        return True

    def has_seen(self, one: int, other: int) -> bool:
        return bool(self.views[one] >> other & 1)

    def own(self, number: int) -> int:
        """The acts of the same chain that an act has seen; these have seen no more than it."""
        return self.views[number] & self._chains[self.acts[number].chain].mask

    def newest(self, acts: int) -> list[int]:
        """Those of `acts` that none of the others has seen, the highest number first."""
        found = []
        while acts:
            top = acts.bit_length() - 1
            found.append(top)
            acts &= ~(self.views[top] | 1 << top)
        return found

    def last(self, acts: int) -> int:
        """The same one of the newest of `acts` wherever they came; there has to be one."""
        return max(self.newest(acts), key=self.keys.__getitem__)

    def tips(self) -> Iterator[tuple[bytes, list[int]]]:
        """Chain by chain, the acts to name to have seen all of it; the farthest first."""
        for chain, numbers in self._tips.items():
            yield chain, sorted(numbers, key=lambda at: (-self.acts[at].seq, self.acts[at].id))

    def _at(self, row: Seen) -> Iterator[int]:
        chain = self._chains.get(row.chain)
        for number in chain.at.get(row.seq, ()) if chain is not None else ():
            if self.acts[number].id[:8] == row.id:
                yield number

    def _place(self, placed: Placed, height: int) -> None:
        number, name = len(self.acts), placed.chain
        chain = self._chains.setdefault(name, _Chain())
        view = past = 0
        for before in chain.before(placed.seq):
            view |= self.views[before] | 1 << before
            past |= self.pasts[before]
        led, told, tips = 1 << number, 0, self._tips.setdefault(name, set())
        for row in placed.act.seen:
            here = False
            for other in self._at(row):
                here = True
                if row.chain == name:
                    if row.seq >= placed.seq:
                        continue
                    led |= self._led[other]
                    tips.discard(other)
                elif not view >> other & 1:
                    view |= self._led[other]
                if not told >> other & 1:
                    told |= self._told[other] | 1 << other
            if not here:
                self._awaited.add((row.chain, row.seq, row.id))
        past |= view | told
        self.acts.append(placed)
        self.numbers[placed.id] = number
        self.views.append(view)
        # Most know of nothing that they have not seen, and tell all of it: one number for these.
        self.pasts.append(view if past == view else past)
        self._told.append(past if told == past else told)
        self.keys.append((height, placed.id))
        self._led.append(led)
        chain.add(placed.seq, number)
        tips.add(number)


def bits(mask: int) -> Iterator[int]:
    """The numbers in a mask, the highest first."""
    while mask:
        top = mask.bit_length() - 1
        yield top
        mask ^= 1 << top


def _heights(acts: Sequence[Placed]) -> list[int]:
    """Of each act, how many stand before it at most, one after the other (Kahn 1962)."""
    chains: dict[bytes, dict[int, list[int]]] = {}
    for at, placed in enumerate(acts):
        chains.setdefault(placed.chain, {}).setdefault(placed.seq, []).append(at)
    own: list[Sequence[int]] = [()] * len(acts)
    """of each act, those of its author right before it"""
    for places in chains.values():
        before: list[int] = []
        for seq in sorted(places):
            for at in places[seq]:
                own[at] = before
            before = places[seq]
    named = [
        [
            other
            for row in placed.act.seen
            for other in chains.get(row.chain, {}).get(row.seq, ())
            if acts[other].id[:8] == row.id
            and (row.chain != placed.chain or row.seq < placed.seq)
        ]
        for placed in acts
    ]  # fmt: skip
    return _Heights(acts, own, named).found


class _Heights:
    def __init__(
        self, acts: Sequence[Placed], own: Sequence[Sequence[int]], named: Sequence[Sequence[int]]
    ) -> None:
        self._acts, self._own, self._named = acts, own, named
        self.found = [-1] * len(acts)
        self._left = [len(own[at]) + len(named[at]) for at in range(len(acts))]
        self._after: list[list[int]] = [[] for _ in acts]
        for at in range(len(acts)):
            for other in (*own[at], *named[at]):
                self._after[other].append(at)
        self._reach([at for at, left in enumerate(self._left) if not left])
        for at in sorted(range(len(acts)), key=lambda at: acts[at].id):
            while self.found[at] < 0:
                self._reach([self._stuck(at)])

    def _reach(self, free: list[int]) -> None:
        for at in free:
            before = (*self._own[at], *self._named[at])
            self.found[at] = 1 + max((self.found[other] for other in before), default=-1)
            for other in self._after[at]:
                self._left[other] -= 1
                if not self._left[other] and self.found[other] < 0:
                    free.append(other)

    def _stuck(self, at: int) -> int:
        """Of the circle that `at` waits for, the one to let through."""
        walked: dict[int, bool] = {}
        while at not in walked:
            named = [other for other in self._named[at] if self.found[other] < 0]
            own = [other for other in self._own[at] if self.found[other] < 0]
            walked[at] = not named
            at = min(named or own, key=lambda other: self._acts[other].id)
        order = list(walked)
        circle = order[order.index(at) :]
        # That all wait for what they name would take a broken hash.
        free = [one for one in circle if walked[one]] or circle
        return min(free, key=lambda one: self._acts[one].id)
