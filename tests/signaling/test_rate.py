import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.rate import Admission, Deadlines, Rate, source_of


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("x" * 100, "x" * 64),
    ],
)
def test_a_source_is_what_one_customer_has(address: str, source: str) -> None:
    assert source_of(address) == source


def test_going_over_is_made_up_for_by_waiting_and_then_refused() -> None:
    rate: Rate[str] = Rate(10, 1)
    assert [rate.take("a", 0) for _ in range(10)] == [0] * 10
    assert rate.take("a", 0) == 1
    assert rate.take("a", 0, 9) == 10
    assert rate.take("a", 0) is None
    assert rate.take("b", 0) == 0
    assert rate.take("a", 100) == 0


def test_a_clock_that_is_set_back_gives_nothing_and_takes_nothing() -> None:
    rate: Rate[str] = Rate(2, 1)
    rate.take("a", 1_000)
    assert rate.take("a", 0) == 0
    assert rate.take("a", 0) == 1


def test_the_source_unheard_of_for_longest_is_forgotten() -> None:
    rate: Rate[int] = Rate(1, 1, sources_max=3)
    for source in range(10):
        rate.take(source, 0)
    assert len(rate) == 3


def test_connections_are_bounded_in_all_and_of_one_source() -> None:
    admission = Admission(3, 2)
    assert admission.enter("a", 0) is None
    assert admission.enter("a", 0) is None
    assert admission.enter("a", 0) == 429
    assert admission.enter("b", 0) is None
    assert admission.enter("c", 0) == 503
    admission.leave("a")
    assert admission.enter("c", 0) is None
    assert admission.entered == 3


def test_one_source_cannot_come_and_go_without_end() -> None:
    admission = Admission(10, 10)
    came = 0
    for _ in range(1_000):
        if admission.enter("a", 0) is None:
            came += 1
            admission.leave("a")
    assert came == Admission.BURST


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 100) | st.none())), st.integers(0, 100))
def test_deadlines_agree_with_a_plain_dictionary(
    steps: list[tuple[int, int | None]], now: int
) -> None:
    deadlines: Deadlines[int] = Deadlines()
    model: dict[int, int] = {}
    for key, at in steps:
        if at is None:
            assert deadlines.drop(key) == (model.pop(key, None) is not None)
        else:
            deadlines.set(key, at)
            model[key] = at
    assert deadlines.next_timer() == min(model.values(), default=None)
    assert len(deadlines) == len(model)
    if model:
        assert model[deadlines.soonest()] == min(model.values())
    over = list(deadlines.over(now))
    assert sorted(over) == sorted(key for key, at in model.items() if at <= now)
    assert [model[key] for key in over] == sorted(model[key] for key in over)
    assert all((key in deadlines) == (at > now) for key, at in model.items())


def test_a_deadline_moved_many_times_takes_no_room() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for at in range(100_000):
        deadlines.set("a", at)
    assert len(deadlines._heap) < 2_000
    assert deadlines.at("a") == 99_999
