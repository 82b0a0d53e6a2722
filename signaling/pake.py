"""One SPAKE2 exchange (RFC 9382's ancestor, as magic-wormhole runs it), typed and strict.

Two ends that share a weak secret get a strong key, or, where the secrets differ, two keys that tell
nothing: who took part has tested one guess, who listened none. Neither message lets anybody test
anything; the first proof of the key does. Group Ed25519, password to scalar by HKDF, 33 bytes each
way. Not constant time, so run it once for each attempt and bound the attempts.
"""

from collections.abc import Callable
from typing import Literal

from spake2 import SPAKE2_A, SPAKE2_B, SPAKEError
from spake2.ed25519_basic import NotOnCurve

__all__ = ["MESSAGE_BYTES", "Exchange"]

MESSAGE_BYTES = 33


class Exchange:
    """One side of it; `context` is what both must agree on besides the secret.

    Send `message`, then give what came back to `key`, once.
    """

    def __init__(
        self,
        role: Literal["a", "b"],
        secret: bytes,
        context: bytes,
        random: Callable[[int], bytes],
    ) -> None:
        side = SPAKE2_A if role == "a" else SPAKE2_B
        self._side = side(secret, idA=context + b"a", idB=context + b"b", entropy_f=random)
        self.message: bytes = self._side.start()

    def key(self, message: bytes) -> bytes | None:
        """The key, 32 bytes; None if `message` is none that an honest peer could send."""
        if len(message) != MESSAGE_BYTES:
            return None
        try:
            key: bytes = self._side.finish(message)
        except (SPAKEError, NotOnCurve, ValueError):
            return None
        return key
