from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.core.timeline import Node, Timeline, is_marked


class Memory:
    """Nodes kept in a dict."""

    def __init__(self) -> None:
        self.kept: dict[bytes, Node] = {}

    def nodes(self, ids: object) -> dict[bytes, Node]:
        return {
            id_: Node(node.id, node.time, node.causes, node.high, node.eff)
            for id_ in ids  # type: ignore[attr-defined]
            if (node := self.kept.get(id_)) is not None
        }

    def followers(self, ids: Sequence[bytes]) -> dict[bytes, list[bytes]]:
        return {id_: [node.id for node in self.kept.values() if id_ in node.causes] for id_ in ids}

    def insert(self, batch: list[Node]) -> None:
        fresh = [Node(node.id, node.time, node.causes) for node in batch]
        for node in Timeline(self).insert(fresh):
            self.kept[node.id] = node


def by_definition(nodes: list[Node]) -> dict[bytes, int]:
    """eff of each, straight from the rule."""
    known = {node.id: node for node in nodes}
    eff: dict[bytes, int] = {}

    def place(id_: bytes) -> int:
        if id_ not in eff:
            node = known[id_]
            low = 1 + max((place(cause) for cause in node.causes if cause in known), default=-1)
            high = min((other.time for other in nodes if id_ in other.causes), default=node.time)
            eff[id_] = max(low, min(node.time, high))
        return eff[id_]

    for id_ in known:
        place(id_)
    return eff


@st.composite
def webs(draw: st.DrawFn) -> list[Node]:
    count = draw(st.integers(1, 12))
    nodes = []
    for number in range(count):
        earlier = st.lists(st.integers(0, number - 1), max_size=3, unique=True)
        causes = draw(earlier) if number else []
        time = draw(st.integers(0, 50))
        nodes.append(Node(bytes([number]) * 32, time, tuple(bytes([c]) * 32 for c in causes)))
    return nodes


@settings(max_examples=200)
@given(webs(), st.randoms(use_true_random=False), st.integers(1, 5))
def test_order_depends_on_the_set_alone(nodes: list[Node], random: object, size: int) -> None:
    shuffled = list(nodes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    memory = Memory()
    for start in range(0, len(shuffled), size):
        memory.insert(shuffled[start : start + size])
    assert {id_: node.eff for id_, node in memory.kept.items()} == by_definition(nodes)


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


def test_wrong_clocks_are_marked() -> None:
    assert is_marked(100_000 << 16, 0)
    assert not is_marked(59_000 << 16, 0)
