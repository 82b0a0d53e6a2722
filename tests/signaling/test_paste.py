import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.carriers import paste
from signaling.envelope import SlotKeys, seal_answer
from signaling.errors import SignalingError
from signaling.invite import Invite, Reply
from tests.signaling.descriptions import HOST, HOST6, PUBLIC, description

NOW = 1_800_000_000
ANSWER = description(PUBLIC, role="active")
MANY = tuple(replace(HOST6, port=port) for port in range(1, 17))
INVITE = Invite(bytes(32), bytes(range(16)), NOW + 60, b"", description(HOST, *MANY))


def guest_reply(invite: Invite = INVITE) -> Reply:
    seen = Invite.parse(invite.text(), NOW)
    return paste.make_reply(seen, ANSWER, now=NOW, random=os.urandom)


def refused(invite: Invite, reply: Reply) -> bool:
    with pytest.raises(SignalingError) as caught:
        paste.open_reply(invite, reply)
    return caught.value.code == "blob-damaged"


def test_a_reply_brings_the_answer_back_though_candidates_were_left_out() -> None:
    reply = Reply.parse(guest_reply().text())
    assert reply.invite_id == INVITE.id
    assert paste.open_reply(INVITE, reply) == ANSWER


def test_a_reply_to_another_invite_is_refused() -> None:
    assert refused(replace(INVITE, secret=bytes(16)), guest_reply())


def test_a_reply_to_an_earlier_offer_of_the_same_invite_is_refused() -> None:
    assert refused(replace(INVITE, description=description(PUBLIC)), guest_reply())


def test_an_answer_of_the_same_slot_from_another_carrier_is_refused() -> None:
    keys = SlotKeys.derive(INVITE.slot_secret)
    other = seal_answer(keys, ANSWER, bytes(32), NOW, os.urandom)
    assert refused(INVITE, Reply(INVITE.id, other))


def test_a_reply_to_an_invite_that_offered_nothing_is_refused() -> None:
    assert refused(replace(INVITE, description=None), guest_reply())


@given(st.binary(max_size=1_200))
def test_arbitrary_envelopes_are_refused(data: bytes) -> None:
    assert refused(INVITE, Reply(INVITE.id, data))
