"""From strangers on one network to an invite: two machines, six frames, words to compare.

    end    state      input      next
    guest  (start)               calling    send commitment
    guest  calling    key        looking    send key
    guest  looking    listing    listed     Listed is emitted
    guest  listed     knock()    knocking   send knock
    guest  knocking   answer     closed     Accepted or Refused is emitted
    host   listening  commitment keyed      send key
    host   keyed      key        listing    send listing; a key other than committed to -> closed
    host   listing    knock      deciding   Knocked is emitted
    host   deciding   accept()   closed     send answer
    host   deciding   refuse()   closed     send answer
    any    any        else       closed     Broken is emitted

Neither end knows the other, so whoever can change what the network carries may stand between. What
tells is `check`, 33 bits that both people see as words: the guest commits to its key before it sees
the host's, and the host's is sent before the guest's is shown, so whoever stands between has to fix
both keys of his own before he can know what the words will be. Each knock is one try in 2^33, made
before two people who compare. Who only listens learns nothing: all but keys is sealed. What is
listed, knocked with and delivered is the caller's. Time is too.
"""

import hashlib
import hmac
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from signaling.envelope import derive
from signaling.pairing import FRAME_MAX

__all__ = [
    "CHECK_BITS",
    "PAYLOAD_MAX",
    "REFUSALS",
    "Accepted",
    "Broken",
    "Guest",
    "Host",
    "Knocked",
    "Listed",
    "Output",
    "Refused",
    "Send",
]

CHECK_BITS = 33
PAYLOAD_MAX = FRAME_MAX - 32
"""Bytes of a listing, a knock or what is delivered: a frame less its framing and the tag."""
REFUSALS = ("knock-declined", "knock-busy")
_VERSION = 1
_COMMITMENT, _HOST_KEY, _GUEST_KEY, _LISTING, _KNOCK, _ANSWER = range(1, 7)
_KEY = 32
_CONTEXT = b"p2pchat/1/knock"
Random = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Send:
    frame: bytes


@dataclass(frozen=True, slots=True)
class Listed:
    """Who is at the other end, by its own word."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Knocked:
    """The guest asks to be let in: `accept` or `refuse`."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Accepted:
    payload: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """One of REFUSALS."""

    code: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The other end does not keep to this."""


Output = Send | Listed | Knocked | Accepted | Refused | Broken
State = Literal[
    "calling", "looking", "listed", "knocking", "listening", "keyed", "listing", "deciding",
    "closed",
]  # fmt: skip


class _End:
    def __init__(self, random: Random, state: State) -> None:
        self.state: State = state
        self._outputs: deque[Output] = deque()
        self._private = X25519PrivateKey.from_private_bytes(random(_KEY))
        self._public = self._private.public_key().public_bytes_raw()
        self._key = b""

    def outputs(self) -> Iterator[Output]:
        """What to do now, in order; what is done meanwhile may add to it."""
        while self._outputs:
            yield self._outputs.popleft()

    @property
    def check(self) -> int:
        """CHECK_BITS that both ends have, if nobody stands between; once there is a listing."""
        assert self._key
        found = int.from_bytes(derive(self._key, _CONTEXT + b"/check"), "big")
        return found >> 256 - CHECK_BITS

    def _send(self, kind: int, payload: bytes) -> None:
        self._outputs.append(Send(bytes((_VERSION, kind)) + payload))

    def _agree(self, guest: bytes, host: bytes) -> bool:
        """Make the key that both have; False for a key that an honest peer would not send."""
        theirs = host if self._public == guest else guest
        try:
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(theirs))
        except ValueError:  # a point of small order
            return False
        self._key = derive(shared, _CONTEXT + hashlib.sha256(guest + host).digest())
        return True

    def _seal(self, kind: int, payload: bytes) -> None:
        assert len(payload) <= PAYLOAD_MAX
        # The key is of this exchange alone, and each kind is sealed once.
        self._send(kind, self._box(kind).encrypt(bytes(12), payload, _CONTEXT))

    def _open(self, kind: int, sealed: bytes) -> bytes | None:
        try:
            return self._box(kind).decrypt(bytes(12), sealed, _CONTEXT)
        except (InvalidTag, ValueError):
            return None

    def _box(self, kind: int) -> AESGCM:
        return AESGCM(derive(self._key, _CONTEXT + b"/seal" + bytes((kind,))))

    def _break(self) -> None:
        if self.state != "closed":
            self.state = "closed"
            self._outputs.append(Broken())


class Guest(_End):
    """Who looks, and may knock."""

    def __init__(self, random: Random) -> None:
        super().__init__(random, "calling")
        self._send(_COMMITMENT, _commitment(self._public))

    def receive(self, frame: bytes) -> None:
        kind, payload = _split(frame)
        match self.state, kind:
            case "calling", 2 if len(payload) == _KEY and self._agree(self._public, payload):
                self.state = "looking"
                self._send(_GUEST_KEY, self._public)
            case "looking", 4 if (listing := self._open(kind, payload)) is not None:
                self.state = "listed"
                self._outputs.append(Listed(listing))
            case "knocking", 6 if answer := self._open(kind, payload):
                self._answered(answer)
            case _:
                self._break()

    def knock(self, payload: bytes) -> None:
        assert self.state == "listed"
        self.state = "knocking"
        self._seal(_KNOCK, payload)

    def _answered(self, answer: bytes) -> None:
        said = answer[1:].decode("ascii", "replace")
        if answer[0] == 1:
            self.state = "closed"
            self._outputs.append(Accepted(answer[1:]))
        elif answer[0] == 0 and said in REFUSALS:
            self.state = "closed"
            self._outputs.append(Refused(said))
        else:
            self._break()


class Host(_End):
    """Who is seen: `listing` says as whom."""

    def __init__(self, listing: bytes, random: Random) -> None:
        super().__init__(random, "listening")
        self._listing = listing
        self._committed = b""

    def receive(self, frame: bytes) -> None:
        kind, payload = _split(frame)
        match self.state, kind:
            case "listening", 1 if len(payload) == _KEY:
                self.state, self._committed = "keyed", payload
                self._send(_HOST_KEY, self._public)
            case "keyed", 3 if self._kept(payload) and self._agree(payload, self._public):
                self.state = "listing"
                self._seal(_LISTING, self._listing)
            case "listing", 5 if (knock := self._open(kind, payload)) is not None:
                self.state = "deciding"
                self._outputs.append(Knocked(knock))
            case _:
                self._break()

    def accept(self, payload: bytes) -> None:
        self._answer(b"\1" + payload)

    def refuse(self, code: str) -> None:
        assert code in REFUSALS
        self._answer(b"\0" + code.encode())

    def _answer(self, answer: bytes) -> None:
        assert self.state == "deciding"
        self.state = "closed"
        self._seal(_ANSWER, answer)

    def _kept(self, key: bytes) -> bool:
        """Whether this is the key that was committed to."""
        return len(key) == _KEY and hmac.compare_digest(_commitment(key), self._committed)


def _commitment(key: bytes) -> bytes:
    return hashlib.sha256(_CONTEXT + b"/commitment" + key).digest()


def _split(frame: bytes) -> tuple[int, bytes]:
    """Kind and payload; kind 0 if it is no frame of ours."""
    if not 2 < len(frame) <= FRAME_MAX or frame[0] != _VERSION:
        return 0, b""
    return frame[1], frame[2:]
