import pytest

from p2pchat.core.facts import Progress


@pytest.mark.parametrize(
    ("behind", "ahead", "compared", "level"),
    [(0, 0, True, True), (0, 0, False, False), (1, 0, True, False), (0, 1, True, False)],
)
def test_two_are_level_once_they_have_compared_and_lack_nothing(
    behind: int, ahead: int, compared: bool, level: bool
) -> None:
    assert Progress(b"room", behind, ahead, compared).level is level
