"""The frames of a link after its handshake (docs/protocol.md, 7).

A frame is a MessagePack array whose first element is its type. Unknown types are skipped, so that a
newer peer may say more; a malformed known one is the peer's fault.
"""

import msgspec

from p2pchat.core.bounds import (
    BODY_BYTES_MAX,
    CONTESTED_MAX,
    FRAME_BYTES_MAX,
    HEADS_MAX,
    INTRODUCTION_BYTES_MAX,
    LACKING_MAX,
    NEAR_MAX,
    RUN_ENTRIES_MAX,
    SDP_BYTES_MAX,
    SEEN_ROWS_MAX,
    TOPIC_BYTES_MAX,
)
from p2pchat.core.brief import Brief
from p2pchat.core.chain import ForkProof
from p2pchat.core.identity import Certificate

__all__ = [
    "REFUSALS",
    "Answer",
    "BadFrame",
    "Bodies",
    "Body",
    "Bye",
    "Contested",
    "Cue",
    "Decline",
    "Denied",
    "Fork",
    "Frame",
    "Have",
    "Heads",
    "Introduce",
    "Introduced",
    "Introduction",
    "Lacking",
    "Level",
    "Near",
    "Pending",
    "Presence",
    "RoomFrame",
    "Row",
    "Run",
    "Seen",
    "SeenRow",
    "Signal",
    "SignedAct",
    "Summary",
    "Swarm",
    "Typing",
    "Want",
    "Welcome",
    "decode",
    "encode",
]

REFUSALS = frozenset(
    {
        "invite-used", "invite-expired", "invite-withdrawn", "invite-locked", "password-wrong",
        "not-expected", "bad-proof", "bad-frame", "no-common-version", "timeout", "disk", "bye",
        "superseded",
    }
)  # fmt: skip
"""Why a link may be closed; anything else a peer says is read as `bye`."""


class BadFrame(Exception):
    """A known frame, malformed. Raised by `decode` alone."""


class Row(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The head of one chain."""

    chain: bytes
    seq: int
    id: bytes


class Summary(msgspec.Struct, frozen=True, array_like=True, tag=16):
    tag: bytes
    digest: bytes
    total: int


class Heads(msgspec.Struct, frozen=True, array_like=True, tag=17):
    tag: bytes
    rows: tuple[Row, ...]
    reply: bool


class Want(msgspec.Struct, frozen=True, array_like=True, tag=18):
    tag: bytes
    chain: bytes
    first: int
    last: int


class Run(msgspec.Struct, frozen=True, array_like=True, tag=19):
    """Entries of one chain that follow each other. The first header is in full."""

    tag: bytes
    headers: tuple[bytes | Brief, ...]
    bodies: tuple[bytes | None, ...]
    signature: bytes
    pushed: bool


class Have(msgspec.Struct, frozen=True, array_like=True, tag=20):
    tag: bytes
    rows: tuple[Row, ...]


class Fork(msgspec.Struct, frozen=True, array_like=True, tag=21):
    """Proof that one chain of this room is forked."""

    tag: bytes
    proof: ForkProof


class Level(msgspec.Struct, frozen=True, array_like=True, tag=22):
    """My heads have the digest that your summary had."""

    tag: bytes
    digest: bytes


class SignedAct(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An act of membership outside its chain. `certificate` is its author's."""

    certificate: Certificate
    header: bytes
    body: bytes
    signature: bytes


class Contested(msgspec.Struct, frozen=True, array_like=True, tag=23):
    """Acts of this room that a removal has cut off, or that remove you: judge for yourself."""

    tag: bytes
    acts: tuple[SignedAct, ...]


class Decline(msgspec.Struct, frozen=True, array_like=True, tag=24):
    """I take no more of this chain: its author is no member, as far as I know."""

    tag: bytes
    chain: bytes


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag=25):
    """You are a member of this room.

    `founder`, a person, and `nonce` give the room's id: so it is that of a room of many.
    """

    room: bytes
    name: str
    founder: bytes
    nonce: bytes


