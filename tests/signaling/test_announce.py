import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling import announce
from signaling.announce import Announce, Answer, Offer, Scrape, parse, read

HASH, PEER = b"\xffh" * 10, b"\x80p" * 10
SDP = "v=0\r\na=candidate:1 1 UDP 1 10.0.0.1 5000 typ host\r\n"


def _text(value: bytes) -> str:
    return value.decode("latin-1")


def test_an_announce_as_libtorrent_and_browsers_write_it() -> None:
    text = json.dumps(
        {
            "action": "announce",
            "info_hash": _text(HASH),
            "peer_id": _text(PEER),
            "uploaded": 0,
            "downloaded": 0,
            "left": 12,
            "event": "started",
            "numwant": 5,
            "offers": [{"offer": {"type": "offer", "sdp": SDP}, "offer_id": "o" * 20}],
        }
    )
    assert parse(text) == Announce(HASH, PEER, "started", 12, 5, (Offer(b"o" * 20, SDP),))


def test_an_answer_and_a_scrape() -> None:
    answer = {
        "action": "announce",
        "info_hash": _text(HASH),
        "peer_id": _text(PEER),
        "to_peer_id": "t" * 20,
        "offer_id": "o" * 20,
        "answer": {"type": "answer", "sdp": SDP},
    }
    said = read(dict(answer))
    assert said == Answer(HASH, PEER, b"t" * 20, b"o" * 20, SDP)
    told = announce.answer_for(said)
    assert told == {key: value for key, value in answer.items() if key != "to_peer_id"}
    assert parse('{"action":"scrape","info_hash":["%s","x"]}' % ("h" * 20)) == Scrape((b"h" * 20,))
    assert parse('{"action":"scrape"}') is None


def test_what_is_told_survives_json() -> None:
    told = announce.offer_for(HASH, PEER, Offer(b"\xfe" * 20, SDP))
    again = json.loads(json.dumps(told))
    assert again["peer_id"].encode("latin-1") == PEER
    assert again["offer"] == {"type": "offer", "sdp": SDP}
    assert announce.announced(HASH, 120, 1, 2)["incomplete"] == 2
    assert announce.scraped({HASH: (1, 2)}, 120)["files"]
    assert announce.failed("no", HASH)["failure reason"] == "no"


def test_offers_beyond_the_bound_are_left_out() -> None:
    offers = [{"offer": {"sdp": SDP}, "offer_id": chr(65 + n) * 20} for n in range(40)]
    said = read({"action": "announce", "info_hash": "h" * 20, "offers": offers})
    assert isinstance(said, Announce)
    assert len(said.offers) == announce.OFFERS_MAX


@pytest.mark.parametrize(
    "text", ["", "[]", "1", "{}", "{" * 5_000, '{"action":"announce","info_hash":"short"}', b"\xff"]
)
def test_what_is_no_message_is_none(text: str | bytes) -> None:
    assert parse(text) is None


def test_a_description_that_is_too_long_is_left_out() -> None:
    sdps = ["x" * announce.SDP_MAX, "x" * (announce.SDP_MAX + 1)]
    offers = [{"offer": {"sdp": sdp}, "offer_id": "o" * 20} for sdp in sdps]
    said = read({"action": "announce", "info_hash": "h" * 20, "offers": offers})
    assert isinstance(said, Announce)
    assert [len(offer.sdp) for offer in said.offers] == [announce.SDP_MAX]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=25),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


@given(
    st.fixed_dictionaries(
        {"action": st.sampled_from(["announce", "scrape"]) | _JSON, "info_hash": _JSON},
        optional=dict.fromkeys(
            ("offers", "answer", "offer_id", "to_peer_id", "peer_id", "event", "left", "numwant"),
            _JSON,
        ),
    )
)
def test_any_json_is_read_or_left(fields: dict[str, object]) -> None:
    said = read(fields)
    assert said is None or isinstance(said, Announce | Answer | Scrape)


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_arbitrary_text_is_read_or_left(text: str | bytes) -> None:
    parse(text)
