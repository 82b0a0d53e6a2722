"""Keys and who they belong to: a person key certifies a device key, which certifies a prekey.

Ed25519 is verified by PyNaCl alone: OpenSSL accepts keys that libsodium refuses, and two verifiers
would mean two histories (docs/protocol.md, suite 1). Private halves stay inside `Identity`.
"""

import base64
import functools
import hashlib
import hmac as hmac_module
from collections.abc import Callable
from typing import NewType

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from nacl.bindings import crypto_sign_BYTES, crypto_sign_open
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey

from p2pchat.text import tidy_name

__all__ = [
    "Certificate",
    "DeviceKey",
    "Identity",
    "PersonKey",
    "Random",
    "derive",
    "digest",
    "direct_room",
    "id_range",
    "id_text",
    "mac",
    "signed_by",
]

PersonKey = NewType("PersonKey", bytes)
DeviceKey = NewType("DeviceKey", bytes)
Random = Callable[[int], bytes]
"""Gives that many random bytes; handed in, so that tests repeat."""

_SUITE_CONTEXT = "p2pchat/1/"


def digest(context: str, *parts: bytes) -> bytes:
    """SHA-256 of the context string and the parts, 32 bytes."""
    hasher = hashlib.sha256((_SUITE_CONTEXT + context).encode())
    for part in parts:
        hasher.update(part)
    return hasher.digest()


def mac(key: bytes, *parts: bytes) -> bytes:
    """HMAC-SHA-256, 32 bytes."""
    return hmac_module.digest(key, b"".join(parts), "sha256")


_EMPTY_SALT = bytes(32)


def derive(key: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 with an empty salt, 32 bytes (RFC 5869): one extract, one expand."""
    return hmac_module.digest(
        hmac_module.digest(_EMPTY_SALT, key, "sha256"), info + b"\x01", "sha256"
    )


_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_ID_CHARACTERS = 52
"""Of 32 bytes in base32 without padding (RFC 4648)."""


@functools.lru_cache(4_096)
def id_text(key: bytes) -> str:
    """32 bytes as 52 characters of lower-case base32."""
    return base64.b32encode(key).decode().rstrip("=").lower()


def id_range(prefix: str) -> tuple[bytes, bytes] | None:
    """The ids that begin with `prefix` as text: the first, and the first beyond them.

    None if nothing of 32 bytes is written so.
    """
    if not prefix or len(prefix) > _ID_CHARACTERS:
        return None
    value = 0
    for character in prefix:
        digit = _BASE32.find(character)
        if digit < 0:
            return None
        value = value * 32 + digit
    # The text has four bits more than the id, all zero.
    shift = 5 * (_ID_CHARACTERS - len(prefix)) - 4
    first = value << shift if shift >= 0 else value >> -shift
    end = (value + 1) << shift if shift >= 0 else first + 1
    if first >= 1 << 256:
        return None
    return first.to_bytes(33, "big")[1:], min(end, (1 << 256) - 1).to_bytes(32, "big")


def signed_by(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes) over `message` is `key`'s. Never raises."""
    if len(key) != 32 or len(signature) != crypto_sign_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, key)
    except (CryptoError, ValueError):
        return False
    return True


def direct_room(one: bytes, other: bytes) -> bytes:
    """The id of the room of two persons: nothing needs to be agreed."""
    low, high = sorted((one, other))
    return digest("direct", low, high)


