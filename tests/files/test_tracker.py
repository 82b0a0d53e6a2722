"""Whose offer goes to whom, and what is kept from libtorrent."""

import json
from collections.abc import Sequence

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.files.tracker import Signal, Swarms, Tracker

_HASH = b"\xff" * 20
_ANN, _BEN, _CAT = b"A" * 20, b"B" * 20, b"C" * 20
_SDP = "v=0\r\na=candidate:1 1 UDP 1 10.0.0.1 5000 typ host\r\n"


def _announce(ids: Sequence[bytes], **fields: object) -> dict[str, object]:
    offers = [{"offer_id": id_.decode("latin-1"), "offer": {"sdp": _SDP}} for id_ in ids]
    info_hash = _HASH.decode("latin-1")
    return {"action": "announce", "info_hash": info_hash, "offers": offers, **fields}


def _ids(*numbers: int) -> list[bytes]:
    return [bytes((number,)) * 20 for number in numbers]


def _drain(swarms: Swarms) -> list[tuple[bytes, bytes]]:
    found = [(signal.peer, signal.offer_id) for signal in swarms.signals]
    swarms.signals.clear()
    return found


def test_each_peer_gets_an_offer_of_its_own_and_the_rest_waits() -> None:
    swarms = Swarms()
    assert swarms.add(_HASH, _ANN, 0)
    assert swarms.add(_HASH, _BEN, 0)
    assert swarms.announced(_announce(_ids(1, 2, 3)), 1) == _HASH
    assert _drain(swarms) == [(_ANN, _ids(1)[0]), (_BEN, _ids(2)[0])]
    assert not swarms.add(_HASH, _CAT, 2)
    assert _drain(swarms) == [(_CAT, _ids(3)[0])]
    assert not swarms.waiting(_HASH)


def test_an_old_offer_is_not_handed_out() -> None:
    swarms = Swarms()
    swarms.announced(_announce(_ids(1)), 0)
    assert swarms.add(_HASH, _ANN, 46)
    assert _drain(swarms) == []


def test_both_ends_telling_each_other_at_once_costs_one_offer() -> None:
    swarms = Swarms()
    swarms.announced(_announce(_ids(1, 2)), 0)
    assert not swarms.again(_HASH, _ANN, 0)
    assert not swarms.again(_HASH, _ANN, 1)
    assert len(_drain(swarms)) == 1
    assert not swarms.again(_HASH, _ANN, 4)
    assert _drain(swarms) == [(_ANN, _ids(2)[0])]


def test_an_unanswered_offer_is_made_again_and_an_answered_one_is_not() -> None:
    swarms = Swarms()
    swarms.add(_HASH, _ANN, 0)
    swarms.add(_HASH, _BEN, 0)
    swarms.announced(_announce(_ids(1, 2)), 0)
    swarms.signals.clear()
    swarms.deliver(Signal(_BEN, _HASH, "answer", _ids(2)[0], _SDP))
    swarms.announced(_announce(_ids(3, 4)), 21)
    assert _drain(swarms) == [(_ANN, _ids(3)[0])]


@pytest.mark.parametrize("event", ["started", "stopped"])
def test_a_torrent_begun_anew_is_offered_to_all_again(event: str) -> None:
    swarms = Swarms()
    swarms.add(_HASH, _ANN, 0)
    swarms.announced(_announce(_ids(1, 2)), 0)
    swarms.deliver(Signal(_ANN, _HASH, "answer", _ids(1)[0], _SDP))
    swarms.signals.clear()
    # Offer 2 died with the connections.
    swarms.announced(_announce(_ids(3), event=event), 1)
    assert _drain(swarms) == [(_ANN, _ids(3)[0])]


def test_an_answer_counts_once_and_only_from_whom_was_offered_to() -> None:
    swarms = Swarms()
    swarms.add(_HASH, _ANN, 0)
    swarms.announced(_announce(_ids(1)), 0)
    answer = Signal(_ANN, _HASH, "answer", _ids(1)[0], _SDP)
    swarms.deliver(Signal(_BEN, _HASH, "answer", _ids(1)[0], _SDP))
    assert not swarms.messages
    swarms.deliver(answer)
    swarms.deliver(answer)
    assert len(swarms.messages) == 1
    _, message = swarms.messages.pop()
    assert message["answer"] == {"type": "answer", "sdp": _SDP}
    assert message["info_hash"] == _HASH.decode("latin-1")


def test_one_peer_cannot_make_libtorrent_answer_without_end() -> None:
    swarms = Swarms()
    swarms.announced(_announce([], numwant=1_000), 0)

    def flood() -> int:
        for number in range(200):
            swarms.deliver(Signal(_ANN, _HASH, "offer", bytes((number,)) * 20, _SDP))
        count = len(swarms.messages)
        swarms.messages.clear()
        return count

    assert flood() == 32
    swarms.drop(_ANN)
    assert flood() == 0
    swarms.deliver(Signal(_BEN, _HASH, "offer", _ids(1)[0], _SDP))
    assert len(swarms.messages) == 1
    swarms.renew(61)
    swarms.messages.clear()
    assert flood() == 32


