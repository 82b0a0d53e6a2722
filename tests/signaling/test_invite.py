from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from signaling import blob
from signaling.blob import Kind
from signaling.envelope import ENVELOPE_MAX
from signaling.errors import SignalingError
from signaling.invite import EXPIRY_TOLERANCE_S, TEXT_MAX, Invite, Reply
from signaling.sdp import Candidate
from tests.signaling.descriptions import HOST, HOST6, PUBLIC, description, descriptions, outcome

NOW = 1_800_000_000
INVITE = Invite(bytes(32), bytes(range(16)), NOW + 3_600, b"app")
APP_MAX = 34  # what p2pchat puts there at most


def code_of(text: str, now: float = NOW) -> str:
    with pytest.raises(SignalingError) as caught:
        Invite.parse(text, now)
    return caught.value.code


invites = st.builds(
    Invite,
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=16, max_size=16),
    st.integers(NOW, 2**32 - 1),
    st.binary(max_size=APP_MAX),
    st.none() | descriptions.filter(lambda one: len(one.ufrag) + len(one.password) <= 40),
)


@given(invites)
def test_an_invite_is_read_as_its_blob_carries_it(invite: Invite) -> None:
    text = invite.text()
    assert len(text) <= TEXT_MAX
    assert Invite.parse(text, NOW) == invite.carried()
    assert replace(invite.carried(), description=None) == replace(invite, description=None)


@given(st.sampled_from(Kind), st.binary(max_size=400))
def test_an_arbitrary_payload_is_an_invite_or_an_error(kind: Kind, payload: bytes) -> None:
    found = outcome(lambda: Invite.parse(blob.encode(kind, payload), NOW))
    codes = ("blob-damaged", "blob-newer", "blob-kind", "invite-expired")
    assert isinstance(found, Invite) or found in codes


@given(st.sampled_from(Kind), st.binary(max_size=1_200))
def test_an_arbitrary_payload_is_a_reply_or_an_error(kind: Kind, payload: bytes) -> None:
    found = outcome(lambda: Reply.parse(blob.encode(kind, payload)))
    assert isinstance(found, Reply) or found in ("blob-damaged", "blob-kind")


@pytest.mark.parametrize("candidates", [(HOST, PUBLIC), (HOST6, PUBLIC)])
def test_two_candidates_fit_beside_the_longest_name(candidates: tuple[Candidate, ...]) -> None:
    invite = replace(INVITE, app=bytes(APP_MAX), description=description(*candidates))
    assert len(invite.text()) <= TEXT_MAX
    assert Invite.parse(invite.text(), NOW) == invite


def test_candidates_that_do_not_fit_stay_behind() -> None:
    many = tuple(replace(HOST6, port=port) for port in range(1, 17))
    carried = replace(INVITE, description=description(*many)).carried().description
    assert carried is not None
    assert 0 < len(carried.candidates) < 16
    assert set(carried.candidates) < set(many)


def test_an_invite_of_which_a_byte_is_missing_is_damaged() -> None:
    _, payload = blob.decode(INVITE.text())
    for length in range(len(payload)):
        assert code_of(blob.encode(Kind.INVITE, payload[:length])) == "blob-damaged"


def test_an_expired_invite_is_refused_with_tolerance_for_clocks() -> None:
    text = INVITE.text()
    assert Invite.parse(text, INVITE.expires + EXPIRY_TOLERANCE_S) == INVITE
    assert code_of(text, INVITE.expires + EXPIRY_TOLERANCE_S + 1) == "invite-expired"


def test_an_invite_of_another_suite_is_newer() -> None:
    _, payload = blob.decode(INVITE.text())
    assert code_of(blob.encode(Kind.INVITE, b"\x02" + payload[1:])) == "blob-newer"


def test_a_reply_is_no_invite_and_an_invite_no_reply() -> None:
    assert code_of(Reply(bytes(8), bytes(60)).text()) == "blob-kind"
    with pytest.raises(SignalingError) as caught:
        Reply.parse(INVITE.text())
    assert caught.value.code == "blob-kind"


def test_the_longest_reply_survives_its_blob() -> None:
    reply = Reply(b"\xff" * 8, b"\xff" * ENVELOPE_MAX)
    wrapped = "\n> ".join(reply.text()[at : at + 70] for at in range(0, 2_000, 70))
    assert Reply.parse(wrapped) == reply


def test_keys_are_derived_as_written_down() -> None:
    def hkdf(info: bytes) -> bytes:
        return HKDF(algorithm=SHA256(), length=32, salt=b"", info=info).derive(INVITE.secret)

    assert INVITE.id == hkdf(b"p2pchat/1/invite/id")[:8]
    assert INVITE.slot_secret == hkdf(b"p2pchat/1/rendezvous")
    assert INVITE.psk == hkdf(b"p2pchat/1/invite/psk")


def test_the_secret_shows_in_no_log() -> None:
    invite = replace(INVITE, secret=b"0123456789abcdef")
    assert "0123456789abcdef" not in repr(invite)


@pytest.mark.parametrize(
    "wrong",
    [
        {"inviter": bytes(31)},
        {"secret": bytes(17)},
        {"app": bytes(256)},
        {"expires": -1},
        {"expires": 2**32},
    ],
)
def test_an_invite_that_no_blob_can_carry_is_not_made(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"inviter|expires"):
        replace(INVITE, **wrong)  # type: ignore[arg-type]


def test_a_description_without_room_is_said_so() -> None:
    with pytest.raises(ValueError, match="no room"):
        replace(INVITE, app=bytes(255), description=description(HOST)).text()
