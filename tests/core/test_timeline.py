from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.core.timeline import Node, Timeline, ahead_ms, clock_off_ms


class Memory:
    """Nodes kept in a dict."""

    def __init__(self) -> None:
        self.kept: dict[bytes, Node] = {}

    def nodes(self, ids: object) -> dict[bytes, Node]:
        return {
            id_: Node(node.id, node.time, node.causes, node.high, node.eff, node.prev)
            for id_ in ids  # type: ignore[attr-defined]
            if (node := self.kept.get(id_)) is not None
        }

    def followers(self, ids: Sequence[bytes]) -> dict[bytes, list[tuple[int, bytes]]]:
        return {
            id_: [(node.eff, node.id) for node in self.kept.values() if id_ in node.causes]
            for id_ in ids
        }

    def witnesses(self, id_: bytes, count: int) -> list[bytes]:
        found = [node for node in self.kept.values() if id_ in node.causes]
        others = sorted(node.id for node in found if node.prev != id_)
        return [*(node.id for node in found if node.prev == id_), *others[:count]]

    def insert(self, batch: list[Node], most: int | None = None) -> list[bytes]:
        """Answers what is left."""
        fresh = [Node(node.id, node.time, node.causes, prev=node.prev) for node in batch]
        timeline = Timeline(self, most)
        for node in timeline.insert(fresh):
            self.kept[node.id] = node
        return [id_ for _, id_ in timeline.left]

    def settle(self, left: list[bytes], most: int) -> list[bytes]:
        timeline = Timeline(self, most)
        for node in timeline.settle(left):
            self.kept[node.id] = node
        return [id_ for _, id_ in timeline.left]

    def remove(self, id_: bytes) -> None:
        """One that ends its chain."""
        gone = self.kept.pop(id_)
        followers = [follower for _, follower in self.followers([id_])[id_]]
        for node in Timeline(self).removed(gone.causes, followers):
            self.kept[node.id] = node


def by_definition(nodes: list[Node]) -> dict[bytes, int]:
    """eff of each, straight from the rule."""
    known = {node.id: node for node in nodes}
    eff: dict[bytes, int] = {}

    def followers(id_: bytes) -> list[Node]:
        return [node for node in nodes if id_ in node.causes]

    def in_run(node: Node) -> bool:
        return set(node.causes) - {node.prev} != set() or (
            node.prev in known and in_run(known[node.prev])
        )

    def begun(node: Node) -> int:
        """How many of the chain's beginning it ends, 0 if it is not of that."""
        if set(node.causes) - {node.prev}:
            return 0
        if node.prev not in known:
            return 1
        before = begun(known[node.prev])
        return before + 1 if 0 < before < 64 else 0

    def times_after(node: Node) -> list[int]:
        found: list[int] = []
        while begun(node):
            ahead = [one for one in nodes if one.prev == node.id]
            if not ahead:
                break
            (node,) = ahead
            found.append(node.time)
        return found

    def bound(node: Node) -> float:
        after = followers(node.id)
        named = sorted((one for one in after if one.prev != node.id), key=lambda one: one.id)
        others = [one.time for one in named[:16]]
        earlier = [time for time in others if time < node.time]
        bounds: list[float] = []
        if len(earlier) > len(others) - len(earlier):
            bounds += earlier
        bounds += times_after(node)
        for one in after:
            if one.prev == node.id:
                bounds.append(one.time)
                alone = set(one.causes) == {one.prev}
                if bound(one) < one.time and earlier == others and alone and in_run(node):
                    bounds.append(bound(one))
        return min(bounds, default=float("inf"))

    def place(id_: bytes) -> int:
        if id_ not in eff:
            node = known[id_]
            low = 1 + max((place(cause) for cause in node.causes if cause in known), default=-1)
            eff[id_] = max(low, int(min(node.time, bound(node))))
        return eff[id_]

    for id_ in known:
        place(id_)
    return eff


