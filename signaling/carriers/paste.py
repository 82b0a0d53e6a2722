"""The carrier that needs nothing at all: a reply blob, pasted back by people."""

import hashlib
from collections.abc import Callable

from signaling import sdp
from signaling.envelope import SlotKeys, open_answer, seal_answer
from signaling.errors import SignalingError
from signaling.invite import Invite, Reply
from signaling.sdp import Description

__all__ = ["make_reply", "open_reply"]


def _binding(offer: Description) -> bytes:
    return hashlib.sha256(b"p2pchat/1/paste" + sdp.pack(offer)).digest()


def make_reply(
    invite: Invite, answer: Description, *, now: float, random: Callable[[int], bytes]
) -> Reply:
    """The guest's reply to an invite as it was parsed, which carries a description."""
    assert invite.description is not None
    keys = SlotKeys.derive(invite.slot_secret)
    envelope = seal_answer(keys, answer, _binding(invite.description), now, random)
    return Reply(invite.id, envelope)


def open_reply(invite: Invite, reply: Reply) -> Description:
    """The answer in a reply to the inviter's own invite.

    Raises SignalingError `blob-damaged` if it does not belong to it.
    """
    offer = invite.carried().description
    answer = None
    if offer is not None:
        keys = SlotKeys.derive(invite.slot_secret)
        answer = open_answer(keys, reply.envelope, _binding(offer))
    if answer is None:
        raise SignalingError(
            "blob-damaged",
            "this reply does not belong to this invite",
            "ask your friend to run p2pchat join with the newest invite",
        )
    return answer