class Certificate(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a device shows of itself: public keys, each certified by the one before."""

    person: bytes
    device: bytes
    device_signature: bytes
    prekey: bytes
    prekey_signature: bytes
    name: str

    def holds(self) -> bool:
        """Whether every signature in it is right and every key usable."""
        if not (len(self.person) == len(self.device) == len(self.prekey) == 32):
            return False
        if len(self.name.encode("utf-8", "surrogatepass")) > 256:
            return False
        try:
            # An all-zero result, which a small-order point gives, raises here.
            _PROBE.exchange(X25519PublicKey.from_public_bytes(self.prekey))
        except ValueError:
            return False
        return signed_by(
            self.person, _device_statement(self.device), self.device_signature
        ) and signed_by(
            self.device, _prekey_statement(self.person, self.prekey), self.prekey_signature
        )

    def safe_name(self) -> str:
        """The name its owner chose, safe to print."""
        return tidy_name(self.name, id_text(self.person)[:8])


# Any scalar serves: it only asks whether the point is of small order.
_PROBE = X25519PrivateKey.from_private_bytes(bytes(range(32)))


def _device_statement(device: bytes) -> bytes:
    return b"p2pchat/1/device" + device


def _prekey_statement(person: bytes, prekey: bytes) -> bytes:
    # Names the person, so that nobody can certify somebody else's device as its own.
    return b"p2pchat/1/prekey" + person + prekey


class Identity(msgspec.Struct, frozen=True, array_like=True):
    """The private halves of one person on one device. Stored in the encrypted profile only."""

    person_seed: bytes
    device_seed: bytes
    prekey_secret: bytes
    certificate: Certificate

    def __repr__(self) -> str:
        return f"Identity({id_text(self.certificate.person)})"

    @classmethod
    def create(cls, name: str, random: Random) -> "Identity":
        """A new person with a first device."""
        person, device = SigningKey(random(32)), SigningKey(random(32))
        return cls._certified(person, device, random(32), name)

    def renamed(self, name: str) -> "Identity":
        """The same keys under another name."""
        certificate = msgspec.structs.replace(self.certificate, name=name)
        return msgspec.structs.replace(self, certificate=certificate)

    @classmethod
    def _certified(
        cls, person: SigningKey, device: SigningKey, prekey_secret: bytes, name: str
    ) -> "Identity":
        prekey = X25519PrivateKey.from_private_bytes(prekey_secret).public_key().public_bytes_raw()
        device_key = bytes(device.verify_key)
        return cls(
            bytes(person),
            bytes(device),
            prekey_secret,
            Certificate(
                person=bytes(person.verify_key),
                device=device_key,
                device_signature=person.sign(_device_statement(device_key)).signature,
                prekey=prekey,
                prekey_signature=device.sign(
                    _prekey_statement(bytes(person.verify_key), prekey)
                ).signature,
                name=name,
            ),
        )

    def holds(self) -> bool:
        """Whether the certificate holds, and is that of these private halves."""
        try:
            person, device = SigningKey(self.person_seed), SigningKey(self.device_seed)
            made = self._certified(person, device, self.prekey_secret, self.certificate.name)
        except (CryptoError, ValueError):
            return False
        ours, shown = made.certificate, self.certificate
        return shown.holds() and (ours.person, ours.device, ours.prekey) == (
            shown.person,
            shown.device,
            shown.prekey,
        )

    @property
    def person(self) -> bytes:
        return self.certificate.person

    @property
    def device(self) -> bytes:
        return self.certificate.device

    def secret_with(self, other: Certificate) -> bytes:
        """What we share with another member of a room by our prekeys alone, 32 bytes."""
        own = X25519PrivateKey.from_private_bytes(self.prekey_secret)
        shared = own.exchange(X25519PublicKey.from_public_bytes(other.prekey))
        low, high = sorted((self.person, other.person))
        return derive(shared, b"p2pchat/1/member" + low + high)

    def sign(self, message: bytes) -> bytes:
        """The device key's signature, 64 bytes."""
        return _signing_key(self.device_seed).sign(message).signature

    def sign_as_person(self, message: bytes) -> bytes:
        """The person key's signature, 64 bytes: for what holds for all of one's devices."""
        return SigningKey(self.person_seed).sign(message).signature


@functools.lru_cache(4)
def _signing_key(seed: bytes) -> SigningKey:
    """Made once: that takes as long as to sign with it."""
    return SigningKey(seed)