def _id(number: int) -> bytes:
    return bytes([number + 1]) * 32


@st.composite
def webs(draw: st.DrawFn) -> list[Node]:
    count = draw(st.integers(1, 14))
    nodes: list[Node] = []
    heads: dict[int, bytes] = {}
    for number in range(count):
        chain = draw(st.integers(0, 3))
        prev = heads.get(chain, b"")
        earlier = st.lists(st.integers(0, number - 1), max_size=3, unique=True)
        after = [_id(one) for one in (draw(earlier) if number else []) if _id(one) != prev]
        causes = (prev, *after) if prev else tuple(after)
        nodes.append(Node(_id(number), draw(st.integers(0, 50)), causes, prev=prev))
        heads[chain] = _id(number)
    return nodes


def _upto(end: Node, nodes: list[Node]) -> list[Node]:
    """A chain, from its beginning to its end."""
    before = [node for node in nodes if node.id == end.prev]
    return [*(_upto(before[0], nodes) if before else []), end]


def _arriving(nodes: list[Node], random: object) -> list[Node]:
    """Chains come in any order, and each in its own."""
    ends = [node.prev for node in nodes]
    chains = [_upto(node, nodes) for node in nodes if node.id not in ends]
    picks = [number for number, chain in enumerate(chains) for _ in chain]
    random.shuffle(picks)  # type: ignore[attr-defined]
    return [chains[number].pop(0) for number in picks]


@settings(max_examples=200)
@given(webs(), st.randoms(use_true_random=False), st.integers(1, 5))
def test_order_depends_on_the_set_alone(nodes: list[Node], random: object, size: int) -> None:
    shuffled = _arriving(nodes, random)
    memory = Memory()
    for start in range(0, len(shuffled), size):
        memory.insert(shuffled[start : start + size])
    assert {id_: node.eff for id_, node in memory.kept.items()} == by_definition(nodes)


@settings(max_examples=200)
@given(webs(), st.randoms(use_true_random=False), st.integers(1, 5), st.integers(0, 3))
def test_whatever_is_left_at_first_the_order_comes_to_the_same(
    nodes: list[Node], random: object, size: int, most: int
) -> None:
    memory, left = Memory(), list[bytes]()
    shuffled = _arriving(nodes, random)
    for start in range(0, len(shuffled), size):
        left += memory.insert(shuffled[start : start + size], most)
        if random.random() < 0.5:  # type: ignore[attr-defined]
            left = memory.settle(left[:2], 1) + left[2:]
    while left:
        left = memory.settle(left[:2], 1) + left[2:]
    assert {id_: node.eff for id_, node in memory.kept.items()} == by_definition(nodes)


