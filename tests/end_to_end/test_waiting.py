"""A join whose inviter is offline goes on in the background node, even after kill -9."""

import time

import pytest

from tests.harness.homes import Home


@pytest.mark.timeout(180)
def test_a_join_goes_on_in_the_background(ann: Home, bob: Home) -> None:
    ann.up()
    blob = ann.run("invite", "--no-wait").found("invite")[0]["blob"]
    ann.run("down")
    bob.up()
    outcome = bob.run("join", blob, "--no-chat", "--timeout", "1", code=5)
    assert outcome.found("error")[0]["code"] == "join-waiting"
    assert outcome.found("attempt")[0]["via"] == "lan"
    number = outcome.found("waiting")[0]["number"]
    bob.kill()
    assert bob.run("peers").found("waiting")[0]["number"] == number
    bob.up()
    assert "joining Ann" in bob.run("status", json=False).out
    ann.up()
    deadline = time.monotonic() + 60
    while not bob.run("peers").found("peer"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert bob.run("rooms").found("waiting") == []


def test_a_join_that_waits_can_be_given_up(ann: Home, bob: Home) -> None:
    ann.up()
    blob = ann.run("invite", "--no-wait").found("invite")[0]["blob"]
    ann.run("down")
    bob.up()
    number = str(bob.run("join", blob, "--timeout", "1", code=5).found("waiting")[0]["number"])
    bob.run("cancel", number)
    assert bob.run("status").found("waiting") == []
    again = bob.run("cancel", number, code=3)
    assert again.found("error")[0]["code"] == "join-unknown"
