"""The one door for file names that came from a peer.

Whatever comes in, what goes out is one path part that exists nowhere but below the folder it is put
into, and that every common file system takes.
"""

import unicodedata
from collections.abc import Callable
from itertools import count

from p2pchat.text import printable

__all__ = ["PART_BYTES_MAX", "safe_part", "unique"]

PART_BYTES_MAX = 240
"""Most file systems take 255; some room for ` (12)`."""

_CHARACTERS_MAX = 1_024
_SUFFIX_BYTES_MAX = 32

_RESERVED = frozenset(
    [
        "con", "prn", "aux", "nul", "conin$", "conout$",
        *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³"),
    ]
)  # fmt: skip


def safe_part(name: str, *, hidden: bool = True) -> str:
    """`name` as one harmless path part; never empty, never `.` or `..`.

    Without `hidden` it has no dot in front: nothing of a peer's becomes somebody's `.bashrc`.
    """
    # Cut before anything that costs more the longer it is.
    name = unicodedata.normalize("NFC", printable(name[:_CHARACTERS_MAX]))
    name = "".join("_" if character in '/\\:*?"<>|\ufffd' else character for character in name)
    name = name.strip()
    if not hidden or name.startswith(".."):
        name = name.lstrip(". ")
    name = _shortened(name.rstrip(". "))
    if name.split(".")[0].rstrip().lower() in _RESERVED:
        name = "_" + name
    return name or "unnamed"


def _shortened(name: str) -> str:
    """At most PART_BYTES_MAX; a suffix that looks like one is kept."""
    if len(name.encode()) <= PART_BYTES_MAX:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not stem or not dot or len(suffix.encode()) > _SUFFIX_BYTES_MAX:
        stem, dot, suffix = name, "", ""
    room = PART_BYTES_MAX - len((dot + suffix).encode())
    # What is left of a character cut in two goes too.
    return (stem.encode()[:room].decode(errors="ignore") + dot + suffix).rstrip(". ")


def unique(name: str, taken: Callable[[str], bool], start: int = 1) -> str:
    """`name`, or `name (1)` and so on (before the suffix), until it is not `taken`.

    `start`: the first number to try, for whoever knows that those before it are taken.
    """
    if start == 1 and not taken(name):
        return name
    stem, dot, suffix = name.rpartition(".")
    if not dot or not stem:
        stem, dot, suffix = name, "", ""
    candidates = (f"{stem} ({number}){dot}{suffix}" for number in count(start))
    return next(candidate for candidate in candidates if not taken(candidate))