def test_what_hangs_on_an_entry_that_comes_late_moves_once() -> None:
    late = Node(b"late", 1_000_000, ())
    agree = [Node(b"agrees%d" % one, 1_000_001, (b"late",)) for one in range(3)]
    first = Node(b"first", 0, (b"late",))
    ladder, prev = list[Node](), b""
    for number in range(300):
        # Behind the first one and behind all before it: ways there are of any length.
        id_ = bytes([number % 7, number // 256, number % 256])
        causes = (prev, first.id) if prev else (first.id,)
        ladder.append(Node(id_, 0, causes, prev=prev))
        prev = id_
    memory = Memory()
    memory.insert([*agree, first, *ladder])
    assert memory.insert([late], most=1 + len(agree) + 1 + len(ladder)) == []
    assert [memory.kept[node.id].eff for node in (first, *ladder)] == [
        1_000_001 + place for place in range(301)
    ]


@settings(max_examples=200)
@given(webs(), st.randoms(use_true_random=False))
def test_what_is_taken_out_leaves_no_trace(nodes: list[Node], random: object) -> None:
    memory = Memory()
    memory.insert(nodes)
    left = list(nodes)
    while left:
        ends = [node for node in left if node.id not in {other.prev for other in left}]
        gone = random.choice(ends)  # type: ignore[attr-defined]
        left.remove(gone)
        memory.remove(gone.id)
        assert {id_: node.eff for id_, node in memory.kept.items()} == by_definition(left)


def _chain(number: int, *times: int, after: tuple[bytes, ...] = ()) -> list[Node]:
    """Entries of one author, the first of them behind `after`."""
    nodes: list[Node] = []
    for place, time in enumerate(times):
        prev = nodes[-1].id if nodes else b""
        nodes.append(Node(bytes([number, place]), time, (prev,) if prev else after, prev=prev))
    return nodes


def test_all_that_a_clock_ahead_wrote_is_pulled_back_by_a_reply() -> None:
    memory = Memory()
    (asked,) = _chain(0, 400)
    far = _chain(1, 9_000, 9_010, 9_020, 9_030, after=(asked.id,))
    reply = _chain(2, 500, 510, after=(far[-1].id,))
    memory.insert([asked, *far, *reply])
    assert [memory.kept[node.id].eff for node in far] == [500, 501, 502, 503]
    assert [memory.kept[node.id].eff for node in reply] == [504, 510]


def test_all_that_a_clock_ahead_wrote_is_pulled_back_by_its_authors_next_correct_entry() -> None:
    memory = Memory()
    (asked,) = _chain(0, 400)
    far = _chain(1, 9_000, 9_010, 9_020, 500, after=(asked.id,))
    memory.insert([asked, *far])
    assert [memory.kept[node.id].eff for node in far] == [500, 501, 502, 503]


def test_a_clock_ahead_that_begins_a_room_is_pulled_back_once_it_is_right() -> None:
    memory = Memory()
    begun = _chain(1, 9_000, 9_001, 9_030, 500)
    memory.insert(begun[:3])
    memory.insert(begun[3:])
    memory.insert(_chain(2, 510, 520, after=(begun[3].id,)))
    assert [memory.kept[node.id].eff for node in begun] == [500, 501, 502, 503]
    assert memory.kept[bytes([2, 0])].eff == 510
    # And so it is where others have answered before.
    memory = Memory()
    begun = _chain(1, 9_000, 9_001, 9_030)
    answer = _chain(2, 500, after=(begun[2].id,))
    memory.insert([*begun, *answer])
    assert memory.kept[answer[0].id].eff > 9_000, "it cannot be told from two"
    last = Node(bytes([1, 3]), 510, (begun[2].id, answer[0].id), prev=begun[2].id)
    memory.insert([last])
    order = [*begun, *answer, last]
    assert [memory.kept[node.id].eff for node in order] == [510, 511, 512, 513, 514]


@pytest.mark.parametrize("size", [1, 64, 999])
def test_the_beginning_of_a_chain_has_an_end(size: int) -> None:
    nodes = _chain(1, *range(9_000, 9_100), 500)
    memory = Memory()
    for start in range(0, len(nodes), size):
        memory.insert(nodes[start : start + size])
    assert {id_: node.eff for id_, node in memory.kept.items()} == by_definition(nodes)
    nodes = _chain(1, *range(9_000, 9_063), 500, 400, 300)
    memory = Memory()
    for start in range(0, len(nodes), size):
        memory.insert(nodes[start : start + size])
    assert memory.kept[nodes[0].id].eff == 400
    assert {id_: node.eff for id_, node in memory.kept.items()} == by_definition(nodes)


def test_a_clock_behind_moves_what_it_names_no_further_than_to_what_that_had_seen() -> None:
    memory = Memory()
    said = _chain(1, 100, 200, 300)
    behind = _chain(2, 0, 10, after=(said[2].id,))
    memory.insert([*said, *behind])
    assert [memory.kept[node.id].eff for node in (*said, *behind)] == [100, 200, 201, 202, 203]


def test_a_clock_behind_moves_nothing_that_somebody_else_has_followed() -> None:
    memory = Memory()
    said = _chain(1, 100, 200, 300)
    heard = _chain(2, 350, after=(said[2].id,))
    behind = _chain(3, 0, after=(said[2].id,))
    memory.insert([*said, *heard, *behind])
    assert [memory.kept[node.id].eff for node in (*said, *heard)] == [100, 200, 300, 350]
    assert memory.kept[behind[0].id].eff == 301


def test_two_clocks_ahead_are_pulled_back_by_two_that_are_right() -> None:
    memory = Memory()
    far = _chain(1, 9_000)
    also = _chain(2, 9_001, after=(far[0].id,))
    memory.insert([*far, *also, *_chain(3, 500, after=(far[0].id, also[0].id))])
    assert memory.kept[far[0].id].eff == 9_000
    memory.insert(_chain(4, 510, after=(far[0].id, also[0].id)))
    assert [memory.kept[node.id].eff for node in (*far, *also)] == [500, 501]


def test_a_clock_ahead_is_pulled_back_by_a_reply() -> None:
    memory = Memory()
    far, reply = bytes(32), bytes([1]) * 32
    memory.insert([Node(far, 10_000_000, ())])
    assert memory.kept[far].eff == 10_000_000
    memory.insert([Node(reply, 500, (far,))])
    assert memory.kept[far].eff == 500
    assert memory.kept[reply].eff == 501


def test_what_comes_in_its_turn_touches_nothing_before_it() -> None:
    memory = Memory()
    first, second = Node(bytes(32), 1_000, ()), Node(bytes([1]) * 32, 1_001, (bytes(32),))
    memory.insert([first])
    assert [node.id for node in Timeline(memory).insert([second])] == [second.id]
    memory.insert([Node(bytes([2]) * 32, 999, (bytes(32),))])
    assert memory.kept[first.id].high == 999, "and what comes with an earlier time does"


def test_a_clock_behind_cannot_go_before_what_it_had_seen() -> None:
    memory = Memory()
    memory.insert([Node(bytes(32), 1_000, ()), Node(bytes([1]) * 32, 5, (bytes(32),))])
    assert memory.kept[bytes([1]) * 32].eff > memory.kept[bytes(32)].eff


@settings(max_examples=50)
@given(st.lists(st.integers(0, 100), min_size=20, max_size=60), st.integers(1, 7))
def test_of_many_witnesses_the_same_are_heard_whatever_came_first(
    times: list[int], size: int
) -> None:
    first = Node(_id(0), 50, ())
    many = [Node(bytes([1, number, time]), time, (first.id,)) for number, time in enumerate(times)]
    for order in (many, many[::-1]):
        memory = Memory()
        memory.insert([first])
        for start in range(0, len(order), size):
            memory.insert(order[start : start + size])
        assert {id_: node.eff for id_, node in memory.kept.items()} == by_definition([first, *many])


def test_wrong_clocks_are_marked() -> None:
    assert clock_off_ms(130_000 << 16, 0, 130_000) == 130_000
    assert clock_off_ms(0, 130_000 << 16, 130_000) == -130_000
    # A right one, which somebody's wrong one has pulled, and an answer has put in its place.
    assert clock_off_ms(119_000 << 16, 0, 59_000) is None


def test_what_is_ahead_of_us_is_so_by_more_than_a_right_clock_can_be() -> None:
    assert ahead_ms(120_000 << 16, 0) is None
    assert ahead_ms(120_001 << 16, 0) == 120_001
    assert ahead_ms(0, 120_001) is None


def test_what_nobody_has_followed_yet_is_marked_where_it_is_ahead_of_us() -> None:
    hour = 3_600_000
    assert clock_off_ms(hour << 16, hour << 16, 0) == hour
    # As far ahead as others may have pulled it.
    assert clock_off_ms(120_000 << 16, 120_000 << 16, 0) is None
    # Behind us is what was written before.
    assert clock_off_ms(0, 0, hour) is None
