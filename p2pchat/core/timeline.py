"""Display order: a pure function of the set of entries (docs/protocol.md, 8: Order).

low(e)  = 1 + the greatest eff of what e follows (its predecessor and its `after`)
high(e) = the least of: the claimed time of the next in its chain, and where e is of its beginning
          those of all that follow it there; those of its witnesses, if more
          of them claim to be earlier than e than do not; and high of the next in its chain where
          that is below its time and it is of one run with e, unless one of its witnesses does not
          claim to be earlier
eff(e)  = max(low, min(claimed, high)); order by (eff, chain id, seq)

A run is an entry that names others and what follows in its chain without naming any, 64 at most.
The beginning of a chain is what stands before the first entry that names others, 64 at most; that
one follows it too.
Witnesses are entries of other chains that name e, of many the 16 with the least ids. All of it is
of one room: what names entries of another, which not all members know, follows nothing there.

So a clock ahead is pulled back by the author's next correct entry or by the first reply, with all
that it wrote in between; a clock behind cannot go before what its author had seen, and moves
little: nothing that somebody else's clock agreed with, and nothing to before what that had seen.
Kept up incrementally: an entry touches its direct causes' `high`, and whatever then moves touches
what follows it, or stands before it in its run. What may move is taken by the places that it had,
where causes come first already: so each moves once, after all that it follows. All that hangs on
one entry may move when that comes late, which has no bound: `left` is what a batch has not got to.
It stands where it stood until somebody goes on with it, and in between others may come.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Protocol

from p2pchat.core.bounds import CLOCK_PULL_MS

__all__ = ["Node", "Timeline", "Web", "ahead_ms", "clock_off_ms"]

_MARK_MS = CLOCK_PULL_MS + 60_000
"""A right clock may have been pulled by a wrong one, and is not to be marked for that."""
_RUN_MAX = 64
_WITNESSES_MAX = 16


@dataclass(slots=True)
class Node:
    """One entry as the order sees it. `causes`: ids of its predecessor `prev` and its `after`.

    `high` is kept only where it is below `time`: else it bounds nothing.
    """

    id: bytes
    time: int
    causes: tuple[bytes, ...]
    high: int | None = None
    eff: int = 0
    prev: bytes = b""
    room: bytes = b""

    @property
    def names_others(self) -> bool:
        return any(cause != self.prev for cause in self.causes)

    @property
    def contradicted(self) -> bool:
        """Whether something that follows it claims to be earlier."""
        return self.high is not None and self.high < self.time


class Web(Protocol):
    """Where the nodes of one room are kept; it knows of no other's."""

    def nodes(self, ids: Sequence[bytes]) -> dict[bytes, Node]:
        """Those of `ids` that are known, with `high` and `eff` as last kept."""

    def followers(self, ids: Sequence[bytes]) -> dict[bytes, list[tuple[int, bytes]]]:
        """Of each of `ids` that has any, `eff` and id of entries that name it as a cause."""

    def witnesses(self, id_: bytes, count: int) -> list[bytes]:
        """Of what `followers` has, the next in the chain and the `count` least ids of the rest."""


def clock_off_ms(time: int, eff: int, now_ms: int) -> int | None:
    """How far an entry's clock was ahead of its place (less than 0: behind), if by over two
    minutes.

    Nobody may have followed it yet: then it is ahead if it is so of our own wall, `now_ms`, beyond
    what a right clock may have been pulled.
    """
    off = (time >> 16) - (eff >> 16)
    return off if abs(off) > _MARK_MS else ahead_ms(time, now_ms)


def ahead_ms(time: int, now_ms: int) -> int | None:
    """How far a time is ahead of our wall, if beyond what a right clock may have been pulled."""
    early = (time >> 16) - now_ms
    return early if early > _MARK_MS else None


