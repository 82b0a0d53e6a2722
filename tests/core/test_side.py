import pytest

from p2pchat.core.chain import Ask
from p2pchat.core.side import Side
from p2pchat.core.wire import Row, Want
from tests.harness.pair import journals

TAG = b"t" * 16


def _side() -> tuple[Side, bytes]:
    """The peer of one who has four entries of a chain."""
    ann, _ = journals(2, 0)
    return Side(ann.chains, TAG), ann.own


def test_the_difference_is_counted_chain_by_chain() -> None:
    side, own = _side()
    side.weigh_all()
    assert (side.progress().behind, side.progress().ahead) == (0, 4)
    side.peer[own] = 1
    side.weigh(own)
    assert (side.progress().behind, side.progress().ahead) == (0, 2)
    side.peer[own] = 10
    side.peer[b"another"] = 4
    side.weigh_all()
    assert (side.progress().behind, side.progress().ahead) == (7 + 5, 0)
    head = side.chains.heads[own]
    assert side.row(own) == Row(own, 3, head.id)


def test_what_was_taken_out_is_not_counted_as_lacking_at_a_peer_that_never_had_it() -> None:
    side, own = _side()
    side.weigh_all()
    del side.chains.heads[own]
    side.weigh_all()
    assert (side.progress().behind, side.progress().ahead) == (0, 0)


def test_of_what_the_peer_takes_no_more_it_lacks_nothing() -> None:
    side, own = _side()
    side.declined.add(own)
    side.weigh_all()
    assert side.progress().ahead == 0


def test_the_peer_is_asked_once_for_what_it_has_beyond_ours() -> None:
    side, own = _side()
    side.peer[own] = 9
    side.weigh(own)
    assert side.ask(own) == Want(TAG, own, 4, 9)
    assert side.ask(own) is None
    side.peer[own] = 12
    side.weigh(own)
    assert side.ask(own) == Want(TAG, own, 10, 12)


def test_one_link_at_a_time_is_asked_until_it_is_quiet_for_long() -> None:
    side, own = _side()
    other = Side(side.chains, b"o" * 16)
    for one in (side, other):
        one.peer[own] = 9
        one.weigh(own)
    assert side.ask(own) is not None
    assert other.ask(own) is None
    assert [other.look(own, now) for now in (0.0, 2.9)] == [None, None]
    assert other.look(own, 3.0) == Want(other.tag, own, 4, 9)
    # Whom it was taken from is asked again once nobody else is.
    assert side.look(own, 4.0) is None
    other.free(own)
    assert side.look(own, 5.0) == Want(TAG, own, 4, 9)


def test_a_trickle_of_what_was_asked_for_is_as_good_as_nothing() -> None:
    ann, _ = journals(40, 0)
    entries = ann.entries[ann.own]
    ask = Ask(30)
    assert [ask.quiet_s(now) for now in (1.0, 2.0)] == [0.0, 1.0]
    ask.came(entries[:9])
    assert ask.quiet_s(3.0) == 2.0, "a few of thirty"
    ask.last = 35
    ask.came(entries[9:31])
    assert ask.quiet_s(4.0) == 0.0, "all that was asked for by then"
    wide = [ann.say("x" * 20_000) for _ in range(2)]
    ask = Ask(1_000)
    ask.quiet_s(1.0)
    ask.came(wide[:1])
    assert ask.quiet_s(2.0) == 1.0
    ask.came(wide[1:])
    assert ask.quiet_s(3.0) == 0.0, "as much as comes by a slow path"


def test_what_has_come_leaves_room_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pchat.core.side._ASKS_MAX", 2)
    side, own = _side()
    chains = [b"one", b"two", b"three"]
    for chain in chains:
        side.peer[chain] = 0
        side.weigh(chain)
    assert [side.ask(chain) is not None for chain in chains] == [True, True, False]
    side.chains.heads[b"one"] = side.chains.heads[own]
    side.weigh(b"one")
    assert [want.chain for want in side.met(b"one")] == [b"three"]
