"""The key file: the database's key, bare or under a passphrase.

    {"version": 1, "protection": "none", "key": hex}
    {"version": 1, "protection": "argon2id", "salt": hex, "opslimit": n, "memlimit": bytes,
     "box": hex}

`box` is the key in a libsodium secretbox under argon2id(passphrase, salt) (RFC 9106). To set,
change or remove a passphrase rewrites this file alone: the database's key stays what it is.
"""

import json
import unicodedata
from collections.abc import Callable
from typing import Any

import nacl.exceptions
import nacl.pwhash
import nacl.secret

from p2pchat.errors import Busy, Error, Refused

__all__ = ["KEY_BYTES", "Passphrase", "is_locked", "lock", "plain", "unlock"]

KEY_BYTES = 32
Passphrase = Callable[[], str | None]
"""Asked for the passphrase only where one is needed; None: there is none to be had."""

# libsodium's "moderate": 0.7 s on the machine it was measured on.
_OPS, _MEM = nacl.pwhash.argon2id.OPSLIMIT_MODERATE, nacl.pwhash.argon2id.MEMLIMIT_MODERATE
_OPS_MAX, _MEM_MAX = 32, 1 << 31
"""A key file that asks for more is damaged, or meant to stall us."""


def plain(key: bytes) -> bytes:
    """A key file without a passphrase."""
    return json.dumps({"version": 1, "protection": "none", "key": key.hex()}).encode()


def lock(key: bytes, passphrase: str, random: Callable[[int], bytes]) -> bytes:
    """A key file that only `passphrase` opens."""
    salt = random(nacl.pwhash.argon2id.SALTBYTES)
    box = _box(passphrase, salt, _OPS, _MEM)
    return json.dumps(
        {
            "version": 1,
            "protection": "argon2id",
            "salt": salt.hex(),
            "opslimit": _OPS,
            "memlimit": _MEM,
            "box": bytes(box.encrypt(key, random(box.NONCE_SIZE))).hex(),
        }
    ).encode()


def is_locked(data: bytes) -> bool:
    """Whether a passphrase is needed. Raises as `unlock` does."""
    return bool(_fields(data)["protection"] != "none")


def unlock(data: bytes, passphrase: Passphrase) -> bytes:
    """The key, 32 bytes.

    Raises Busy `home-locked` where no passphrase is given, Refused `passphrase-wrong`, Error
    `home-newer`, ValueError for what is no key file.
    """
    fields = _fields(data)
    if fields["protection"] == "none":
        key = bytes.fromhex(fields["key"])
    else:
        given = passphrase()
        if given is None:
            raise Busy(
                "home-locked",
                "the profile is locked by a passphrase",
                "run it in a terminal to be asked for it, or give --passphrase-file FILE or"
                " P2PCHAT_PASSPHRASE",
            )
        box = _box(given, fields["salt"], fields["opslimit"], fields["memlimit"])
        try:
            key = box.decrypt(fields["box"])
        except nacl.exceptions.CryptoError:
            raise Refused(
                "passphrase-wrong",
                "that is not the profile's passphrase",
                "try again: without it nobody can read the profile",
            ) from None
    if len(key) != KEY_BYTES:
        raise ValueError("length")
    return key


def _fields(data: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(data)
        if fields["version"] > 1:
            raise Error(
                "home-newer",
                "the profile's key was written by a newer p2pchat",
                "update p2pchat, or choose another --home",
            )
        if fields["version"] != 1:
            raise ValueError("version")
        if fields["protection"] == "none":
            return {"protection": "none", "key": str(fields["key"])}
        if fields["protection"] != "argon2id":
            raise ValueError("protection")
        salt, box = bytes.fromhex(fields["salt"]), bytes.fromhex(fields["box"])
        ops, mem = fields["opslimit"], fields["memlimit"]
        if len(salt) != nacl.pwhash.argon2id.SALTBYTES or len(box) != KEY_BYTES + 40:
            raise ValueError("length")
        if not (type(ops) is int and type(mem) is int):
            raise ValueError("type")
        if not (1 <= ops <= _OPS_MAX and 8_192 <= mem <= _MEM_MAX):
            raise ValueError("cost")
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("fields") from error
    return {"protection": "argon2id", "salt": salt, "box": box, "opslimit": ops, "memlimit": mem}


def _box(passphrase: str, salt: bytes, ops: int, mem: int) -> nacl.secret.SecretBox:
    # The same passphrase from another keyboard or system is the same bytes.
    text = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogateescape")
    return nacl.secret.SecretBox(
        nacl.pwhash.argon2id.kdf(KEY_BYTES, text, salt, opslimit=ops, memlimit=mem)
    )
