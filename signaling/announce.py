"""What WebTorrent clients and trackers say to each other: JSON over WebSocket. Reading and writing.

As bittorrent-tracker and libtorrent speak it: binary values are strings of latin-1 characters, an
announce brings offers along, an answer is an announce with `answer`. What a client says is checked
here: sizes, counts, and the candidates of a description.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

__all__ = [
    "ID_BYTES",
    "MESSAGE_MAX",
    "OFFERS_MAX",
    "SCRAPE_MAX",
    "SDP_MAX",
    "Announce",
    "Answer",
    "Fields",
    "Offer",
    "Scrape",
    "announced",
    "answer_for",
    "failed",
    "offer_for",
    "parse",
    "read",
    "scraped",
]

ID_BYTES = 20
SDP_MAX = 8_192
OFFERS_MAX = 16
"""In one announce; libtorrent and browsers bring 5 to 10."""
SCRAPE_MAX = 64
MESSAGE_MAX = 256 * 1024
Fields = dict[str, object]


@dataclass(frozen=True, slots=True)
class Offer:
    offer_id: bytes
    sdp: str


@dataclass(frozen=True, slots=True)
class Announce:
    """`left`: bytes, None if it is not known. `peer_id` is empty where none was given."""

    info_hash: bytes
    peer_id: bytes
    event: str
    left: int | None
    wanted: int
    offers: tuple[Offer, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    info_hash: bytes
    peer_id: bytes
    to_peer_id: bytes
    offer_id: bytes
    sdp: str


@dataclass(frozen=True, slots=True)
class Scrape:
    info_hashes: tuple[bytes, ...]


def parse(text: str | bytes) -> Announce | Answer | Scrape | None:
    """The message in a WebSocket frame; None if it is none."""
    try:
        fields = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return read(fields) if isinstance(fields, dict) else None


def read(fields: Fields) -> Announce | Answer | Scrape | None:
    """The message that these fields are; None if they are none."""
    if fields.get("action") == "scrape":
        return _scrape(fields.get("info_hash"))
    info_hash, peer_id = _binary(fields.get("info_hash")), _binary(fields.get("peer_id"))
    if fields.get("action") != "announce" or len(info_hash) != ID_BYTES:
        return None
    if isinstance(fields.get("answer"), dict):
        sdp, offer_id = _sdp(fields["answer"]), _binary(fields.get("offer_id"))
        if not sdp or len(offer_id) != ID_BYTES:
            return None
        return Answer(info_hash, peer_id, _binary(fields.get("to_peer_id")), offer_id, sdp)
    event, left = fields.get("event"), fields.get("left")
    wanted, offers = fields.get("numwant"), fields.get("offers")
    return Announce(
        info_hash,
        peer_id,
        event if event in ("started", "stopped", "completed") else "",
        left if isinstance(left, int) and left >= 0 else None,
        max(0, min(wanted, 1_000)) if isinstance(wanted, int) else 0,
        tuple(_offers(offers if isinstance(offers, list) else ())),
    )


def _scrape(named: object) -> Scrape | None:
    listed = named if isinstance(named, list) else [named]
    hashes = [_binary(item) for item in listed[:SCRAPE_MAX]]
    found = tuple(dict.fromkeys(item for item in hashes if len(item) == ID_BYTES))
    return Scrape(found) if found else None


def _offers(listed: Iterable[object]) -> Iterable[Offer]:
    count = 0
    for item in listed:
        if not isinstance(item, dict) or count == OFFERS_MAX:
            continue
        sdp, offer_id = _sdp(item.get("offer")), _binary(item.get("offer_id"))
        if sdp and len(offer_id) == ID_BYTES:
            count += 1
            yield Offer(offer_id, sdp)


def _sdp(description: object) -> str:
    sdp = description.get("sdp") if isinstance(description, dict) else None
    return sdp if isinstance(sdp, str) and len(sdp) <= SDP_MAX else ""


# -- what a tracker says ---------------------------------------------------------------------------


def announced(info_hash: bytes, interval_s: int, complete: int, incomplete: int) -> Fields:
    return {
        "action": "announce",
        "info_hash": info_hash.decode("latin-1"),
        "interval": interval_s,
        "complete": complete,
        "incomplete": incomplete,
    }


def offer_for(info_hash: bytes, peer_id: bytes, offer: Offer) -> Fields:
    """Of the peer `peer_id`, for another one."""
    return _description("offer", info_hash, peer_id, offer.offer_id, offer.sdp)


def answer_for(answer: Answer) -> Fields:
    return _description("answer", answer.info_hash, answer.peer_id, answer.offer_id, answer.sdp)


def scraped(counts: dict[bytes, tuple[int, int]], interval_s: int) -> Fields:
    """`counts`: info-hash -> (complete, incomplete)."""
    return {
        "action": "scrape",
        "files": {
            info_hash.decode("latin-1"): {
                "complete": complete,
                "incomplete": incomplete,
                "downloaded": complete,
            }
            for info_hash, (complete, incomplete) in counts.items()
        },
        "flags": {"min_request_interval": interval_s},
    }


def failed(why: str, info_hash: bytes = b"") -> Fields:
    fields: Fields = {"action": "announce", "failure reason": why}
    if info_hash:
        fields["info_hash"] = info_hash.decode("latin-1")
    return fields


def _description(kind: str, info_hash: bytes, peer_id: bytes, offer_id: bytes, sdp: str) -> Fields:
    return {
        "action": "announce",
        "info_hash": info_hash.decode("latin-1"),
        "peer_id": peer_id.decode("latin-1"),
        "offer_id": offer_id.decode("latin-1"),
        kind: {"type": kind, "sdp": sdp},
    }


def _binary(value: object) -> bytes:
    """A latin-1 string as the bytes it stands for; empty if it is none."""
    if not isinstance(value, str):
        return b""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return b""
