"""Spoken codes: `4-acid-pelican`, a number to meet at and two words to know (docs/protocol.md, 3a).

The number, the nameplate, is public: it names the place. The words are the password, 16 bits; what
makes them enough is that nobody tests one without asking the inviter (`pairing`).
"""

import difflib
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from signaling.errors import SignalingError
from signaling.words import ADJECTIVES, NOUNS

__all__ = ["NAMEPLATE_MAX", "Code", "is_code"]

NAMEPLATE_MAX = 9_999
_TEXT_MAX = 80
_PREFIX_MIN = 3
"""Letters that name a word; fewer could be a slip as well."""
_QUOTES = "\"'`\u201c\u201d"
_CONTEXT = b"p2pchat/1/pairing/words"
_APART = r"[\s\-_.,:/\u2010-\u2015]+"
_SHAPE = re.compile(rf"\s*[0-9]{{1,9}}{_APART}[^\W\d]")


@dataclass(frozen=True, slots=True)
class Code:
    nameplate: int
    adjective: str
    noun: str

    def __repr__(self) -> str:
        return f"Code({self.nameplate}, …)"

    @classmethod
    def make(cls, nameplates: int, random: Callable[[int], bytes]) -> "Code":
        """One with a nameplate from 1 to `nameplates`."""
        nameplate = 1 + int.from_bytes(random(8), "big") % min(nameplates, NAMEPLATE_MAX)
        adjective, noun = random(2)
        return cls(nameplate, ADJECTIVES[adjective], NOUNS[noun])

    @classmethod
    def parse(cls, text: str) -> "Code":
        """In any case, apart by dashes or spaces, of each word three letters or more.

        Raises SignalingError `code-malformed`.
        """
        parts = re.split(_APART, text[: _TEXT_MAX + 1].strip().strip(_QUOTES).strip().lower())
        if len(text) > _TEXT_MAX or len(parts) != 3 or not re.fullmatch("[0-9]{1,9}", parts[0]):
            raise _malformed(
                "this is not a code", "a code is a number and two words, like 4-acid-pelican"
            )
        if not 1 <= int(parts[0]) <= NAMEPLATE_MAX:
            raise _malformed(
                "the number of this code is none", f"it is from 1 to {NAMEPLATE_MAX}: ask again"
            )
        return cls(int(parts[0]), _word(parts[1], ADJECTIVES), _word(parts[2], NOUNS))

    def text(self) -> str:
        return f"{self.nameplate}-{self.adjective}-{self.noun}"

    @property
    def secret(self) -> bytes:
        """What SPAKE2 takes of the words."""
        return hashlib.sha256(_CONTEXT + f"{self.adjective}-{self.noun}".encode()).digest()


def is_code(text: str) -> bool:
    """Whether it is meant as a code, and not as a blob."""
    return len(text) <= _TEXT_MAX and _SHAPE.match(text.strip().lstrip(_QUOTES)) is not None


def _word(typed: str, words: Sequence[str]) -> str:
    if typed in words:
        return typed
    found = [word for word in words if word.startswith(typed)]
    if len(found) == 1 and len(typed) >= _PREFIX_MIN:
        return found[0]
    near = difflib.get_close_matches(typed, words, n=1)
    raise _malformed(
        f"{typed!r} is no word of a code",
        f"is it {near[0]}? check it with your friend" if near else "ask your friend to spell it",
    )


def _malformed(message: str, hint: str) -> SignalingError:
    return SignalingError("code-malformed", message, hint)
