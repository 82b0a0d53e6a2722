"""The one door for file names that came from a peer.

Whatever comes in, what goes out is one path part that exists nowhere but below the folder it is put
into, and that every common file system takes.
"""

import unicodedata
from collections.abc import Callable

from p2pchat.text import printable

__all__ = ["PART_BYTES_MAX", "safe_part", "unique"]

PART_BYTES_MAX = 240
"""Most file systems take 255; some room for ` (12)`."""

_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))]
)


def safe_part(name: str) -> str:
    """`name` as one harmless path part; never empty, never `.` or `..`."""
    name = unicodedata.normalize("NFC", printable(name))
    name = "".join("_" if character in '/\\:*?"<>|\ufffd' else character for character in name)
    name = name.strip().rstrip(". ")
    if name.split(".")[0].lower() in _RESERVED:
        name = "_" + name
    while len(name.encode()) > PART_BYTES_MAX:
        stem, dot, suffix = name.rpartition(".")
        name = f"{stem[:-1]}.{suffix}" if dot and len(stem) > 1 and len(suffix) < 16 else name[:-1]
    # A leading dot would hide it; `..` is gone with the trailing dots.
    name = name.lstrip(".").strip() if name.startswith("..") else name
    return name or "unnamed"


def unique(name: str, taken: Callable[[str], bool]) -> str:
    """`name`, or `name (1)` and so on (before the suffix), until it is not `taken`."""
    if not taken(name):
        return name
    stem, dot, suffix = name.rpartition(".")
    if not dot or not stem:
        stem, dot, suffix = name, "", ""
    number = 1
    while taken(candidate := f"{stem} ({number}){dot}{suffix}"):
        number += 1
    return candidate
