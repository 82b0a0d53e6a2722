"""All that reads bytes of outsiders: by name, with what it may raise, and valid examples.

One list for hypothesis (`test_parsers.py`) and for atheris (`run.py`).
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from zeroconf.asyncio import AsyncServiceInfo

from p2pchat import errors
from p2pchat.api.routes import ROUTES
from p2pchat.api.slash import parse as parse_slash
from p2pchat.core import acts, proof, wire
from p2pchat.core.brief import in_brief
from p2pchat.core.entry import decode_body, parse_header
from p2pchat.core.group import Group
from p2pchat.core.handshake import Handshake, Terms
from p2pchat.core.identity import Certificate, Identity
from p2pchat.core.invite import app_bytes, inviter_name
from p2pchat.core.knock import Knock, Listing, VisibleRoom
from p2pchat.core.machine import Send
from p2pchat.files.magnet import Magnet
from p2pchat.net.stun import mapped_address
from signaling import announce, blob, knocking, mailbox, sdp
from signaling.carriers.dhtitem import Content, ItemKeys, Kind, open_item, seal_item
from signaling.carriers.discovery import _nonce
from signaling.code import Code
from signaling.envelope import SlotKeys, offer_binding, open_answer, open_offer, seal_offer
from signaling.errors import SignalingError
from signaling.invite import Invite, Reply
from signaling.letter import Kind as LetterKind
from signaling.letter import open_letter, seal_letter
from signaling.pairing import Guest, Host
from signaling.pake import Exchange
from tests.harness.pair import random_from
from tests.harness.writer import Writer, founder
from tests.signaling.descriptions import HOST, PUBLIC, description

__all__ = ["PARSERS", "Parser"]

_VECTORS = Path(__file__).parent.parent / "vectors"
_NOW = 1_800_000_000.0
_SLOT = SlotKeys.derive(bytes(32))
_ANN, _BOB = (Identity.create(name, random_from(len(name))) for name in ("Ann", "Robert"))
_OFFER = seal_offer(_SLOT, description(HOST, PUBLIC), _NOW, os.urandom)


@dataclass(frozen=True, slots=True)
class Parser:
    parse: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    refuses: tuple[type[Exception], ...] = ()
    """what it may raise: its own errors and no others"""


def _text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: parse(data.decode("utf-8", "replace"))


def _frames() -> tuple[bytes, ...]:
    vectors = json.loads((_VECTORS / "journal.json").read_text())
    return tuple(bytes.fromhex(frame) for frame in vectors["frames"].values())


def _journal() -> Writer:
    ann, bob = founder("Ann", "Bob")
    ann.say("hello")
    ann.act(acts.SETTING, acts.Setting((), "topic", "boats"))
    head = bob.say("hi")
    ann.take_all(bob)
    ann.remove(bob, head)
    return ann


_JOURNAL = _journal()


def _run(data: bytes) -> object:
    frame = wire.decode(data)
    if isinstance(frame, wire.Run):
        group = Group(_JOURNAL.group.room)
        result = group.accept(frame.headers, frame.bodies, frame.signature)
        return result, group.members
    if isinstance(frame, wire.Fork):
        return _JOURNAL.group.prove(frame.proof)
    if isinstance(frame, wire.Contested):
        return [act.certificate.holds() for act in frame.acts]
    return frame


def _bodies(data: bytes) -> object:
    for kind in (*range(9), *range(16, 23), *range(32, 35)):
        body = decode_body(kind, data)
        if isinstance(body, acts.Act):
            acts.is_sound(body)
        if isinstance(body, Certificate):
            body.holds()
    return None


def _runs() -> tuple[bytes, ...]:
    runs = [[entry] for entry in _JOURNAL.written]
    runs.append([entry for entry in _JOURNAL.written if entry.chain == _JOURNAL.written[0].chain])
    return tuple(
        wire.encode(
            wire.Run(
                bytes(16),
                tuple(in_brief(run)),
                tuple(entry.body for entry in run),
                run[-1].signature or b"",
                False,
            )
        )
        for run in runs
    )


def _handshake(steps: int, data: bytes) -> None:
    """`data` as the peer's message after `steps` right ones."""
    own = Handshake(_ANN, _terms("b"), random_from(1), 0.0)
    peer = Handshake(_BOB, _terms("a"), random_from(2), 0.0)
    right = [output.frame for output in peer.outputs() if isinstance(output, Send)]
    list(own.outputs())
    for frame in right[:steps]:
        own.receive(frame, 0.0)
    own.receive(data, 0.0)
    list(own.outputs())


def _terms(role: Literal["a", "b"]) -> Terms:
    mine, theirs = (bytes(32), b"\1" * 32) if role == "a" else (b"\1" * 32, bytes(32))
    return Terms(
        role=role, psk=bytes(32), own_fingerprint=mine, peer_fingerprint=theirs, exporter=None
    )


def _hello() -> bytes:
    peer = Handshake(_BOB, _terms("a"), random_from(2), 0.0)
    return next(output.frame for output in peer.outputs() if isinstance(output, Send))


def _pairing(data: bytes) -> None:
    for end in (
        Guest(4, b"secret", random_from(1)),
        Host(4, b"secret", b"payload", random_from(2)),
    ):
        end.receive(data)
        list(end.outputs())