def test_offers_wait_until_libtorrent_has_asked_for_them() -> None:
    swarms = Swarms()
    swarms.announced(_announce([], numwant=2), 0)
    ids = _ids(*range(20))
    for id_ in ids:
        swarms.deliver(Signal(_ANN, _HASH, "offer", id_, _SDP))
    assert len(swarms.messages) == 2
    assert set(swarms.starved) == {_HASH}
    swarms.announced(_announce([], numwant=4), 1)
    told = [message["offer_id"] for _, message in swarms.messages]
    # Sixteen are held, the newest ones.
    assert told == [id_.decode("latin-1") for id_ in (*ids[:2], *ids[4:8])]
    swarms.forget(_HASH)
    swarms.announced(_announce([], numwant=4), 2)
    assert len(swarms.messages) == len(told)


@pytest.mark.parametrize("length", [0, 19, 21])
def test_ids_of_another_length_go_neither_in_nor_out(length: int) -> None:
    swarms = Swarms()
    swarms.add(_HASH, _ANN, 0)
    swarms.announced(_announce([b"x" * length]), 0)
    swarms.deliver(Signal(_ANN, _HASH, "offer", b"x" * length, _SDP))
    assert not swarms.signals
    assert not swarms.messages


def test_a_kind_that_is_neither_is_left_out() -> None:
    swarms = Swarms()
    swarms.deliver(Signal(_ANN, _HASH, "info_hash", _ids(1)[0], _SDP))
    assert not swarms.messages


def test_a_description_has_few_candidates_of_udp_and_is_short() -> None:
    swarms = Swarms()
    swarms.announced(_announce([], numwant=4), 0)
    many = "v=0\r\n" + "a=candidate:1 1 UDP 1 10.0.0.1 5 typ host\r\n" * 100
    tcp = "v=0\r\na=candidate:1 1 TCP 1 10.0.0.1 5 typ host\r\na=candidate:x\r\n"
    for number, sdp in enumerate((many, tcp, "x" * 8_193)):
        swarms.deliver(Signal(_ANN, _HASH, "offer", bytes((number,)) * 20, sdp))
    sdps = [message["offer"]["sdp"] for _, message in swarms.messages]  # type: ignore[index]
    assert [sdp.count("a=candidate") for sdp in sdps] == [16, 0]


def test_addresses_that_were_not_chosen_are_not_told() -> None:
    swarms = Swarms({"192.168.1.5"})
    swarms.add(_HASH, _ANN, 0)
    sdp = _SDP + "a=candidate:1 1 UDP 1 192.168.1.5 5 typ host\r\n"
    offer = {"offer_id": "o" * 20, "offer": {"sdp": sdp}}
    swarms.announced({**_announce([]), "offers": [offer]}, 0)
    assert "192.168.1.5" in swarms.signals[0].sdp
    assert "10.0.0.1" not in swarms.signals[0].sdp


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=25),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


@given(
    st.fixed_dictionaries(
        {"action": st.just("announce"), "info_hash": st.just("h" * 20)},
        optional=dict.fromkeys(("offers", "answer", "offer_id", "to_peer_id", "event"), _JSON),
    )
)
def test_any_json_is_taken_or_left(message: dict[str, object]) -> None:
    swarms = Swarms()
    swarms.add(b"h" * 20, _ANN, 0)
    swarms.announced(message, 0)
    assert all(len(signal.offer_id) == 20 for signal in swarms.signals)


async def test_offers_and_answers_pass_through_the_websocket() -> None:
    signals: list[Signal] = []
    starved: list[bytes] = []
    async with (
        Tracker.open(signals.append, starved.append, "secret", lambda: 0.0) as tracker,
        aiohttp.ClientSession() as client,
        client.ws_connect(tracker.url) as socket,
    ):
        tracker.swarms.add(_HASH, _ANN, 0)
        await socket.send_str("no json [" + "[" * 5_000)
        await socket.send_str(json.dumps(_announce([])))
        reply = await socket.receive_json(timeout=5)
        # Somebody waits for an offer, so libtorrent is asked back soon.
        assert reply["interval"] == 5
        await socket.send_str(json.dumps(_announce(_ids(1))))
        reply = await socket.receive_json(timeout=5)
        assert (reply["info_hash"], reply["interval"]) == (_HASH.decode("latin-1"), 60)
        await tracker.deliver(Signal(_ANN, _HASH, "answer", _ids(1)[0], _SDP))
        assert (await socket.receive_json(timeout=5))["answer"]["sdp"] == _SDP
        assert [signal.kind for signal in signals] == ["offer"]
        assert not starved
        await tracker.deliver(Signal(_ANN, _HASH, "offer", _ids(2)[0], _SDP))
        assert starved == [_HASH]


async def test_without_its_token_nobody_gets_in() -> None:
    async with (
        Tracker.open(lambda _: None, lambda _: None, "secret", lambda: 0.0) as tracker,
        aiohttp.ClientSession() as client,
    ):
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            await client.ws_connect(tracker.url.replace("secret", "guess"))
        assert raised.value.status == 403


async def test_a_signal_for_a_libtorrent_that_is_gone_is_dropped() -> None:
    async with Tracker.open(lambda _: None, lambda _: None, "secret", lambda: 0.0) as tracker:
        async with aiohttp.ClientSession() as client:
            await (await client.ws_connect(tracker.url)).close()
        await tracker.deliver(Signal(_ANN, _HASH, "offer", _ids(1)[0], _SDP))
    assert not tracker.swarms.messages
