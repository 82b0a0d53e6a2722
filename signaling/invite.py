"""Invites and replies as values, and as blobs (docs/protocol.md, 1)."""

from dataclasses import dataclass, field

from signaling import blob, sdp
from signaling.blob import Kind
from signaling.envelope import ENVELOPE_MAX, derive
from signaling.errors import SignalingError
from signaling.sdp import Description

__all__ = ["EXPIRY_TOLERANCE_S", "TEXT_MAX", "Invite", "Reply"]

TEXT_MAX = 300
"""Characters of an invite: what fits into two text messages."""
EXPIRY_TOLERANCE_S = 300
"""Clocks of two people differ; the inviter's decides, so the guest's may be this much ahead."""

_SUITE = 1
_PASSWORD = 0x80
"""Beside the suite, so that a reader who cannot ask for a password takes it for a newer blob."""
_HEAD = 1 + 32 + 16 + 4 + 1
# log(58) / log(256): bytes that a base58 character holds.
_PAYLOAD_MAX = int((TEXT_MAX - len(blob.PREFIX)) * 0.73224) - 2 - 4


@dataclass(frozen=True, slots=True)
class Invite:
    """`inviter`: a public key, 32 bytes. `secret`: 16 random bytes. `expires`: Unix seconds.

    `app` is opaque here, at most 255 bytes; `description` is the waiting offer, if there is one;
    `password`: whether the handshake wants one besides the secret.
    """

    inviter: bytes
    secret: bytes = field(repr=False)
    expires: int
    app: bytes = b""
    description: Description | None = None
    password: bool = False

    def __post_init__(self) -> None:
        # All but `description` is of fixed place and length in the blob.
        if len(self.inviter) != 32 or len(self.secret) != 16 or len(self.app) > 255:
            raise ValueError("inviter 32 bytes, secret 16, app at most 255")
        if not 0 <= self.expires < 1 << 32:
            raise ValueError("expires is not a time of an invite")

    @property
    def id(self) -> bytes:
        """8 bytes that name the invite without telling its secret."""
        return derive(self.secret, b"p2pchat/1/invite/id")[:8]

    @property
    def slot_secret(self) -> bytes:
        return derive(self.secret, b"p2pchat/1/rendezvous")

    @property
    def psk(self) -> bytes:
        """What the handshake proves, 32 bytes."""
        return derive(self.secret, b"p2pchat/1/invite/psk")

    def carried(self) -> "Invite":
        """The invite as its blob carries it: with as many candidates as fit."""
        return self._parse(self._payload())

    def text(self) -> str:
        """The blob: at most 300 characters, as many candidates as fit into them.

        Raises ValueError if `app` leaves no room for the description.
        """
        return blob.encode(Kind.INVITE, self._payload())

    def _payload(self) -> bytes:
        head = (
            bytes((_SUITE | _PASSWORD if self.password else _SUITE,))
            + self.inviter
            + self.secret
            + self.expires.to_bytes(4, "big")
            + bytes((len(self.app),))
            + self.app
        )
        if self.description is None:
            return head
        return head + sdp.pack(self.description, _PAYLOAD_MAX - len(head))

    @classmethod
    def parse(cls, text: str, now: float) -> "Invite":
        """The invite in a blob.

        Raises SignalingError: `blob-foreign`, `blob-damaged`, `blob-newer`, `blob-kind`,
        `invite-expired`.
        """
        kind, payload = blob.decode(text)
        if kind is not Kind.INVITE:
            raise SignalingError(
                "blob-kind",
                "this is a reply, not an invite",
                "paste it where p2pchat invite waits, or run: p2pchat reply BLOB",
            )
        invite = cls._parse(payload)
        if now > invite.expires + EXPIRY_TOLERANCE_S:
            raise SignalingError(
                "invite-expired", "this invite has expired", "ask your friend for a new one"
            )
        return invite

    @classmethod
    def _parse(cls, payload: bytes) -> "Invite":
        if len(payload) < _HEAD or len(payload) < _HEAD + payload[53]:
            raise SignalingError(
                "blob-damaged", "this invite is incomplete", "ask your friend for a new one"
            )
        if payload[0] & ~_PASSWORD != _SUITE:
            raise SignalingError(
                "blob-newer",
                "this invite uses cryptography that this p2pchat does not know",
                "update p2pchat and try again",
            )
        rest = payload[_HEAD + payload[53] :]
        return cls(
            payload[1:33],
            payload[33:49],
            int.from_bytes(payload[49:53], "big"),
            payload[_HEAD : _HEAD + payload[53]],
            sdp.unpack(rest) if rest else None,
            bool(payload[0] & _PASSWORD),
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """The guest's answer, to be pasted back."""

    invite_id: bytes
    envelope: bytes

    def text(self) -> str:
        return blob.encode(Kind.REPLY, self.invite_id + self.envelope)

    @classmethod
    def parse(cls, text: str) -> "Reply":
        """Raises SignalingError: as `Invite.parse`, but for the expiry."""
        kind, payload = blob.decode(text)
        if kind is not Kind.REPLY:
            raise SignalingError(
                "blob-kind",
                "this is an invite, not a reply",
                "your friend runs p2pchat join with it and sends you the reply",
            )
        if not 8 < len(payload) <= 8 + ENVELOPE_MAX:
            raise SignalingError(
                "blob-damaged", "this reply is incomplete", "ask your friend for it again"
            )
        return cls(payload[:8], payload[8:])
