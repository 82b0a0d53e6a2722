"""A statement of one's key, to be posted where only oneself can write: a web page, a profile.

    p2pproof1 | base32(length u16 | statement | signature 64 | checksum 4)

Base32 and lower case throughout, and read without regard to case, white space, punctuation and
markup, so that mail, HTML and chat programs may do to it what they do. The length says where it
ends, so no mark at the end can be lost. The lines for people around it are never read.
"""

import base64
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from p2pchat.core.bounds import PLACE_BYTES_MAX, PROOF_TEXT_MAX, PROOFS_MAX
from p2pchat.core.identity import Identity, digest, id_text, signed_by
from p2pchat.errors import BadInput, Error, Refused, Usage
from p2pchat.text import printable, tidy_name

__all__ = ["Proof", "find", "make"]

_MARK = "p2pproof"
_VERSION = "1"
_SIGNATURE, _CHECKSUM = 64, 4
_STATEMENT_MAX = 1_024
_LINE = 64
_HINT = "copy all of it again, from its page"


class Proof(msgspec.Struct, frozen=True, array_like=True):
    """What is signed. `time` in Unix seconds; `place`: where it is meant to be found, or empty."""

    person: bytes
    name: str
    time: int
    place: str

    def safe_name(self) -> str:
        return tidy_name(self.name, id_text(self.person)[:8])


_encode = msgspec.msgpack.Encoder().encode
_DECODER = msgspec.msgpack.Decoder(Proof)


def make(identity: Identity, now: float, place: str = "") -> str:
    """The text to post. Raises errors.Usage for a place that is too long or not printable."""
    place = place.strip()
    if len(place.encode("utf-8", "surrogatepass")) > PLACE_BYTES_MAX or printable(place) != place:
        raise Usage(
            "usage",
            f"the place is longer than {PLACE_BYTES_MAX} bytes, or has control characters",
            "give the address of the page: --for https://example.org/~ann",
        )
    name = identity.certificate.safe_name()
    statement = _encode(Proof(identity.person, name, int(now), place))
    signature = identity.sign_as_person(_signed(statement))
    data = len(statement).to_bytes(2, "big") + statement + signature
    data += _checksum(statement, signature)
    text = base64.b32encode(data).decode().rstrip("=").lower()
    lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
    date = datetime.fromtimestamp(int(now), UTC).date().isoformat()
    meant = f", to be found at {_ascii(place)}" if place else ""
    return "\n".join(
        [
            "-----BEGIN P2PCHAT PROOF-----",
            f"I am {_ascii(name)} on p2pchat. My id is",
            id_text(identity.person),
            f"Signed on {date}{meant}.",
            "",
            _MARK + _VERSION,
            *lines,
            "-----END P2PCHAT PROOF-----",
        ]
    )


def find(text: str, person: bytes) -> Proof:
    """The proof in `text` that `person` has signed.

    Raises errors.BadInput: `proof-foreign`, `proof-damaged`, `proof-newer`; errors.Refused:
    `proof-forged`, `proof-wrong-key`.
    """
    failure: Error | None = None
    for data in _candidates(text[:PROOF_TEXT_MAX]):
        try:
            proof = _read(data)
        except Error as error:
            failure = failure or error
            continue
        if proof.person == person:
            return proof
        failure = Refused(
            "proof-wrong-key",
            f"the proof is of another key: of {id_text(proof.person)[:8]}, "
            f"who goes by {proof.safe_name()!r}, and not of {id_text(person)[:8]}",
            "somebody may be between you: do not trust the connection before you have compared "
            "safety numbers; or the page is somebody else's",
        )
    if failure is not None:
        raise failure
    raise BadInput(
        "proof-foreign",
        "there is no p2pchat proof in this text",
        "give what p2pchat proof printed, with the line that begins with p2pproof1",
    )


def _candidates(text: str) -> Iterator[str]:
    """What follows each mark, as letters and digits: with markup taken out, and as it is."""
    seen: set[str] = set()
    plain = re.sub(r"<[^<>]{0,4096}>", "", text)
    for version in (plain, text):
        bare = re.sub(r"&#?\w{1,16};|\\[nrt]", "", version).lower()
        stream = re.sub(r"[^a-z0-9]", "", bare)
        for found in list(re.finditer(_MARK, stream))[:PROOFS_MAX]:
            rest = stream[found.end() : found.end() + _TEXT_MAX]
            if rest not in seen:
                seen.add(rest)
                yield rest


def _read(text: str) -> Proof:
    if text[:1] != _VERSION:
        if text[:1].isdigit():
            raise BadInput("proof-newer", "the proof was made by a newer p2pchat", "update p2pchat")
        raise _damaged()
    digits = re.sub(r"[^a-z2-7]", "", text[1:])
    length = int.from_bytes(_base32(digits[:8])[:2], "big")
    if not 0 < length <= _STATEMENT_MAX:
        raise _damaged()
    size = 2 + length + _SIGNATURE + _CHECKSUM
    data = _base32(digits[: -(-size * 8 // 5)])[:size]
    statement = data[2 : 2 + length]
    signature = data[2 + length : size - _CHECKSUM]
    if len(data) < size or data[-_CHECKSUM:] != _checksum(statement, signature):
        raise _damaged()
    try:
        proof = _DECODER.decode(statement)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise _damaged() from error
    if len(proof.person) != 32 or not 0 <= proof.time < 1 << 32:
        raise _damaged()
    if not signed_by(proof.person, _signed(statement), signature):
        raise Refused(
            "proof-forged",
            "the signature under the proof is not of the key that it names",
            "somebody has changed it: tell your friend, and compare safety numbers instead",
        )
    return proof


_TEXT_MAX = 1 + 4 * (2 + _STATEMENT_MAX + _SIGNATURE + _CHECKSUM)
"""Characters looked at after a mark: some may have come between."""


def _base32(digits: str) -> bytes:
    """As many whole bytes as these digits hold."""
    whole = len(digits) * 5 // 8
    number = int(digits.translate(_TO_DIGITS) or "0", 32)
    return (number >> (len(digits) * 5 - whole * 8)).to_bytes(whole, "big")


_TO_DIGITS = str.maketrans("abcdefghijklmnopqrstuvwxyz234567", "0123456789abcdefghijklmnopqrstuv")


def _damaged() -> BadInput:
    return BadInput("proof-damaged", "the proof was cut short or changed on its way", _HINT)


def _signed(statement: bytes) -> bytes:
    return b"p2pchat/1/proof" + statement


def _checksum(statement: bytes, signature: bytes) -> bytes:
    return digest("proof/checksum", statement, signature)[:_CHECKSUM]


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()
