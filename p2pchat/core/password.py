"""The password of an invite, in the handshake: SPAKE2 before any MAC (docs/protocol.md, 6).

    a  sends its message once T is known
    b  answers with its own
    a  proves the new psk first; b counts that on disk as a guess, and only then looks at it

So whoever has the blob alone tests one password for each proof it shows, and no proof is shown
that was not counted. Both messages are bound to T: a middleman's two legs have two keys.
"""

import unicodedata
from typing import Literal

from p2pchat.core.identity import Random, derive, digest
from signaling.pake import Exchange

__all__ = ["PasswordExchange", "password_key"]


def password_key(password: str) -> bytes:
    """What is kept of a password, and what SPAKE2 takes; one for all ways to type its letters."""
    return digest("invite/password", unicodedata.normalize("NFKC", password).encode())


class PasswordExchange:
    """One side of it. Send `message`, then give what came back to `psk`, once."""

    def __init__(
        self, role: Literal["a", "b"], key: bytes, psk: bytes, transcript: bytes, random: Random
    ) -> None:
        self._psk = psk
        self._exchange = Exchange(role, key, b"p2pchat/1/password" + transcript, random)
        self.message = self._exchange.message

    def psk(self, message: bytes) -> bytes | None:
        """The handshake's psk from here on; None if the peer's message is malformed."""
        key = self._exchange.key(message)
        return None if key is None else derive(self._psk + key, b"p2pchat/1/invite/password")
