"""A join that fails says where it is stuck."""

import pytest

from p2pchat.node.trail import Trail
from signaling.carriers import Answer, Offer, Reach, Registration
from signaling.envelope import SlotKeys


class Way:
    """A carrier that sees so many others."""

    def __init__(self, name: str, others: int, place: str = "") -> None:
        self.name = name
        self._reach = Reach(others, place)

    def reach(self) -> Reach:
        return self._reach

    def serve(self, slot: SlotKeys, answer: Answer) -> Registration:
        raise NotImplementedError

    def seek(self, slot: SlotKeys, offer: Offer) -> Registration:
        raise NotImplementedError


MAILBOX = "wss://mail.example:8443/mailbox"


def test_each_way_says_how_far_it_came() -> None:
    trail = Trail("Ann", [Way("lan", 3), Way("mailbox", 0, MAILBOX), Way("dht", 0)])
    trail.pasting()
    assert [(one.via, one.stage) for one in trail.attempts()] == [
        ("lan", "nobody"), ("mailbox", "away"), ("dht", "away"), ("paste", "nobody"),
    ]  # fmt: skip
    error = trail.error(20)
    assert error.code == "unreachable"
    for words in (
        "3 others",
        "mail.example:8443 does not answer",
        "no node",
        "pasted back",
        "20 s",
    ):
        assert words in error.message
    assert "is your friend's p2pchat running" in error.hint


def test_a_network_with_nobody_is_no_fault_and_a_carrier_that_works_is_told_as_such() -> None:
    trail = Trail("Ann", [Way("lan", 0), Way("mailbox", 1, MAILBOX), Way("dht", 4)])
    assert {one.stage for one in trail.attempts()} == {"nobody"}
    assert "nobody else is seen" in trail.summary()
    assert "nobody waits in the DHT" in trail.summary()
    assert Trail("Ann", []).summary() == "there is no way to try"


@pytest.mark.parametrize(
    ("stage", "words", "hint"),
    [
        ("found", "was found in the DHT, and did not answer", "try again"),
        ("answered", "answered in the DHT, and the link is not up", "try again"),
        ("no-path", "no path to the peer was found", "net.stun"),
        ("refused", "refused (bad-proof)", "ask your friend"),
    ],
)
def test_the_farthest_stage_decides_the_hint(stage: str, words: str, hint: str) -> None:
    trail = Trail("Ann", [Way("lan", 0), Way("dht", 4)])
    trail.found("dht")
    if stage != "found":
        trail.answered("dht")
    if stage == "no-path":
        trail.no_path("dht", "no path to the peer was found")
    if stage == "refused":
        trail.refused("dht", "bad-proof")
    # A new attempt takes nothing back.
    trail.found("dht")
    (attempt,) = (one for one in trail.attempts() if one.via == "dht")
    assert attempt.stage == stage
    assert words in trail.summary()
    assert hint in trail.hint()


def test_a_paste_that_comes_to_nothing_is_one_that_was_not_pasted() -> None:
    trail = Trail("Ann", [])
    trail.pasting()
    trail.answered("paste")
    trail.no_path("paste", "no path to the peer was found")
    assert "not pasted back" in trail.summary()
    trail.refused("paste", "bye")
    assert "refused (bye)" in trail.summary()
