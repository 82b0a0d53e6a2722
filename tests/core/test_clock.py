from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.bounds import CLOCK_PULL_MS
from p2pchat.core.clock import HybridClock, in_bounds, milliseconds, seconds, stamp

NOW = 1_800_000_000.0


@given(st.lists(st.floats(0, 5e9)))
def test_a_clock_rises_while_the_wall_does(walls: list[float]) -> None:
    clock, last = HybridClock(), 0
    for wall in sorted(walls):
        value = clock.next(wall)
        assert value > last
        last = value


@given(st.floats(0, 60), st.integers(1, 9))
def test_a_clock_rises_while_the_wall_is_set_back_by_less_than_a_minute(
    back: float, count: int
) -> None:
    clock = HybridClock()
    last = clock.next(NOW)
    for _ in range(count):
        value = clock.next(NOW - back)
        assert value > last
        last = value


@given(st.lists(st.tuples(st.floats(0, 5e9), st.integers(0, 1 << 64))))
def test_a_clock_is_never_more_than_a_minute_ahead_whatever_was(
    past: list[tuple[float, int]],
) -> None:
    clock = HybridClock()
    for wall, remote in past:
        clock.witness(remote, wall)
        assert milliseconds(clock.next(wall)) <= milliseconds(stamp(wall)) + CLOCK_PULL_MS


@given(st.integers(0, 1 << 64))
def test_a_remote_clock_pulls_ours_at_most_a_minute_ahead(remote: int) -> None:
    clock = HybridClock()
    clock.witness(remote, NOW)
    assert milliseconds(clock.next(NOW)) <= int(NOW * 1000) + CLOCK_PULL_MS


def test_what_was_seen_comes_before_what_is_written_next() -> None:
    clock = HybridClock()
    remote = stamp(NOW + 30)
    clock.witness(remote, NOW)
    assert clock.next(NOW) > remote


def test_bounds_are_the_years_2020_and_2200() -> None:
    assert in_bounds(stamp(0))
    assert in_bounds(stamp(1e12))
    assert not in_bounds(0)
    assert not in_bounds((1 << 64) - 1)
    assert seconds(stamp(NOW)) == NOW
