from hypothesis import given
from hypothesis import strategies as st

from signaling.rendezvous import Rendezvous


def offering(now: float = 0.0) -> Rendezvous:
    way = Rendezvous()
    way.found(now)
    assert way.due(now)
    return way


def test_whoever_is_found_gets_an_offer_at_once() -> None:
    way = Rendezvous()
    assert way.next_timer() is None
    assert not way.due(5)
    way.found(5)
    assert way.next_timer() == 5
    assert way.due(5)


def test_one_offer_is_under_way_at_a_time() -> None:
    way = offering()
    way.found(0)
    way.retry(0)
    assert not way.due(100)
    assert way.next_timer() is None


def test_failures_wait_from_two_seconds_to_a_minute() -> None:
    way, now, waits = offering(), 0.0, []
    for _ in range(8):
        way.failed(now, 0.5)
        at = way.next_timer()
        assert at is not None
        assert not way.due(at - 0.01)
        assert way.due(at)
        waits.append(at - now)
        now = at
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]


def test_an_answered_offer_rests_and_is_made_again_if_it_led_to_nothing() -> None:
    way = offering(10)
    way.answered(10)
    assert not way.due(54.9)
    assert way.due(55)


def test_retry_does_not_wait_for_the_rest_or_the_backoff() -> None:
    way = offering()
    way.answered(0)
    way.retry(1)
    assert way.due(1)
    way.failed(1, 0)
    way.retry(1.1)
    assert way.due(1.1)


def test_a_retry_in_the_middle_of_an_offer_shortens_the_wait_after_it() -> None:
    way, now = offering(), 0.0
    for _ in range(6):
        way.failed(now, 0.5)
        now = way.next_timer() or 0
        assert way.due(now)
    way.retry(now)
    way.failed(now, 0.5)
    assert way.next_timer() == now + 2


def test_a_retry_while_no_offer_is_wanted_is_not_forgotten() -> None:
    way = offering()
    way.retry(1)
    way.unwanted(2)
    assert way.due(2)
    way.unwanted(3)
    assert not way.due(47.9)
    assert way.due(48)


def test_where_an_attempt_costs_little_the_first_wait_is_short() -> None:
    way = Rendezvous(0.25)
    way.found(0)
    assert way.due(0)
    way.failed(0, 0.5)
    assert way.next_timer() == 0.25
    way.retry(0)
    assert way.due(0)
    way.failed(0, 0.5)
    assert way.next_timer() == 0.25


def test_backoff_starts_again_after_an_answer() -> None:
    way = offering()
    way.failed(0, 0.5)
    assert way.due(2)
    way.failed(2, 0.5)
    assert way.due(6)
    way.answered(6)
    assert way.due(51)
    way.failed(51, 0.5)
    assert way.next_timer() == 53


steps = st.sampled_from(("found", "due", "answered", "unwanted", "failed", "retry"))


@given(st.lists(st.tuples(steps, st.floats(0, 100), st.floats(0, 0.99))))
def test_nothing_is_ever_forgotten_or_hurried(plan: list[tuple[str, float, float]]) -> None:
    way, now = Rendezvous(), 0.0
    for step, passed, jitter in plan:
        now += passed
        match step:
            case "due":
                at = way.next_timer()
                assert way.due(now) == (at is not None and at <= now)
            case "failed":
                was = way.state
                way.failed(now, jitter)
                if was == "offering":
                    assert way.next_timer() is not None
                    assert not way.due(now + 1.4)
            case _:
                getattr(way, step)(now)
        # Unless an offer is under way, or nobody was ever found, there is a time to look again.
        assert (way.next_timer() is None) == (way.state in ("idle", "offering"))
