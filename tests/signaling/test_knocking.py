import hashlib
import os

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from signaling.knocking import (
    CHECK_BITS,
    PAYLOAD_MAX,
    Accepted,
    Broken,
    Guest,
    Host,
    Knocked,
    Listed,
    Output,
    Refused,
    Send,
)

LISTING = b"Ann"


def run(guest: Guest, host: Host) -> list[Output]:
    """Carry frames until neither has any; what else they say."""
    facts: list[Output] = []
    busy = True
    while busy:
        busy = False
        for one, other in ((guest, host), (host, guest)):
            for output in one.outputs():
                busy = True
                if isinstance(output, Send):
                    other.receive(output.frame)
                else:
                    facts.append(output)
    return facts


def frames(machine: Guest | Host) -> list[bytes]:
    return [output.frame for output in machine.outputs() if isinstance(output, Send)]


def knocked() -> tuple[Guest, Host]:
    guest, host = Guest(os.urandom), Host(LISTING, os.urandom)
    assert run(guest, host) == [Listed(LISTING)]
    guest.knock(b"Bob")
    assert run(guest, host) == [Knocked(b"Bob")]
    return guest, host


def test_a_guest_sees_the_listing_knocks_and_gets_what_is_delivered() -> None:
    guest, host = knocked()
    assert guest.check == host.check < 1 << CHECK_BITS
    host.accept(b"invite")
    assert run(guest, host) == [Accepted(b"invite")]
    assert guest.state == host.state == "closed"


@pytest.mark.parametrize("code", ["knock-declined", "knock-busy"])
def test_a_refusal_reaches_the_guest(code: str) -> None:
    guest, host = knocked()
    host.refuse(code)
    assert run(guest, host) == [Refused(code)]


def test_the_largest_payloads_fit_a_frame() -> None:
    guest, host = Guest(os.urandom), Host(bytes(PAYLOAD_MAX), os.urandom)
    assert run(guest, host) == [Listed(bytes(PAYLOAD_MAX))]
    guest.knock(bytes(PAYLOAD_MAX))
    assert run(guest, host) == [Knocked(bytes(PAYLOAD_MAX))]
    host.accept(bytes(PAYLOAD_MAX - 1))
    assert run(guest, host) == [Accepted(bytes(PAYLOAD_MAX - 1))]


def test_whoever_stands_between_is_told_by_the_words() -> None:
    guest, mallory_host = Guest(os.urandom), Host(LISTING, os.urandom)
    mallory_guest, host = Guest(os.urandom), Host(LISTING, os.urandom)
    run(guest, mallory_host)
    run(mallory_guest, host)
    assert guest.check == mallory_host.check
    assert guest.check != host.check


def test_a_guest_cannot_choose_its_key_after_it_saw_the_hosts() -> None:
    # That is what would let it try keys until the words are those it wants.
    guest, late, host = Guest(os.urandom), Guest(os.urandom), Host(LISTING, os.urandom)
    host.receive(frames(guest)[0])
    (key,) = frames(host)
    list(late.outputs())
    late.receive(key)
    host.receive(frames(late)[0])
    assert list(host.outputs()) == [Broken()]


def test_frames_on_the_wire_show_no_name() -> None:
    guest, host = Guest(os.urandom), Host(b"Ann of the hill", os.urandom)
    wire = b""
    for _ in range(3):
        for one, other in ((guest, host), (host, guest)):
            for output in one.outputs():
                if isinstance(output, Send):
                    wire += output.frame
                    other.receive(output.frame)
                elif isinstance(output, Listed):
                    guest.knock(b"Bob of the dale")
    assert host.state == "deciding"
    assert b"Ann" not in wire
    assert b"Bob" not in wire


def test_a_key_of_small_order_is_refused() -> None:
    guest, host = Guest(os.urandom), Host(LISTING, os.urandom)
    del host
    list(guest.outputs())
    guest.receive(b"\x01\x02" + bytes(32))
    assert list(guest.outputs()) == [Broken()]


@given(st.lists(st.binary(max_size=80), max_size=4), st.integers(0, 3))
def test_no_bytes_make_either_end_raise_or_believe(junk: list[bytes], after: int) -> None:
    guest, host = Guest(os.urandom), Host(LISTING, os.urandom)
    for _ in range(after):
        for one, other in ((guest, host), (host, guest)):
            for frame in frames(one):
                other.receive(frame)
    for frame in junk:
        guest.receive(frame)
        host.receive(frame)
        guest.receive(b"\x01\x06" + frame)
        host.receive(b"\x01\x05" + frame)
    said = [*guest.outputs(), *host.outputs()]
    assert not any(isinstance(output, Accepted | Knocked | Refused) for output in said)


@given(st.data())
def test_a_frame_changed_on_its_way_is_noticed(data: st.DataObject) -> None:
    guest, host = knocked()
    host.accept(b"invite")
    (frame,) = frames(host)
    place = data.draw(st.integers(0, len(frame) - 1))
    changed = bytearray(frame)
    changed[place] ^= data.draw(st.integers(1, 255))
    guest.receive(bytes(changed))
    assert list(guest.outputs()) == [Broken()]


def test_the_bytes_are_those_of_the_document() -> None:
    # docs/protocol.md, 3b, written out again: what a second implementation would do.
    def hkdf(key: bytes, info: bytes) -> bytes:
        return HKDF(SHA256(), 32, None, info).derive(key)

    context = b"p2pchat/1/knock"
    private, other = (X25519PrivateKey.from_private_bytes(bytes((n,)) * 32) for n in (1, 2))
    g, h = (key.public_key().public_bytes_raw() for key in (private, other))
    guest, host = Guest(lambda _: b"\1" * 32), Host(LISTING, lambda _: b"\2" * 32)
    wire = []
    for one, to in ((guest, host), (host, guest), (guest, host), (host, guest)):
        (frame,) = frames(one)
        wire.append(frame)
        to.receive(frame)
    key = hkdf(private.exchange(other.public_key()), context + hashlib.sha256(g + h).digest())
    sealed = AESGCM(hkdf(key, context + b"/seal\4")).encrypt(bytes(12), LISTING, context)
    commitment = hashlib.sha256(context + b"/commitment" + g).digest()
    assert wire == [
        b"\1\1" + commitment,
        b"\1\2" + h,
        b"\1\3" + g,
        b"\1\4" + sealed,
    ]
    assert guest.check == int.from_bytes(hkdf(key, context + b"/check")[:5], "big") >> 7
