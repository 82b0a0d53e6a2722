from datetime import datetime

import pytest

from p2pchat.cli.when import since
from p2pchat.errors import BadInput

NOW = datetime(2026, 3, 5, 14, 30).astimezone().timestamp()


def test_spans_count_back_from_now() -> None:
    assert since("30m", NOW) == NOW - 1_800
    assert since(" 2H ", NOW) == NOW - 7_200
    assert since("3d", NOW) == NOW - 3 * 86_400


def test_days_begin_at_local_midnight() -> None:
    assert since("today", NOW) == datetime(2026, 3, 5).astimezone().timestamp()
    assert since("yesterday", NOW) == datetime(2026, 3, 4).astimezone().timestamp()
    assert since("2026-01-31", NOW) == datetime(2026, 1, 31).astimezone().timestamp()
    assert since("2026-01-31T18:00:00Z", NOW) == 1_769_882_400


@pytest.mark.parametrize("text", ["", "soon", "2y", "2026-13-01", "-3h", "9999999h"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        since(text, NOW)
    assert caught.value.code == "time-malformed"
    assert {"1w", "today"} <= set(caught.value.hint.replace(",", "").split())
