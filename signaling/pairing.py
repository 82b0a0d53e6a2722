"""From a spoken code to an invite: two machines, four frames, one guess (docs/protocol.md, 3a).

    end    state      input      next
    guest  (start)               calling    send call
    guest  calling    answer     guessing   Guess is emitted; guess() sends proof -> proving
    guest  proving    delivery   closed     Delivered is emitted
    guest  proving    refusal    closed     Refused is emitted
    host   listening  call       answering  send answer
    host   answering  proof      guessing   Guess is emitted; guess() looks at it:
                                            wrong -> send refusal, Wrong is emitted -> closed
                                            right -> Right is emitted, send delivery -> closed
    host   guessing   refuse()   closed     send refusal
    any    any        else       closed     Broken is emitted

Neither call nor answer tells anything of the words, to who listens or who takes part. The guest
shows its proof first, which the host counts before it looks: so whoever calls tests one code for
each proof, and whoever answers in the host's place tests one for each join. Time is the caller's:
an attempt that takes too long is dropped.
"""

import hmac
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from signaling.envelope import derive
from signaling.pake import MESSAGE_BYTES, Exchange

__all__ = [
    "FRAME_MAX",
    "REFUSALS",
    "Broken",
    "Delivered",
    "Guess",
    "Guest",
    "Host",
    "Output",
    "Refused",
    "Right",
    "Send",
    "Wrong",
]

FRAME_MAX = 900
"""Bytes: with what a carrier adds, one BEP 44 item."""
REFUSALS = ("password-wrong", "invite-locked", "invite-used", "invite-withdrawn")
_VERSION = 1
_CALL, _ANSWER, _PROOF, _DELIVERY, _REFUSAL = 1, 2, 3, 4, 5
_MAC = 32
_CONTEXT = b"p2pchat/1/pairing"
Random = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Send:
    frame: bytes


@dataclass(frozen=True, slots=True)
class Guess:
    """A code is about to be tested: answer with `guess`, or (host) `refuse`, or leave."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """The guest's code was wrong; it outlives `left` more."""

    left: int


@dataclass(frozen=True, slots=True)
class Right:
    """The guest's code was right; the delivery follows."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What the host had for who knows the code."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The host's no: one of REFUSALS; `left`: tries that are left by its word."""

    code: str
    left: int


@dataclass(frozen=True, slots=True)
class Broken:
    """The other end does not keep to this."""


Output = Send | Guess | Wrong | Right | Delivered | Refused | Broken
State = Literal["calling", "proving", "listening", "answering", "guessing", "closed"]


class _End:
    def __init__(
        self, role: Literal["a", "b"], nameplate: int, secret: bytes, random: Random, state: State
    ) -> None:
        self.state: State = state
        self._outputs: deque[Output] = deque()
        self._exchange = Exchange(role, secret, _CONTEXT + nameplate.to_bytes(2, "big"), random)
        self._key = b""

    def outputs(self) -> Iterator[Output]:
        """What to do now, in order; what is done meanwhile may add to it."""
        while self._outputs:
            yield self._outputs.popleft()

    def _send(self, kind: int, payload: bytes) -> None:
        self._outputs.append(Send(bytes((_VERSION, kind)) + payload))

    def _emit(self, output: Output) -> None:
        self._outputs.append(output)

    def _swap(self, message: bytes) -> bool:
        key = self._exchange.key(message) if len(message) == MESSAGE_BYTES else None
        self._key = key or b""
        return key is not None

    def _break(self) -> None:
        self.state = "closed"
        self._emit(Broken())

    def _proof(self) -> bytes:
        return hmac.digest(derive(self._key, _CONTEXT + b"/proof"), _CONTEXT, "sha256")

    def _box(self) -> AESGCM:
        return AESGCM(derive(self._key, _CONTEXT + b"/delivery"))


class Guest(_End):
    """Who was told the code. `secret`: `Code.secret`."""

    def __init__(self, nameplate: int, secret: bytes, random: Random) -> None:
        super().__init__("a", nameplate, secret, random, "calling")
        self._send(_CALL, self._exchange.message)

    def receive(self, frame: bytes) -> None:
        kind, payload = _split(frame)
        match self.state, kind:
            case "closed", _:
                return
            case "calling", 2 if self._swap(payload):
                self.state = "guessing"
                self._emit(Guess())
            case "proving", 4:
                self._open(payload)
            case "proving", 5 if payload[1:].decode("ascii", "replace") in REFUSALS:
                self.state = "closed"
                self._emit(Refused(payload[1:].decode(), payload[0]))
            case _:
                self._break()

    def guess(self) -> None:
        """Show the proof: the host, or whoever is there in its place, can test one code on it."""
        assert self.state == "guessing"
        self.state = "proving"
        self._send(_PROOF, self._proof())

    def _open(self, sealed: bytes) -> None:
        try:
            payload = self._box().decrypt(bytes(12), sealed, _CONTEXT)
        except (InvalidTag, ValueError):
            return self._break()
        self.state = "closed"
        self._emit(Delivered(payload))
        return None


class Host(_End):
    """Who made the code; `payload` is for the guest."""

    def __init__(self, nameplate: int, secret: bytes, payload: bytes, random: Random) -> None:
        super().__init__("b", nameplate, secret, random, "listening")
        self._payload = payload
        self._guessed = b""

    def receive(self, frame: bytes) -> None:
        kind, payload = _split(frame)
        match self.state, kind:
            case "closed", _:
                return
            case "listening", 1 if self._swap(payload):
                self.state = "answering"
                self._send(_ANSWER, self._exchange.message)
            case "answering", 3 if len(payload) == _MAC:
                self.state = "guessing"
                self._guessed = payload
                self._emit(Guess())
            case _:
                self._break()

    def guess(self, left: int) -> None:
        """The guess is counted: look at it. `left` more are allowed if it is wrong."""
        assert self.state == "guessing"
        if hmac.compare_digest(self._guessed, self._proof()):
            self.state = "closed"
            self._emit(Right())
            # The key is of this exchange alone, and seals this once.
            self._send(_DELIVERY, self._box().encrypt(bytes(12), self._payload, _CONTEXT))
        else:
            self.refuse("password-wrong", left)
            self._emit(Wrong(left))

    def refuse(self, code: str, left: int = 0) -> None:
        assert self.state == "guessing"
        self.state = "closed"
        self._send(_REFUSAL, bytes((left,)) + code.encode())


def _split(frame: bytes) -> tuple[int, bytes]:
    """Kind and payload; kind 0 if it is no frame of ours."""
    if not 2 < len(frame) <= FRAME_MAX or frame[0] != _VERSION:
        return 0, b""
    return frame[1], frame[2:]
