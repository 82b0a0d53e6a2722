"""The one door for text that came from a peer, on its way to a terminal or into a name; and how a
length of time reads.

Knows Unicode categories and nothing else. A terminal obeys control characters wherever they come
from, so whatever is printed passes `printable` first; names are checked once, where they enter.
"""

import unicodedata

from p2pchat.errors import BadInput

__all__ = ["NAME_BYTES_MAX", "checked_name", "folded", "is_blank", "printable", "span", "tidy_name"]

NAME_BYTES_MAX = 64
"""UTF-8 bytes of a display name: sixteen of the widest characters; the invite must stay short."""

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Cc: controls, among them ESC and C1. Cf: bidi overrides, zero width. Cs: lone surrogates.
# Zl, Zp: line and paragraph separators. Co, Cn: nothing a terminal could show.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Joiners are part of writing (Persian, Indic scripts, emoji), and harmless alone.
_JOINERS = frozenset("\u200c\u200d")


def printable(text: str, *, lines: bool = False) -> str:
    """`text` with everything that a terminal might obey replaced by U+FFFD.

    With `lines`, newline and tab are kept (a message may have several lines; a name may not).
    """
    if text.isascii() and text.isprintable():
        return text
    kept = "\n\t" if lines else ""
    return "".join(
        character
        if character in kept
        or character in _JOINERS
        or unicodedata.category(character) not in _UNSAFE
        else _REPLACEMENT
        for character in text
    )


def is_blank(text: str) -> bool:
    """Whether nothing of it could be seen."""
    return all(
        character.isspace() or character in _JOINERS or unicodedata.category(character) in _UNSAFE
        for character in text
    )


def folded(name: str) -> str:
    """A name without its case, for whoever types it so."""
    return unicodedata.normalize("NFC", name.casefold())


def checked_name(name: str) -> str:
    """A name as a person typed it, stripped and NFC-normalised.

    Raises BadInput: `name-empty`, `name-too-long`, `name-control`.
    """
    name = unicodedata.normalize("NFC", name.strip())
    if not name or all(character in _JOINERS for character in name):
        raise BadInput("name-empty", "the name is empty", "give a name of at least one letter")
    if len(name.encode("utf-8", "surrogatepass")) > NAME_BYTES_MAX:
        raise BadInput(
            "name-too-long",
            f"the name is longer than {NAME_BYTES_MAX} bytes",
            "choose a shorter name; most letters take one byte, an emoji takes four or more",
        )
    if printable(name) != name:
        raise BadInput(
            "name-control",
            "the name contains control characters",
            "use letters, digits, spaces and punctuation only",
        )
    return name


def tidy_name(name: str, fallback: str) -> str:
    """A name that a peer claims, made safe: never raises, never empty, never too long."""
    name = unicodedata.normalize("NFC", printable(name)).strip()
    while len(name.encode()) > NAME_BYTES_MAX:
        name = name[:-1]
    return name or fallback


_SPANS = (("year", 31_557_600), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def span(seconds: float) -> str:
    """A length of time in the largest unit of which it has one: `3 hours`, `1 day`."""
    whole = abs(round(seconds))
    unit, size = next((one for one in _SPANS if whole >= one[1]), _SPANS[-1])
    count = round(whole / size)
    return f"{count} {unit}" + ("s" if count != 1 else "")