class Timeline:
    """Brings a batch of new entries into the order. One instance serves one batch.

    `most`: how many of those that were there before may be placed anew; more are `left`.
    """

    def __init__(self, web: Web, most: int | None = None) -> None:
        self._web = web
        self._most = most
        self.left: list[tuple[int, bytes]] = []
        """what may have to move yet, and where it stands"""
        self._nodes: dict[bytes, Node] = {}
        self._followers: dict[bytes, list[bytes]] = {}
        """by entries of this batch"""
        self._kept: dict[bytes, Sequence[tuple[int, bytes]]] = {}
        """by entries that are kept, as far as they were asked for"""
        self._changed: dict[bytes, Node] = {}

    def insert(self, batch: Iterable[Node]) -> list[Node]:
        """Give every node of `batch` its place.

        `batch` names new entries only, a chain's in order. Answers the nodes whose `high` or `eff`
        is new, those of the batch among them.
        """
        new = list(batch)
        ids = {node.id for node in new}
        causes = {cause for node in new for cause in node.causes} - ids
        self._nodes.update(self._web.nodes(sorted(causes)))
        # Asked for at once: one by one they would cost more than all else.
        self._kept.update(dict.fromkeys(ids, ()))
        self._kept.update(self._web.followers(sorted(ids)))
        for node in new:
            self._nodes[node.id] = node
            self._changed[node.id] = node
            for cause in node.causes:
                self._followers.setdefault(cause, []).append(node.id)
        queue: list[bytes] = []
        for node in new:
            for cause in node.causes:
                earlier = self._nodes.get(cause)
                if earlier is not None:
                    if self._lower(earlier, node.time):
                        queue.append(cause)
                    if node.time < earlier.time and cause == node.prev:
                        queue += self._lower_beginning(earlier, node.time)
        # Only wrong clocks are contradicted: right ones let what they see pull them.
        known = (self._nodes.get(id_) for id_ in (*causes, *ids))
        doubts = [node for node in known if node is not None and node.contradicted]
        # Those that others named before they came (a cause may arrive last).
        named = [node.id for node in new if self._kept[node.id]]
        queue += self._bound([*named, *(one.id for one in doubts), *(one.prev for one in doubts)])
        # Most are in their place at once, since what they follow is.
        moved: list[tuple[int, bytes]] = []
        for node in new:
            self._place(node)
            moved += self._behind(node.id, node.eff)
            if not ids.isdisjoint(node.causes):
                queue.append(node.id)
            ids.discard(node.id)
        self._settle([*moved, *((node.eff, node.id) for node in self._fetch(queue))])
        return list(self._changed.values())

    def settle(self, left: Sequence[bytes]) -> list[Node]:
        """Go on with what an earlier batch has left. Answers the nodes whose `eff` is new."""
        self._settle((node.eff, node.id) for node in self._fetch(left))
        return list(self._changed.values())

    def removed(self, causes: Iterable[bytes], followers: Iterable[bytes]) -> list[Node]:
        """Entries were taken out: put what they followed, and what followed them, in its place.

        Answers the nodes whose `high` or `eff` is new.
        """
        earlier = self._fetch(list(causes))
        # Where they agreed nobody may now, and so it is with what stands before.
        begun = [node.id for end in earlier for node in self._beginning(end)]
        before = [*(node.id for node in earlier), *(node.prev for node in earlier)]
        moved = self._bound(dict.fromkeys([*before, *begun]))
        later = self._fetch(list(followers))
        first = [*self._fetch(moved), *earlier, *later]
        self._settle((node.eff, node.id) for node in first)
        return list(self._changed.values())

    def _bound(self, ids: Iterable[bytes]) -> list[bytes]:
        """Compute `high` of these from all that follows them, and of what stands before them as
        far as that depends on it; answers those for which it is new."""
        queue, moved = deque(ids), []
        while queue:
            for node in self._fetch([queue.popleft()]):
                high = self._high(node)
                if high == node.high:
                    continue
                doubted = node.contradicted
                node.high = high
                self._changed[node.id] = node
                moved.append(node.id)
                if doubted or node.contradicted:
                    queue.append(node.prev)
        return moved

    def _high(self, node: Node) -> int | None:
        ids = {*self._web.witnesses(node.id, _WITNESSES_MAX), *self._followers.get(node.id, ())}
        followers = self._fetch(sorted(ids))
        others = [one.time for one in followers if one.prev != node.id][:_WITNESSES_MAX]
        earlier = [time for time in others if time < node.time]
        bounds = [*earlier] if 2 * len(earlier) > len(others) else []
        for one in followers:
            if one.prev == node.id:
                bounds.append(one.time)
                doubted = one.contradicted and not one.names_others and len(earlier) == len(others)
                if doubted and one.high is not None and self._in_run(node):
                    bounds.append(one.high)
                bounds += self._times_after(node)
        return min((bound for bound in bounds if bound < node.time), default=None)

    def _beginning(self, node: Node) -> list[Node]:
        """The node and what stands before it, if that is of its chain's beginning, else nothing."""
        found: list[Node] = []
        while not node.names_others and len(found) < _RUN_MAX:
            found.append(node)
            if not node.prev:
                return found
            before = self._fetch([node.prev])
            if not before:
                break
            node = before[0]
        return []

    def _times_after(self, node: Node) -> list[int]:
        """Where it is of its chain's beginning: the times of what follows it there."""
        begun = len(self._beginning(node))
        times: list[int] = []
        while 0 < begun <= _RUN_MAX:
            ids = {*self._web.witnesses(node.id, 0), *self._followers.get(node.id, ())}
            after = [one for one in self._fetch(sorted(ids)) if one.prev == node.id]
            if not after:
                break
            node = after[0]
            times.append(node.time)
            begun = 0 if node.names_others else begun + 1
        return times

    def _lower_beginning(self, node: Node, time: int) -> list[bytes]:
        """What follows this one says `time`; answers what stands before it and is moved by that."""
        return [one.id for one in self._beginning(node) if self._lower(one, time)]

    def _in_run(self, node: Node) -> bool:
        for _ in range(_RUN_MAX):
            if node.names_others:
                return True
            before = self._fetch([node.prev])
            if not before:
                return False
            node = before[0]
        return False

    def _settle(self, first: Iterable[tuple[int, bytes]]) -> None:
        """Recompute these, and what they move. Causes make no circle, so this ends.

        By the places that they had: all that moves and that one follows stands before it there.
        """
        waiting = {id_: eff for eff, id_ in first}
        heap = [(eff, id_) for id_, eff in waiting.items()]
        heapify(heap)
        while heap:
            if self._most is not None:
                if self._most <= 0:
                    self.left = heap
                    return
                self._most -= 1
            _, id_ = heappop(heap)
            del waiting[id_]
            node = self._fetch([id_])[0]
            before = node.eff
            if not self._place(node):
                continue
            self._changed[id_] = node
            for eff, follower in self._behind(id_, max(before + 1, node.eff)):
                if follower not in waiting:
                    waiting[follower] = eff
                    heappush(heap, (eff, follower))

    def _place(self, node: Node) -> bool:
        """Compute eff; whether it moved."""
        # Spelt out: this runs for every entry that comes.
        eff = node.time
        if node.high is not None and node.high < eff:
            eff = node.high
        for cause in self._fetch(node.causes):
            if cause.eff >= eff:
                eff = cause.eff + 1
        moved = eff != node.eff
        node.eff = eff
        return moved

    def _lower(self, node: Node, time: int) -> bool:
        if time >= (node.time if node.high is None else node.high):
            return False
        node.high = time
        self._changed[node.id] = node
        return True

    def _behind(self, id_: bytes, upto: int) -> list[tuple[int, bytes]]:
        """What follows it and stands no later than `upto`: further on it has no say."""
        kept = self._kept.get(id_)
        if kept is None:
            kept = self._kept[id_] = self._web.followers([id_]).get(id_, ())
        found: list[tuple[int, bytes]] = []
        for eff, follower in kept:
            node = self._nodes.get(follower)
            place = eff if node is None else node.eff
            if place <= upto:
                found.append((place, follower))
        for follower in self._followers.get(id_, ()):
            place = self._nodes[follower].eff
            if place <= upto:
                found.append((place, follower))
        return found

    def _fetch(self, ids: Sequence[bytes]) -> list[Node]:
        nodes = self._nodes
        found = [nodes[id_] for id_ in ids if id_ in nodes]
        if len(found) < len(ids):
            nodes.update(self._web.nodes([id_ for id_ in ids if id_ not in nodes]))
            found = [nodes[id_] for id_ in ids if id_ in nodes]
        return found