class Pending(msgspec.Struct, frozen=True, array_like=True, tag=26):
    """Members of this room have to approve of you; then they find you by `secret`."""

    room: bytes
    name: str
    secret: bytes


class Denied(msgspec.Struct, frozen=True, array_like=True, tag=27):
    """Members of this room did not approve of you."""

    room: bytes


class Lacking(msgspec.Struct, frozen=True, array_like=True, tag=28):
    """Of these entries of the room I have no body: send those that you have."""

    tag: bytes
    ids: tuple[bytes, ...]


class Body(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The body of one entry, as sealed."""

    id: bytes
    body: bytes


class Bodies(msgspec.Struct, frozen=True, array_like=True, tag=29):
    """What was lacking."""

    tag: bytes
    rows: tuple[Body, ...]


class Signal(msgspec.Struct, frozen=True, array_like=True, tag=32):
    """A WebTorrent offer or answer between the libtorrents of the two ends."""

    tag: bytes
    kind: str
    offer_id: bytes
    sdp: str


class Swarm(msgspec.Struct, frozen=True, array_like=True, tag=33):
    """I take part in this swarm; `port` is TCP on loopback (0: none), `complete`: I have all.

    `reply`: tell me the same of you.
    """

    tag: bytes
    port: int
    complete: bool
    reply: bool


class Near(msgspec.Struct, frozen=True, array_like=True, tag=40):
    """These are linked with me, and members of a room that you and I are in as well."""

    persons: tuple[bytes, ...]


class Introduce(msgspec.Struct, frozen=True, array_like=True, tag=41):
    """Pass this sealed offer on to `person`. `call` names it in your answer."""

    person: bytes
    call: bytes
    offer: bytes


class Introduced(msgspec.Struct, frozen=True, array_like=True, tag=42):
    """`person` has this sealed offer for you. `call` names it in your answer."""

    person: bytes
    call: bytes
    offer: bytes


class Answer(msgspec.Struct, frozen=True, array_like=True, tag=43):
    """What came of a call: a sealed answer; empty, that one has none; nil, that one is not here."""

    call: bytes
    answer: bytes | None


class Presence(msgspec.Struct, frozen=True, array_like=True, tag=34):
    """Whether somebody is at the terminal: 0 yes, 1 not for a while; later ones mean neither."""

    state: int


class Typing(msgspec.Struct, frozen=True, array_like=True, tag=35):
    """I am writing in this room; it holds for a few seconds. False: no more."""

    tag: bytes
    typing: bool


class SeenRow(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Up to where I have read one chain."""

    chain: bytes
    seq: int


class Seen(msgspec.Struct, frozen=True, array_like=True, tag=36):
    """I have read these chains of the room up to there."""

    tag: bytes
    rows: tuple[SeenRow, ...]


class Bye(msgspec.Struct, frozen=True, array_like=True, tag=47):
    code: str


RoomFrame = Summary | Heads | Want | Run | Have | Fork | Level | Contested | Decline
"""What reconciliation says."""
Cue = Presence | Typing | Seen
"""What tells of a person, and stands in no journal."""
Introduction = Near | Introduce | Introduced | Answer
"""How members become linked through one that both are linked with."""
Frame = (
    RoomFrame
    | Welcome
    | Pending
    | Denied
    | Lacking
    | Bodies
    | Signal
    | Swarm
    | Cue
    | Introduction
    | Bye
)
_TYPES = frozenset({*range(16, 30), *range(32, 37), *range(40, 44), 47})
_DECODER = msgspec.msgpack.Decoder(Frame)
_TYPE = msgspec.msgpack.Decoder(tuple[int, ...])
encode = msgspec.msgpack.Encoder().encode


def decode(data: bytes) -> Frame | None:
    """The frame in `data`, or None for a type not known here.

    Raises BadFrame.
    """
    if len(data) > FRAME_BYTES_MAX or not data:
        raise BadFrame("size")
    try:
        frame: Frame = _DECODER.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        if _unknown_type(data):
            return None
        raise BadFrame("malformed") from error
    if not _sound(frame):
        raise BadFrame("out of bounds")
    return frame


def _unknown_type(data: bytes) -> bool:
    """Whether this is a well-formed array that begins with a type number of the future."""
    try:
        values = msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return (
        isinstance(values, list)
        and bool(values)
        and type(values[0]) is int
        and 16 <= values[0] < 65_536
        and values[0] not in _TYPES
    )


def _sound(frame: Frame) -> bool:
    match frame:
        case Summary(tag, digest, total):
            return len(tag) == 16 and len(digest) == 32 and total >= 0
        case Heads(tag, rows) | Have(tag, rows):
            return len(tag) == 16 and len(rows) <= HEADS_MAX and all(map(_sound_row, rows))
        case Want(tag, chain, first, last):
            return len(tag) == len(chain) == 16 and 0 <= first <= last < 1 << 63
        case Run(tag, headers, bodies, signature):
            return (
                len(tag) == 16
                and 0 < len(headers) == len(bodies) <= RUN_ENTRIES_MAX
                and isinstance(headers[0], bytes)
                and len(signature) == 64
            )
        case Fork(tag, proof):
            return len(tag) == 16 and all(
                0 < len(branch.headers) <= RUN_ENTRIES_MAX and len(branch.signature) == 64
                for branch in (proof.one, proof.other)
            )
        case Level(tag, digest):
            return len(tag) == 16 and len(digest) == 32
        case Contested(tag, acts):
            return (
                len(tag) == 16
                and len(acts) <= CONTESTED_MAX
                and all(len(act.signature) == 64 for act in acts)
            )
        case Decline(tag, chain):
            return len(tag) == len(chain) == 16
        case Welcome(room, name, founder, nonce):
            return (
                len(room) == len(founder) == len(nonce) == 32
                and len(name.encode()) <= TOPIC_BYTES_MAX
            )
        case Pending(room, name, secret):
            return len(room) == len(secret) == 32 and len(name.encode()) <= TOPIC_BYTES_MAX
        case Denied(room):
            return len(room) == 32
        case Lacking(tag, ids):
            return (
                len(tag) == 16
                and 0 < len(ids) <= LACKING_MAX
                and all(len(id_) == 32 for id_ in ids)
            )
        case Bodies(tag, rows):
            return (
                len(tag) == 16
                and len(rows) <= LACKING_MAX
                and all(len(row.id) == 32 and len(row.body) <= BODY_BYTES_MAX for row in rows)
            )
        case Signal(tag, kind, offer_id, sdp):
            return (
                len(tag) == 16
                and kind in ("offer", "answer")
                and len(offer_id) == 20
                and len(sdp) <= SDP_BYTES_MAX
            )
        case Swarm(tag, port):
            return len(tag) == 16 and 0 <= port < 65_536
        case Near(persons):
            return len(persons) <= NEAR_MAX and all(len(person) == 32 for person in persons)
        case Introduce(person, call, offer) | Introduced(person, call, offer):
            return len(person) == 32 and len(call) == 16 and len(offer) <= INTRODUCTION_BYTES_MAX
        case Answer(call, answer):
            return len(call) == 16 and (answer is None or len(answer) <= INTRODUCTION_BYTES_MAX)
        case Presence(state):
            return 0 <= state < 256
        case Typing(tag):
            return len(tag) == 16
        case Seen(tag, rows):
            return (
                len(tag) == 16
                and len(rows) <= SEEN_ROWS_MAX
                and all(len(row.chain) == 16 and 0 <= row.seq < 1 << 63 for row in rows)
            )
        case Bye(code):
            return len(code) <= 64


def _sound_row(row: Row) -> bool:
    return len(row.chain) == 16 and len(row.id) == 32 and 0 <= row.seq < 1 << 63
