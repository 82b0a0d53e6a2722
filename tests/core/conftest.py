"""Two people, the same in every run."""

import pytest

from p2pchat.core.identity import Identity
from tests.harness.pair import Journal, random_from


@pytest.fixture
def ann() -> Identity:
    return Identity.create("Ann", random_from(11))


@pytest.fixture
def bob() -> Identity:
    return Identity.create("Bob", random_from(12))


@pytest.fixture
def journals(ann: Identity, bob: Identity) -> tuple[Journal, Journal]:
    members = (ann.person, bob.person)
    return Journal(ann, members, 1), Journal(bob, members, 2)
