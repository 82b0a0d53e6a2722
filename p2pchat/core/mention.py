"""Whether a message calls somebody by name: `@name`, as people write it."""

import unicodedata
from collections.abc import Iterable

__all__ = ["calls"]


def calls(text: str, names: Iterable[str]) -> bool:
    """Whether `text` has an `@` with one of `names` after it, whatever its case and accents.

    The `@` begins a word and the name ends with one, so that mail addresses and longer names are
    nobody's. A name may have spaces, and stand in quotes.
    """
    if "@" not in text:
        return False
    folded = _folded(text)
    wanted = [name for name in map(_folded, names) if name]
    start = folded.find("@")
    while start >= 0:
        if not (start and _is_inner(folded[start - 1])):
            begin = start + 1 + (folded[start + 1 : start + 2] == '"')
            for name in wanted:
                after = folded[begin + len(name) : begin + len(name) + 1]
                if folded.startswith(name, begin) and not _is_inner(after):
                    return True
        start = folded.find("@", start + 1)
    return False


def _folded(text: str) -> str:
    spread = unicodedata.normalize("NFKD", text.casefold())
    return "".join(one for one in spread if unicodedata.category(one) not in ("Mn", "Me"))


def _is_inner(character: str) -> bool:
    return character.isalnum() or character == "_"
