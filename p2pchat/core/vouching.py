"""Who says of whom that they have compared safety numbers: a fold over VOUCH entries.

Of one author's words about one person the one with the greatest time stands, whatever room it was
said in and in whatever order they came; where two have the same time, the one that takes it back.
An author's clock rises along its own chain, and one that lies spoils its own words only. A word is
its author's alone: what it is worth decides who reads it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Vouches", "Word"]


@dataclass(frozen=True, slots=True)
class Word:
    """`author` (a person key) says that it has verified `subject`, or no more. `time` as signed."""

    author: bytes
    subject: bytes
    verified: bool
    time: int


class Vouches:
    """The last words. Whoever hands in words bounds them: only of members, about members."""

    def __init__(self) -> None:
        self._last: dict[tuple[bytes, bytes], Word] = {}

    def take(self, word: Word) -> bool:
        """Whether this changes what the author says of the subject."""
        # Nobody vouches for themselves.
        if word.subject == word.author:
            return False
        key = (word.subject, word.author)
        before = self._last.get(key)
        if before is not None and _weight(before) >= _weight(word):
            return False
        self._last[key] = word
        return word.verified != (before is not None and before.verified)

    def vouches(self, author: bytes, subject: bytes) -> bool:
        word = self._last.get((subject, author))
        return word is not None and word.verified

    def vouchers(self, subject: bytes, authors: Iterable[bytes]) -> list[bytes]:
        """Which of `authors` vouch for `subject`, in their order."""
        return [author for author in authors if self.vouches(author, subject)]


def _weight(word: Word) -> tuple[int, bool]:
    return word.time, not word.verified
