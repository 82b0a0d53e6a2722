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
