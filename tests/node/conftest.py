"""Two people and their desks; and what opening a profile narrows, put back."""

import os
import resource
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from p2pchat.core.identity import Identity
from tests.node.desk import Desk, open_desk


@pytest.fixture(autouse=True)
def _process_settings() -> Iterator[None]:
    """Opening a profile narrows the process's umask and core limit."""
    umask = os.umask(0o022)
    os.umask(umask)
    core = resource.getrlimit(resource.RLIMIT_CORE)
    yield
    os.umask(umask)
    resource.setrlimit(resource.RLIMIT_CORE, core)


@pytest.fixture
def ann() -> Identity:
    return Identity.create("Ann", os.urandom)


@pytest.fixture
def bob() -> Identity:
    return Identity.create("Bob", os.urandom)


@pytest.fixture
async def desk(tmp_path: Path, ann: Identity, bob: Identity) -> AsyncIterator[Desk]:
    """Ann's, with Bob."""
    async with open_desk(tmp_path / "ann", ann, bob) as opened:
        yield opened


@pytest.fixture
async def desks(
    desk: Desk, tmp_path: Path, ann: Identity, bob: Identity
) -> AsyncIterator[tuple[Desk, Desk]]:
    """Ann's, and Bob's."""
    async with open_desk(tmp_path / "bob", bob, ann) as far:
        yield desk, far
