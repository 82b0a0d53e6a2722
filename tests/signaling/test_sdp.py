import asyncio

import aioice.ice
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from hypothesis import given
from hypothesis import strategies as st

from signaling import sdp
from signaling.errors import SignalingError
from signaling.sdp import CANDIDATES_MAX, Candidate
from tests.signaling.descriptions import HOST, HOST6, PUBLIC, description, descriptions, outcome


def sdp_with(*lines: str) -> str:
    return sdp.render(description(HOST), offer=True) + "".join(f"{line}\r\n" for line in lines)


@given(descriptions)
def test_packing_keeps_everything_but_the_order_of_candidates(given_one: sdp.Description) -> None:
    back = sdp.unpack(sdp.pack(given_one))
    assert set(back.candidates) == set(given_one.candidates)
    assert (back.role, back.ufrag, back.password, back.fingerprint) == (
        given_one.role,
        given_one.ufrag,
        given_one.password,
        given_one.fingerprint,
    )


@given(descriptions, st.integers(150, 400))
def test_packing_what_was_unpacked_changes_nothing(given_one: sdp.Description, limit: int) -> None:
    packed = sdp.pack(given_one, limit)
    assert len(packed) <= limit
    assert sdp.pack(sdp.unpack(packed)) == packed


@given(descriptions)
def test_rendering_and_parsing_keep_a_description(given_one: sdp.Description) -> None:
    assert sdp.parse(sdp.render(given_one, offer=False)) == given_one


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_a_description_or_damage(data: bytes) -> None:
    found = outcome(lambda: sdp.unpack(data))
    if isinstance(found, str):
        assert found == "blob-damaged"
    else:
        assert len(found.candidates) <= CANDIDATES_MAX
        assert sdp.parse(sdp.render(found, offer=False)).ufrag == found.ufrag


@given(descriptions, st.data())
def test_a_changed_byte_is_a_description_or_damage(
    given_one: sdp.Description, data: st.DataObject
) -> None:
    packed = bytearray(sdp.pack(given_one))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    found = outcome(lambda: sdp.unpack(bytes(packed)))
    assert isinstance(found, sdp.Description) or found == "blob-damaged"


@given(st.text(max_size=300) | st.lists(st.text(max_size=60)).map("\na=candidate:".join))
def test_arbitrary_text_is_no_session_description(text: str) -> None:
    with pytest.raises(ValueError, match=r"credential|fingerprint"):
        sdp.parse(text)


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=120))
def test_an_arbitrary_candidate_line_spoils_no_description(line: str) -> None:
    lines = sdp.parse(sdp_with(f"a=candidate:{line}")).candidates
    assert lines[0] == HOST


def test_credentials_cannot_smuggle_lines_into_an_agent() -> None:
    packed = sdp.pack(description(HOST)).replace(b"abcd", b"a\r\nb")
    with pytest.raises(SignalingError):
        sdp.unpack(packed)


@pytest.mark.parametrize(
    "line",
    [
        "a=candidate:1 1 tcp 1 192.168.1.9 9 typ host tcptype active",
        "a=candidate:1 2 udp 1 192.168.1.9 9 typ host",
        "a=candidate:1 1 udp 1 0f1e.local 9 typ host",
        "a=candidate:1 1 udp 1 fe80::1%eth0 9 typ host",
        "a=candidate:1 1 udp 1 fd00::1%eth0 9 typ host",
        "a=candidate:1 1 udp 1 ::ffff:10.0.0.1 9 typ host",
        "a=candidate:1 1 udp 1 224.0.0.251 9 typ host",
        "a=candidate:1 1 udp 1 255.255.255.255 9 typ host",
        "a=candidate:1 1 udp 1 0.0.0.0 9 typ host",
        "a=candidate:1 1 udp 1 192.168.1.9 0 typ host",
        "a=candidate:1 1 udp 1 192.168.1.9 65536 typ host",
        "a=candidate:1 1 udp 1 192.168.1.9 -1 typ host",
        "a=candidate:1 1 udp 1 192.168.1.9 ٣ typ host",
        "a=candidate:1 1 udp 1 192.168.1.9 9 typ magic",
    ],
)
def test_a_candidate_that_no_peer_can_use_is_left_out(line: str) -> None:
    assert sdp.parse(sdp_with(line)).candidates == (HOST,)


def test_candidates_beyond_the_bound_are_left_out() -> None:
    lines = [f"a=candidate:1 1 udp 1 10.0.0.{n} 9 typ host" for n in range(1, 200)]
    assert len(sdp.parse(sdp_with(*lines)).candidates) == CANDIDATES_MAX
    one_too_many = sdp.pack(description(HOST)) + bytes((0, 10, 0, 0, 1, 0, 9)) * CANDIDATES_MAX
    with pytest.raises(SignalingError):
        sdp.unpack(one_too_many)


def test_a_limit_drops_seconds_of_a_kind_before_the_only_one() -> None:
    hosts = [Candidate("host", f"10.0.0.{n}", 9) for n in range(1, 4)]
    whole = description(*hosts, PUBLIC)
    room_for_two = len(sdp.pack(description())) + 14
    assert sdp.unpack(sdp.pack(whole, room_for_two)).candidates == (hosts[0], PUBLIC)


def test_an_address_that_does_not_fit_leaves_room_for_a_shorter_one() -> None:
    room_for_one = len(sdp.pack(description())) + 7
    packed = sdp.pack(description(HOST6, HOST), room_for_one)
    assert sdp.unpack(packed).candidates == (HOST,)


def test_a_limit_below_the_credentials_is_said_so() -> None:
    with pytest.raises(ValueError, match="no room"):
        sdp.pack(description(HOST), 40)


def test_an_offer_lets_the_other_choose_its_role() -> None:
    active = description(HOST, role="active")
    assert "a=setup:actpass\r\n" in sdp.render(active, offer=True)
    assert "a=setup:active\r\n" in sdp.render(active, offer=False)


def test_candidates_never_end() -> None:
    assert "end-of-candidates" not in sdp.render(description(HOST, PUBLIC), offer=True)


def test_too_long_a_text_is_not_looked_at() -> None:
    with pytest.raises(ValueError, match="too long"):
        sdp.parse(sdp_with("a=" + "x" * 70_000))


async def test_two_agents_connect_by_what_travels(monkeypatch: pytest.MonkeyPatch) -> None:
    # aioice skips loopback, and nothing may leave this machine.
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda *_args, **_kwargs: ["127.0.0.1"])
    offering = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    answering = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        channel = offering.createDataChannel("live", negotiated=True, id=0)
        answering.createDataChannel("live", negotiated=True, id=0)
        opened = asyncio.Event()
        channel.on("open", opened.set)

        await offering.setLocalDescription(await offering.createOffer())
        offer = sdp.parse(offering.localDescription.sdp)
        assert (offer.role, len(offer.candidates)) == ("actpass", 1)
        travelled = sdp.render(sdp.unpack(sdp.pack(offer)), offer=True)
        await answering.setRemoteDescription(RTCSessionDescription(travelled, "offer"))
        await answering.setLocalDescription(await answering.createAnswer())

        answer = sdp.parse(answering.localDescription.sdp)
        assert answer.role == "active"
        travelled = sdp.render(sdp.unpack(sdp.pack(answer)), offer=False)
        await offering.setRemoteDescription(RTCSessionDescription(travelled, "answer"))
        async with asyncio.timeout(10):
            await opened.wait()
    finally:
        await offering.close()
        await answering.close()