def _knocking(data: bytes) -> None:
    for end in (knocking.Guest(random_from(1)), knocking.Host(b"Ann", random_from(2))):
        end.receive(data)
        list(end.outputs())


def _txt(data: bytes) -> object:
    info = AsyncServiceInfo("_p2pchat._tcp.local.", "x._p2pchat._tcp.local.", properties=data)
    return _nonce(info.properties)


def _api(data: bytes) -> object:
    for kind, _ in ROUTES.values():
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, ValueError, RecursionError):
            continue
    return None


_INVITE = Invite(
    _ANN.person, bytes(32)[:16], int(_NOW), app_bytes("Ann"), description(HOST, PUBLIC)
)
_ITEM = ItemKeys.derive(bytes(32), 20_000)
_PROOF = proof.make(_ANN, _NOW)
_MAGNET = b"magnet:?xt=urn:btih:" + b"3a" * 20 + b"&dn=photos&xl=50012239&x.p2pkey=" + b"A" * 43
_ANNOUNCE = json.dumps(
    {
        "action": "announce", "info_hash": "a" * 20, "peer_id": "b" * 20, "numwant": 1, "left": 1,
        "offers": [{"offer_id": "c" * 20, "offer": {"type": "offer", "sdp": "v=0"}}],
    }
).encode()  # fmt: skip

PARSERS: Mapping[str, Parser] = {
    "blob": Parser(_text(blob.decode), (_INVITE.text().encode(),), (SignalingError,)),
    "invite": Parser(
        _text(lambda text: Invite.parse(text, _NOW)), (_INVITE.text().encode(),), (SignalingError,)
    ),
    "reply": Parser(
        _text(Reply.parse), (Reply(bytes(8), _OFFER).text().encode(),), (SignalingError,)
    ),
    "code": Parser(_text(Code.parse), (b"4-acid-pelican",), (SignalingError,)),
    "name": Parser(inviter_name, (app_bytes("Ann"),)),
    "description": Parser(sdp.unpack, (sdp.pack(description(HOST, PUBLIC)),), (SignalingError,)),
    "sdp": Parser(
        _text(sdp.parse),
        (sdp.render(description(HOST, PUBLIC), offer=True).encode(),),
        (ValueError,),
    ),
    "offer": Parser(lambda data: open_offer(_SLOT, data), (_OFFER,)),
    "answer": Parser(lambda data: open_answer(_SLOT, data, offer_binding(_OFFER)), (_OFFER,)),
    "letter": Parser(
        lambda data: open_letter(_SLOT, LetterKind.OFFER, bytes(16), data),
        (seal_letter(_SLOT, LetterKind.OFFER, bytes(16), b"x", os.urandom),),
    ),
    "mailbox-operations": Parser(
        mailbox.decode_operations,
        (mailbox.encode([mailbox.Watch(bytes(16))]),),
        (mailbox.Malformed,),
    ),
    "mailbox-items": Parser(
        mailbox.decode_items,
        (mailbox.encode([mailbox.Item(bytes(16), 60, b"x")]),),
        (mailbox.Malformed,),
    ),
    "dht-item": Parser(
        lambda data: open_item(_ITEM, data),
        (seal_item(_ITEM, Content(Kind.HERE, bytes(8)), os.urandom),),
    ),
    "txt": Parser(_txt, (b"\x03v=1\x22n=" + b"0" * 32,), (ValueError,)),
    "stun": Parser(lambda data: mapped_address(data, bytes(12)), (bytes(32),)),
    "pake": Parser(
        lambda data: Exchange("b", b"s", b"", random_from(1)).key(data),
        (Exchange("a", b"s", b"", random_from(2)).message,),
    ),
    "pairing": Parser(_pairing, (b"\1\1" + Exchange("a", b"s", b"", random_from(2)).message,)),
    "knocking": Parser(_knocking, (b"\1\1" + bytes(32), b"\1\2" + bytes(31) + b"\1")),
    "listing": Parser(
        Listing.decode,
        (Listing(bytes(8), "Ann", person=True, rooms=(VisibleRoom(bytes(8), "crew"),)).encode(),),
    ),
    "knock": Parser(Knock.decode, (Knock("Bob", bytes(8)).encode(),)),
    "tracker": Parser(announce.parse, (_ANNOUNCE,)),
    "handshake": Parser(lambda data: _handshake(0, data), (_hello(),)),
    "handshake-mac": Parser(lambda data: _handshake(1, data), (wire.encode((2, bytes(32))),)),
    "frame": Parser(wire.decode, _frames(), (wire.BadFrame,)),
    "run": Parser(_run, _runs(), (wire.BadFrame,)),
    "header": Parser(parse_header, tuple(entry.raw for entry in _JOURNAL.written)),
    "body": Parser(_bodies, tuple(entry.body or b"" for entry in _JOURNAL.written)),
    "proof": Parser(
        _text(lambda text: proof.find(text, _ANN.person)), (_PROOF.encode(),), (errors.Error,)
    ),
    "magnet": Parser(_text(Magnet.parse), (_MAGNET,), (errors.Error,)),
    "slash": Parser(_text(parse_slash), (b"/whois bob",)),
    "api": Parser(_api, (b'{"room":"crew","text":"hi"}', b"{}")),
}
