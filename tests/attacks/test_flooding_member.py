"""What a member tries by sheer number: acts, chains, forks, keys. Others must go on undisturbed."""

import hashlib
from collections.abc import Iterator

import pytest

from p2pchat.core.acts import ADMIN, ROLE, SETTING, Role, Seen, Setting
from p2pchat.core.chain import Accepted, Chains, Verdict
from p2pchat.core.entry import Entry
from p2pchat.core.group import Group
from p2pchat.core.membership import Membership
from tests.harness.writer import Writer, founder

guarded = pytest.mark.parametrize("guard", [False, True], ids=["check taken out", "as it is"])


@guarded
def test_crowding_out_what_entitles_an_admin(
    monkeypatch: pytest.MonkeyPatch, *, guard: bool
) -> None:
    """More chains with acts than an act can name, so that no admin can show that it is one."""
    if not guard:
        monkeypatch.setattr(Membership, "seen", _first_chains)
    monkeypatch.setattr("p2pchat.core.membership.ACT_SEEN_MAX", 8)
    ann, bob, mallory = founder("Ann", "Bob", "Mallory")
    ann.act(ROLE, Role(ann.group.membership.seen(ann.identity.person), bob.identity.person, ADMIN))
    bob.take_all(ann)
    mallory.take_all(ann)
    for entry in _low_chains(mallory, below=ann.chain, count=8):
        assert isinstance(bob.take(entry), Accepted)
    bob.remove(mallory, mallory.say("hi"))
    assert (mallory.identity.person in bob.group.members) is not guard


def _first_chains(self: Membership, author: bytes) -> tuple[Seen, ...]:
    del author
    newest = [acts[max(acts)][0] for _, acts in sorted(self._chains.items())]
    return tuple(Seen(one.chain, one.seq, one.id[:8]) for one in newest[:8])


def _low_chains(mallory: Writer, below: bytes, count: int) -> Iterator[list[Entry]]:
    """Runs of new chains of mallory's, each with an act, whose ids come first."""
    number = 0
    while count:
        number += 1
        mallory.incarnation = hashlib.sha256(number.to_bytes(8, "big")).digest()[:8]
        if mallory.chain < below:
            count -= 1
            mallory.written = []
            mallory.act(SETTING, Setting((), "topic", str(number)))
            yield [mallory.written[0]]
            yield [mallory.written[1]]


@guarded
def test_filling_the_room_with_logs(monkeypatch: pytest.MonkeyPatch, *, guard: bool) -> None:
    """As many chains as a room has, so that newcomers cannot write, and links with them end."""
    monkeypatch.setattr("p2pchat.core.chain.CHAINS_MAX", 8)
    monkeypatch.setattr("p2pchat.core.group.CHAINS_EACH_MAX", 4 if guard else 8)
    monkeypatch.setattr(Group, "_full", Group._full if guard else Chains._full)
    ann, bob, mallory = founder("Ann", "Bob", "Mallory")
    for number in range(8):
        mallory.incarnation = bytes([number]) * 8
        mallory.written = []
        mallory.begin()
        taken = ann.take(mallory.written)
        assert isinstance(taken, Accepted) or taken is Verdict.STRANGER or not guard
    bob.begin()
    assert isinstance(ann.take(bob.written), Accepted) is guard
