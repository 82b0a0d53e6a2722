"""The handshake: both identities proven against the DTLS fingerprints in use, or no link.

Rules. Nothing about who we are leaves before the peer has shown that it knows the secret. Role a
(the guest, or the contact with the lower key) shows itself first. Role b answers only when `node`
has put the peer on disk (`admit`), so that an invite's claim survives a crash; a confirms likewise.
All of it hangs on T, which covers both hellos and both certificates: a middleman with two DTLS
legs has two different T, and a downgraded list of versions another one (docs/protocol.md, 6;
SIGMA, Krawczyk 2003; RFC 8844 on why identities must be under T as well).

    state      frame      role   next       what is done
    greeting   hello      both   proving    T is known; send proof
    proving    proof      a      showing    send identity
    proving    proof      b      watching
    watching   identity   b      admitting  Proven is emitted; admit() sends identity -> closing
    showing    identity   a      admitting  Proven is emitted; admit() sends done -> established
    closing    done       b      established
    any        refusal    both   closed

An invite with a password puts SPAKE2 between hello and proof, and a proves first:

    greeting   hello      a      swapping   send password message
    greeting   hello      b      swapping
    swapping   password   a      guessing   Guess is emitted; guess() sends proof -> proving
    swapping   password   b      guarding   send password message
    guarding   proof      b      guessing   Guess is emitted; guess() looks at it: wrong -> closed,
                                            right -> send proof -> watching
"""

import hmac as hmac_module
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from p2pchat.core.bounds import HANDSHAKE_BYTES_MAX, HANDSHAKE_S
from p2pchat.core.identity import Certificate, Identity, Random, derive, digest, mac, signed_by
from p2pchat.core.machine import Close, Emit, Output, Send
from p2pchat.core.password import PasswordExchange
from p2pchat.core.wire import REFUSALS

__all__ = ["Established", "Guess", "Handshake", "Proven", "Refused", "Terms", "WrongPassword"]

Role = Literal["a", "b"]
_HELLO, _PROOF, _IDENTITY, _DONE, _REFUSAL, _PASSWORD = 1, 2, 3, 4, 5, 6
_VERSIONS = (1,)
_SUITES = (1,)
_NO_EXPORTER = bytes(32)


@dataclass(frozen=True, slots=True)
class Terms:
    """What both ends know beforehand. `expected` is the peer's person key where it is known.

    `password` is the key of an invite's password (`core.password`), where it has one.
    """

    role: Role
    psk: bytes
    own_fingerprint: bytes
    peer_fingerprint: bytes
    exporter: bytes | None
    expected: bytes | None = None
    password: bytes | None = None


@dataclass(frozen=True, slots=True)
class Guess:
    """A password is about to be tested: here (b), or by us (a).

    Answer with `guess` once that is counted on disk, or `refuse`.
    """


@dataclass(frozen=True, slots=True)
class WrongPassword:
    """The peer was let test a password, and it was wrong; `left` more may be tested."""

    left: int


@dataclass(frozen=True, slots=True)
class Proven:
    """The peer is who it says; answer with `admit` once this is on disk, or `refuse`."""

    certificate: Certificate
    contact_secret: bytes


@dataclass(frozen=True, slots=True)
class Established:
    """Both sides have accepted. `transcript` is T, 32 bytes."""

    certificate: Certificate
    transcript: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The peer said no, with this code; `left`: for `password-wrong`, how many tries are left."""

    code: str
    left: int = 0


class _Hello(msgspec.Struct, frozen=True, array_like=True, tag=_HELLO):
    versions: tuple[int, ...]
    suites: tuple[int, ...]
    nonce: bytes
    capabilities: tuple[str, ...]


class _Proof(msgspec.Struct, frozen=True, array_like=True, tag=_PROOF):
    mac: bytes


class _Shown(msgspec.Struct, frozen=True, array_like=True, tag=_IDENTITY):
    sealed: bytes


class _Done(msgspec.Struct, frozen=True, array_like=True, tag=_DONE):
    mac: bytes


class _Refusal(msgspec.Struct, frozen=True, array_like=True, tag=_REFUSAL):
    code: str
    left: int = 0


class _Password(msgspec.Struct, frozen=True, array_like=True, tag=_PASSWORD):
    message: bytes


class _Signed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is sealed in an identity frame."""

    person: bytes
    device: bytes
    device_signature: bytes
    prekey: bytes
    prekey_signature: bytes
    name: str
    signature: bytes


