"""Which worker of pytest-xdist runs which tests, and when.

Tests that start whole processes mostly wait, and take long: they go first and one by one, so that
no worker is left alone with them at the end. The others go by file, since they share fixtures.
"""

from collections.abc import Iterable
from typing import cast

import pytest
from xdist.scheduler import LoadScopeScheduling

__all__ = ["Schedule", "slow_first"]

_SLOW = ("tests/lab/", "tests/end_to_end/")
_SHARES = "tests/lab/test_matrix.py"
"""The networks of all its tests are built once."""
_SEEN = tuple(f"tests/{where}/test_nearby.py" for where in ("cli", "end_to_end", "node"))
"""Who is visible in one of these is so in all, since they share loopback: one after the other."""


class Schedule(LoadScopeScheduling):
    """In the order of collection."""

    def schedule(self) -> None:
        self.config.option.loadscopereorder = False
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file in _SEEN:
            return "seen"
        return nodeid if file.startswith(_SLOW) and file != _SHARES else file


def slow_first(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Those that ask for much time first, then what waits, then the rest."""

    def key(item: pytest.Item) -> tuple[bool, float]:
        mark = item.get_closest_marker("timeout")
        return not item.nodeid.startswith(_SLOW), -cast(float, mark.args[0]) if mark else 0.0

    return sorted(items, key=key)
