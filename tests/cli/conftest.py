"""One person's home, driven by the installed command."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.homes import Home


@pytest.fixture
def ann(tmp_path: Path) -> Iterator[Home]:
    home = Home("Ann", tmp_path / "ann")
    yield home
    home.end()


@pytest.fixture
def written(ann: Home) -> Home:
    """A room with messages that are more than a pipe holds."""
    ann.run("room", "create", "R")
    for letter in "xyz":
        ann.run("send", "R", "-", stdin=60_000 * letter)
    return ann
