"""What has to stand in our chain before an entry of ours: who writes, and under which key.

Plans only; the caller writes each entry through `own`, which moves the chain's head.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from p2pchat import errors
from p2pchat.core.chain import Chains
from p2pchat.core.entry import DEVICE, EPOCH, GRANT, Entry, GrantBody
from p2pchat.core.group import Group
from p2pchat.core.identity import Certificate, Identity, Random
from p2pchat.core.sealing import seal_epoch, seal_recipients

__all__ = ["Own", "direct", "introduce", "keys"]

_TOGETHER = 250
"""Recipients in one entry: 200 bytes each, and a body has 64 KiB."""


class Own(Protocol):
    """Writes our next entry of a room."""

    def __call__(
        self,
        kind: int,
        body: msgspec.Struct,
        epoch: bytes = b"",
        after: tuple[bytes, ...] | None = None,
    ) -> Entry: ...


def direct(
    chains: Chains,
    own: Own,
    identity: Identity,
    peers: Sequence[Certificate],
    random: Random,
    *,
    began: bool,
) -> Iterator[Entry]:
    """For a room of two: one key for good. `peers`: the other member, for that key."""
    known = chains.certificates.get(identity.device)
    if not began or known != identity.certificate:
        yield own(DEVICE, identity.certificate)
        chains.certify(identity.certificate)
    if chains.writing_epoch() is None:
        key = random(32)
        epoch, body = seal_epoch(chains.room, key, [identity.certificate, *peers], [])
        yield own(EPOCH, body, epoch)
        chains.epochs[epoch] = key


def introduce(group: Group, own: Own, identity: Identity, *, began: bool) -> Iterator[Entry]:
    """For a room of many, before anything: our device, under the admission that let us in.

    Raises errors.Refused `not-a-member`.
    """
    if identity.person not in group.members:
        raise errors.Refused(
            "not-a-member",
            "you are not a member of this room",
            "ask a member for an invite: p2pchat invite ROOM",
        )
    if not began:
        under = group.membership.members[identity.person].admission
        entry = own(DEVICE, identity.certificate, after=(under,))
        group.certify(identity.certificate)
        group.begun(entry)
        yield entry
    elif group.certificates.get(identity.device) != identity.certificate:
        yield own(DEVICE, identity.certificate)
        group.certify(identity.certificate)


def keys(
    group: Group, own: Own, identity: Identity, random: Random, now_ms: int
) -> Iterator[Entry]:
    """For a room of many, before what is sealed: a key that all members have, and they alone."""
    membership, me = group.membership, identity.person
    epoch = group.writing_epoch()
    lacking = group.without_key(epoch) if epoch is not None else []
    from_now_on = membership.setting("history") == "new"
    if (
        epoch is None
        or (lacking and from_now_on)
        or (membership.is_admin(me) and group.is_old(epoch, now_ms))
        or (lacking and len(group.tips()) > 1)
    ):
        # A newcomer who shall not read what was before gets no way there either.
        newcomers = bool(lacking) and from_now_on
        earlier = group.tips()
        linked = {} if newcomers else {tip: group.epochs[tip] for tip in earlier}
        key, all_of_them = random(32), group.certificates_of(group.members)
        epoch, body = seal_epoch(group.room, key, all_of_them[:_TOGETHER], earlier, linked)
        entry = own(EPOCH, body, epoch)
        group.epochs[epoch] = key
        group.learn_epoch(entry, me)
        yield entry
        lacking = all_of_them[_TOGETHER:]
    for start in range(0, len(lacking), _TOGETHER):
        part = lacking[start : start + _TOGETHER]
        recipients = seal_recipients(group.room, epoch, group.epochs[epoch], part)
        entry = own(GRANT, GrantBody(recipients), epoch)
        group.learn_epoch(entry, me)
        yield entry
