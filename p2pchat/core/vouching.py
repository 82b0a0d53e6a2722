"""Who says of whom that they have compared safety numbers: a fold over VOUCH entries.

Of one author's words about one person the last of each chain counts, and of these the one with the
greatest time stands, whatever room it was said in and in whatever order they came; where two have
the same time, the one that takes it back. So what was said while a clock was ahead can be taken
back once it is right. A word is its author's alone: what it is worth decides who reads it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Vouches", "Word"]


@dataclass(frozen=True, slots=True)
class Word:
    """`author` (a person key) says that it has verified `subject`, or no more.

    `time` as signed; `chain` and `seq`: where it stands.
    """

    author: bytes
    subject: bytes
    verified: bool
    time: int
    chain: bytes
    seq: int


class Vouches:
    """The last words. Whoever hands in words bounds them: only of members, about members."""

    def __init__(self) -> None:
        self._last: dict[tuple[bytes, bytes], dict[bytes, Word]] = {}
        """(subject, author) -> chain -> the last word there"""

    def take(self, word: Word) -> bool:
        """Whether this changes what the author says of the subject."""
        # Nobody vouches for themselves.
        if word.subject == word.author:
            return False
        said = self._last.setdefault((word.subject, word.author), {})
        before = self.vouches(word.author, word.subject)
        earlier = said.get(word.chain)
        if earlier is None or earlier.seq < word.seq:
            said[word.chain] = word
        return self.vouches(word.author, word.subject) != before

    def vouches(self, author: bytes, subject: bytes) -> bool:
        said = self._last.get((subject, author), {})
        word = max(said.values(), key=_weight, default=None)
        return word is not None and word.verified

    def vouchers(self, subject: bytes, authors: Iterable[bytes]) -> list[bytes]:
        """Which of `authors` vouch for `subject`, in their order."""
        return [author for author in authors if self.vouches(author, subject)]


def _weight(word: Word) -> tuple[int, bool]:
    return word.time, not word.verified
