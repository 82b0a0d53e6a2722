"""What a member tries by sheer number: acts, chains, forks, keys. Others must go on undisturbed."""

import hashlib
from collections.abc import Iterator

import msgspec
import pytest
from nacl.signing import SigningKey

from p2pchat.core import bounds
from p2pchat.core.acts import ADMIN, ROLE, SETTING, Admit, Role, Seen, Setting
from p2pchat.core.chain import Accepted, Verdict
from p2pchat.core.entry import Entry
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