_FRAME = msgspec.msgpack.Decoder(_Hello | _Proof | _Shown | _Done | _Refusal | _Password)
_SIGNED = msgspec.msgpack.Decoder(_Signed)
_encode = msgspec.msgpack.Encoder().encode


class Handshake:
    """One side of it. Feed frames to `receive`; carry out `outputs` after each call."""

    def __init__(self, identity: Identity, terms: Terms, random: Random, now: float) -> None:
        self._identity = identity
        self._terms = terms
        self._outputs: deque[Output] = deque()
        self._state = "greeting"
        self._deadline: float | None = now + HANDSHAKE_S
        self._received = 0
        self._transcript = b""
        self._random = random
        self._psk = terms.psk
        self._password: PasswordExchange | None = None
        self._guessed = b""
        self._peer: Certificate | None = None
        self._peer_role: Role = "b" if terms.role == "a" else "a"
        self._own_hello = _encode(
            _Hello(
                _VERSIONS,
                _SUITES,
                random(32),
                ("exporter",) if terms.exporter is not None else (),
            )
        )
        self._send(self._own_hello)

    @property
    def state(self) -> str:
        return self._state

    def receive(self, frame: bytes, now: float) -> None:
        del now
        if self._state in ("established", "closed"):
            return None
        self._received += len(frame)
        if self._received > HANDSHAKE_BYTES_MAX:
            return self._fail("bad-frame")
        try:
            message = _FRAME.decode(frame)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return self._fail("bad-frame")
        match self._state, message:
            case _, _Refusal(code, left):
                self._outputs.append(Emit(Refused(code if code in REFUSALS else "bye", left)))
                self._close("bye")
            case "greeting", _Hello():
                self._greeted(message, frame)
            case "swapping", _Password(theirs):
                self._swapped(theirs)
            case "guarding", _Proof(mac_):
                self._guessed = mac_
                self._ask_to_guess()
            case "proving", _Proof(mac_):
                self._proved(mac_)
            case (("watching" | "showing"), _Shown(sealed)):
                self._shown(sealed)
            case "closing", _Done(mac_):
                if not hmac_module.compare_digest(mac_, self._done_mac()):
                    return self._fail("bad-proof")
                self._establish()
            case _:
                self._fail("bad-frame")
        return None

    def handle_timer(self, now: float) -> None:
        if self._deadline is not None and now >= self._deadline:
            self._fail("timeout")

    def next_timer(self) -> float | None:
        return self._deadline

    def outputs(self) -> Iterator[Output]:
        while self._outputs:
            yield self._outputs.popleft()

    def admit(self) -> None:
        """The peer is on disk: go on."""
        assert self._state == "admitting"
        if self._terms.role == "b":
            self._show()
            self._state = "closing"
        else:
            self._send(_encode(_Done(self._done_mac())))
            self._establish()

    def guess(self, left: int) -> None:
        """The guess is counted: test it. `left` more are allowed if this one is wrong."""
        assert self._state == "guessing"
        if self._terms.role == "a":
            self._prove()
        elif hmac_module.compare_digest(self._guessed, self._proof_mac("a")):
            self._prove()
            self._state = "watching"
        else:
            self._outputs.append(Emit(WrongPassword(left)))
            self._send(_encode((_REFUSAL, "password-wrong", left)))
            self._close("password-wrong")

    def refuse(self, code: str) -> None:
        """Say no, and close."""
        self._fail(code)

    def _greeted(self, hello: _Hello, raw: bytes) -> None:
        if len(hello.nonce) != 32 or raw == self._own_hello:
            return self._fail("bad-frame")  # the second: our own hello, reflected
        if not (set(hello.versions) & set(_VERSIONS) and set(hello.suites) & set(_SUITES)):
            return self._fail("no-common-version")
        terms = self._terms
        exporter = terms.exporter if "exporter" in hello.capabilities else None
        mine = (self._own_hello, terms.own_fingerprint)
        theirs = (raw, terms.peer_fingerprint)
        (hello_a, print_a), (hello_b, print_b) = (
            (mine, theirs) if terms.role == "a" else (theirs, mine)
        )
        self._transcript = digest(
            "handshake",
            len(hello_a).to_bytes(2, "big"),
            hello_a,
            len(hello_b).to_bytes(2, "big"),
            hello_b,
            print_a,
            print_b,
            exporter or _NO_EXPORTER,
        )
        if terms.password is None:
            return self._prove()
        self._password = PasswordExchange(
            terms.role, terms.password, terms.psk, self._transcript, self._random
        )
        if terms.role == "a":
            self._send(_encode(_Password(self._password.message)))
        self._state = "swapping"
        return None

    def _swapped(self, theirs: bytes) -> None:
        assert self._password is not None
        psk = self._password.psk(theirs)
        if psk is None:
            return self._fail("bad-frame")
        self._psk = psk
        if self._terms.role == "b":
            # Tells nothing yet: it is a random point to whoever cannot compute the key.
            self._send(_encode(_Password(self._password.message)))
            self._state = "guarding"
        else:
            self._ask_to_guess()
        return None

    def _ask_to_guess(self) -> None:
        self._state = "guessing"
        self._outputs.append(Emit(Guess()))

    def _prove(self) -> None:
        self._send(_encode(_Proof(self._proof_mac(self._terms.role))))
        self._state = "proving"

    def _proved(self, mac_: bytes) -> None:
        if not hmac_module.compare_digest(mac_, self._proof_mac(self._peer_role)):
            return self._fail("bad-proof")
        if self._terms.role == "a":
            self._show()
            self._state = "showing"
        else:
            self._state = "watching"
        return None

    def _show(self) -> None:
        certificate = self._identity.certificate
        signature = self._identity.sign(self._statement(self._terms.role))
        plaintext = _encode((*msgspec.structs.astuple(certificate), signature))
        key = self._key("identity/", self._terms.role)
        self._send(_encode(_Shown(AESGCM(key).encrypt(bytes(12), plaintext, None))))

    def _shown(self, sealed: bytes) -> None:
        key = self._key("identity/", self._peer_role)
        try:
            signed = _SIGNED.decode(AESGCM(key).decrypt(bytes(12), sealed, None))
        except (InvalidTag, msgspec.DecodeError, ValueError, RecursionError):
            return self._fail("bad-proof")
        *fields, signature = msgspec.structs.astuple(signed)
        certificate = Certificate(*fields)
        if not certificate.holds() or not signed_by(
            certificate.device, self._statement(self._peer_role), signature
        ):
            return self._fail("bad-proof")
        if self._terms.expected not in (None, certificate.person):
            return self._fail("not-expected")
        self._peer = certificate
        self._state = "admitting"
        secret = derive(self._psk, self._transcript + b"p2pchat/1/contact")
        self._outputs.append(Emit(Proven(certificate, secret)))
        return None

    def _establish(self) -> None:
        assert self._peer is not None
        self._state = "established"
        self._deadline = None
        self._outputs.append(Emit(Established(self._peer, self._transcript)))

    def _fail(self, code: str) -> None:
        if self._state != "closed":
            self._send(_encode((_REFUSAL, code)))
            self._close(code)

    def _close(self, code: str) -> None:
        self._state = "closed"
        self._deadline = None
        self._outputs.append(Close(code))

    def _send(self, frame: bytes) -> None:
        self._outputs.append(Send(frame))

    def _key(self, use: str, role: str) -> bytes:
        return derive(self._psk, self._transcript + use.encode() + role.encode())

    def _proof_mac(self, role: str) -> bytes:
        return mac(self._key("mac/", role), self._transcript)

    def _done_mac(self) -> bytes:
        return mac(self._key("done", ""), self._transcript)

    def _statement(self, role: str) -> bytes:
        return b"p2pchat/1/handshake/" + role.encode() + self._transcript
