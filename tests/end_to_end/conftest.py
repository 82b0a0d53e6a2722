"""Two people with homes on this machine, on loopback."""

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
def bob(tmp_path: Path) -> Iterator[Home]:
    home = Home("Bob", tmp_path / "bob")
    yield home
    home.end()


@pytest.fixture
def cat(tmp_path: Path) -> Iterator[Home]:
    home = Home("Cat", tmp_path / "cat")
    yield home
    home.end()


@pytest.fixture
def friends(ann: Home, bob: Home) -> tuple[Home, Home]:
    """Ann and Bob, both up, connected by one pasted invite."""
    ann.up()
    bob.up()
    blob = ann.run("invite", "--no-wait").found("invite")[0]["blob"]
    bob.run("join", blob, "--no-chat")
    return ann, bob
