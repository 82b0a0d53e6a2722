"""Three machines: a signalling server, and two that know nothing of each other but one paste."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.homes import NO_CARRIER, Home
from tests.harness.lab import Lab, needs_lab
from tests.harness.signal import SIGNAL


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[tuple[Home, Home]]:
    """Ann, whose settings name the server, and Bob, whose do not."""
    with Lab() as lab:
        server = lab.host("signal")
        process = server.run([*SIGNAL, "--host", server.address, "--port", "8080"])
        assert process.stdout is not None
        assert process.stdout.readline() == f"listening on http://{server.address}:8080\n"
        named = f"mailbox.url=http://{server.address}:8080"
        ann = Home(
            "Ann", tmp_path / "ann", (*NO_CARRIER, named), tuple(lab.host("ann").command(()))
        )
        bob = Home("Bob", tmp_path / "bob", NO_CARRIER, tuple(lab.host("bob").command(())))
        try:
            ann.up()
            bob.up()
            yield ann, bob
        finally:
            ann.end()
            bob.end()


@needs_lab
def test_one_paste_connects_two_hosts_by_a_server_on_a_third(trio: tuple[Home, Home]) -> None:
    ann, bob = trio
    blob = ann.run("invite", "--no-wait").found("invite")[0]["blob"]
    assert bob.run("join", blob, "--no-chat", "--timeout", "20").found("joined")
    assert ann.run("peers").found("peer")[0]["via"] == "mailbox"
    assert ann.run("send", "Bob", "hi", "--wait").found("delivered")
    bob.kill()
    bob.up()
    ann.run("send", "Bob", "still there?", "--wait", "--timeout", "15")
    assert bob.texts("Ann") == ["hi", "still there?"]
