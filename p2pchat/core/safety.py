"""Safety numbers: what two people read to each other to know that nobody is between them.

The digits are built as Signal's numeric fingerprint is (libsignal, `protocol/src/fingerprint.rs`):
for each person 5,200 rounds of SHA-512 over the key, of which 30 bytes give 30 digits, and the two
in sorted order, so that both see the same. Who stands between Ann and Bob needs a key with Bob's 30
digits to show to Ann, and one with Ann's for Bob: 2^99.6 tries each, of 5,200 hashes.

The words cover both keys at once, so there a pair of false keys has to agree with each other only:
2^44 tries for 88 bits. Each costs an Argon2id of 64 MiB, and so the words are no weak spot either;
but digits are more, and are what counts.
"""

import hashlib
from dataclasses import dataclass

from mnemonic import Mnemonic
from nacl.pwhash import argon2id

from p2pchat.core.identity import digest

__all__ = ["WORD_BITS", "SafetyNumber", "safety_number"]

_ROUNDS = 5_200
_CHUNKS = 6
_WORDS = 8
_BITS_OF_A_WORD = 11
WORD_BITS = _WORDS * _BITS_OF_A_WORD
_OPS, _MEMORY = 3, 64 << 20
"""Argon2id's, as libsodium counts them: a tenth of a second."""


@dataclass(frozen=True, slots=True)
class SafetyNumber:
    """`digits`: 12 groups of 5. `words`: 8 of BIP-39's English list. `qr`: what a QR code says."""

    digits: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def qr(self) -> str:
        # Upper case and digits alone make the smaller code.
        return "P2PCHAT:1:" + "".join(self.digits)


def safety_number(one: bytes, other: bytes) -> SafetyNumber:
    """Of two person keys, in either order. Takes a tenth of a second, and 64 MiB."""
    low, high = sorted((_half(one), _half(other)))
    return SafetyNumber((*low, *high), _words(*sorted((one, other))))


def _half(key: bytes) -> tuple[str, ...]:
    found = b"p2pchat/1/safety" + key
    for _ in range(_ROUNDS):
        found = hashlib.sha512(found + key).digest()
    chunks = (found[5 * chunk : 5 * chunk + 5] for chunk in range(_CHUNKS))
    return tuple(f"{int.from_bytes(chunk, 'big') % 100_000:05}" for chunk in chunks)


def _words(low: bytes, high: bytes) -> tuple[str, ...]:
    salt = digest("safety/words")[: argon2id.SALTBYTES]
    found = argon2id.kdf(32, low + high, salt, opslimit=_OPS, memlimit=_MEMORY)
    number = int.from_bytes(found[: WORD_BITS // 8], "big")
    words = Mnemonic("english").wordlist
    places = range(WORD_BITS - _BITS_OF_A_WORD, -1, -_BITS_OF_A_WORD)
    return tuple(words[number >> place & 0x7FF] for place in places)
