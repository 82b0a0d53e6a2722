"""Discovery of its own for each test: others on this machine may be announcing too."""

import os

import pytest

from signaling.carriers import discovery


@pytest.fixture(autouse=True)
def _service_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "SERVICE", f"_p2p{os.urandom(4).hex()}._tcp.local.")
