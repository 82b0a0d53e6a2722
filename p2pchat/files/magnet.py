"""Magnet links of ours (docs/protocol.md, 9; BEP 9 for the rest)."""

import base64
import binascii
from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, urlsplit

from p2pchat.errors import BadInput

__all__ = ["Magnet"]

_LENGTH_MAX = 4_096


@dataclass(frozen=True, slots=True)
class Magnet:
    """`info_hash`: v1, 20 bytes. `size`: of the ciphertext. `key`: 32 bytes."""

    info_hash: bytes
    name: str
    size: int
    key: bytes = field(repr=False)

    def text(self) -> str:
        key = base64.urlsafe_b64encode(self.key).decode().rstrip("=")
        name = quote(self.name, safe="")
        return f"magnet:?xt=urn:btih:{self.info_hash.hex()}&dn={name}&xl={self.size}&x.p2pkey={key}"

    @classmethod
    def parse(cls, text: str) -> "Magnet":
        """Raises BadInput `magnet-malformed`."""
        try:
            if len(text) > _LENGTH_MAX:
                raise ValueError("length")
            text = "".join(text.split()).strip("\"'“”‘’<>`")
            text.encode()  # a lone surrogate would be found out only when it is printed
            parts = urlsplit(text)
            fields = parse_qs(parts.query, strict_parsing=True, max_num_fields=32)
            topic = next(xt for xt in fields["xt"] if xt.startswith("urn:btih:"))
            size, encoded = fields["xl"][0], fields["x.p2pkey"][0]
            if parts.scheme != "magnet" or not size.isascii() or not size.isdigit():
                raise ValueError("fields")
            hashed = topic.removeprefix("urn:btih:")
            if len(hashed) == 40:
                info_hash = bytes.fromhex(hashed)
            else:
                info_hash = base64.b32decode(hashed, casefold=True)
            key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True)
            if len(info_hash) != 20 or len(key) != 32 or not 0 < int(size) < 1 << 50:
                raise ValueError("sizes")
        except (ValueError, KeyError, StopIteration, binascii.Error) as error:
            raise BadInput(
                "magnet-malformed",
                "this is not a whole p2pchat magnet link",
                "paste all of it, in quotes, from magnet:?xt= to the end of x.p2pkey",
            ) from error
        return cls(info_hash, fields.get("dn", ["unnamed"])[0], int(size), key)
