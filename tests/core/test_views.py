"""What an act has seen: what it names as it is, what that leads to, and its author's own past."""

from p2pchat.core.acts import Act, Seen, Setting
from p2pchat.core.identity import digest
from p2pchat.core.views import Placed, Views, bits


def placed(chain: str, seq: int, *named: Placed, salt: str = "") -> Placed:
    rows = tuple(Seen(one.chain, one.seq, one.id[:8]) for one in named)
    act: Act = Setting(rows, "topic", salt)
    name = digest("chain", chain.encode())[:16]
    id_ = digest("test", name, seq.to_bytes(8, "big"), repr(act).encode())
    return Placed(id_, name, seq, chain.encode(), act)


def seen(views: Views, one: Placed) -> set[bytes]:
    return {views.acts[at].id for at in bits(views.views[views.numbers[one.id]])}


def past(views: Views, one: Placed) -> set[bytes]:
    return {views.acts[at].id for at in bits(views.pasts[views.numbers[one.id]])}


def test_who_names_an_act_has_seen_those_that_its_chain_leads_to() -> None:
    first = placed("a", 0)
    second = placed("a", 1, first)
    other = placed("b", 0, second)
    views = Views([other, second, first])
    assert seen(views, other) == {first.id, second.id}


def test_nobody_un_sees_what_it_has_seen() -> None:
    first = placed("a", 0)
    named = placed("b", 0, first)
    blind = placed("b", 1)
    assert seen(Views([blind, named, first]), blind) == {first.id, named.id}


def test_what_is_named_tells_of_what_it_names_and_is_not_seen_for_that() -> None:
    first = placed("a", 0)
    second = placed("b", 0, first)
    third = placed("c", 0, second)
    views = Views([first, second, third])
    assert seen(views, third) == {second.id}
    assert past(views, third) == {first.id, second.id}


def test_what_is_not_here_as_it_is_named_is_not_seen() -> None:
    twin = placed("a", 0, salt="one"), placed("a", 0, salt="other")
    other = placed("b", 0, twin[0])
    assert seen(Views([twin[1], other]), other) == set()
    assert seen(Views([*twin, other]), other) == {twin[0].id}


def test_what_stands_below_an_act_is_not_seen_by_who_names_that_unless_it_leads_there() -> None:
    low = placed("a", 0)
    high = placed("a", 5)
    other = placed("b", 0, high)
    views = Views([low, high, other])
    assert seen(views, high) == {low.id}
    assert seen(views, other) == past(views, other) == {high.id}


def test_of_a_circle_that_a_fork_has_made_the_honest_half_comes_first() -> None:
    topic = placed("a", 5)
    other = placed("b", 0, topic)
    later = placed("c", 0, other)
    fork = placed("a", 3, later)
    views = Views([topic, other, later, fork])
    assert [one.id for one in views.acts] == [topic.id, other.id, later.id, fork.id]
    assert seen(views, topic) == set()
    assert past(views, later) == {topic.id, other.id}


def test_an_act_is_added_where_nobody_can_have_seen_it() -> None:
    first = placed("a", 1)
    second = placed("a", 2, first)
    views = Views([first])
    other = placed("b", 0, second)
    assert views.append(other)
    assert not views.append(second)  # it is named
    assert not views.append(placed("a", 0))  # below another
    assert not views.append(placed("a", 1, salt="x"))  # beside another
    assert views.append(placed("a", 2, salt="x"))


def test_an_order_tells_no_lie_and_is_the_same_for_all() -> None:
    acts = [placed("a", 0)]
    for number in range(20):
        acts.append(placed("abc"[number % 3], number + 1, *acts[-3:]))
    keys = {one.id: Views(acts).keys[at] for at, one in enumerate(Views(acts).acts)}
    back = Views(reversed(acts))
    assert keys == {one.id: back.keys[at] for at, one in enumerate(back.acts)}
    for at in range(len(acts)):
        assert all(back.keys[other] < back.keys[at] for other in bits(back.views[at]))


def test_all_that_is_to_be_named_are_those_that_no_chain_leads_to() -> None:
    first = placed("a", 0)
    second = placed("a", 1, first)
    loose = placed("a", 2)
    views = Views([first, second, loose])
    ((_, tips),) = views.tips()
    assert [views.acts[at].id for at in tips] == [loose.id, second.id]


def test_the_newest_are_those_that_no_other_has_seen() -> None:
    first, other = placed("a", 0), placed("b", 0)
    second = placed("a", 1, first)
    views = Views([first, second, other])
    mask = (1 << 3) - 1
    newest = {views.acts[at].id for at in views.newest(mask)}
    assert newest == {second.id, other.id}
    assert views.acts[views.last(mask)].id == second.id
