"""When two names look alike, and whose the name was: what an impostor's name is made for.

After Unicode's UTS #39: a *skeleton* of each, and names with one skeleton count as the same. Its
table has thousands of rows and no library that is kept up gives it; here are compatibility forms,
case, accents, spaces, and the letters of other scripts that pass for Latin ones. It errs towards
alike: what that costs is a question more.
"""

import functools
import unicodedata
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

__all__ = ["Claim", "Rank", "clashes", "skeleton"]

_ALIKE = {
    ord(like): plain
    for plain, likes in {
        "a": "аαɑ",
        "b": "вьβ",
        "c": "сϲ",
        "d": "ԁ",
        "e": "еєεҽ",
        "g": "ɡց",
        "h": "нһհ",
        "i": "іιıӏl1|!",
        "j": "јϳ",
        "k": "кκ",
        "m": "м",
        "n": "ηпո",
        "o": "оοօσ0",
        "p": "рρ",
        "q": "ԛգ",
        "s": "ѕꜱ5$",
        "t": "тτ",
        "u": "υսц",
        "v": "νѵ",
        "w": "ԝωшա",
        "x": "хχ",
        "y": "уγүყ",
        "z": "ᴢ",
        "3": "зэ",
    }.items()
    for like in likes
}
_PAIRS = (("rn", "m"), ("vv", "w"))


@functools.lru_cache(4_096)
def skeleton(name: str) -> str:
    """What a name looks like: equal for two names that a person could take for one another."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    seen = "".join(
        character
        for character in folded
        if unicodedata.category(character) not in ("Mn", "Me", "Cf", "Zs")
    ).translate(_ALIKE)
    for pair, like in _PAIRS:
        seen = seen.replace(pair, like)
    return seen or folded


class Rank(IntEnum):
    """Who has the better claim to a name."""

    OURSELVES = 0
    VERIFIED = 1
    CONTACT = 2
    MEMBER = 3


class Claim(NamedTuple):
    """Somebody's claim to names; among equals, who came first (`since`) has the better one.

    `shown` is the name they go by here, maybe ours for them; `own` the one they chose.
    """

    rank: Rank
    since: float
    person: bytes
    shown: str
    own: str


def clashes(claims: Iterable[Claim]) -> dict[bytes, bytes]:
    """Who goes by a name that was somebody else's, and whose."""
    named: dict[str, list[Claim]] = {}
    for claim in claims:
        # Behind a name that we gave, the one they chose stays taken too.
        for name in {skeleton(claim.shown), skeleton(claim.own)}:
            named.setdefault(name, []).append(claim)
    found: dict[bytes, bytes] = {}
    for name, claimed in named.items():
        if len(claimed) < 2:
            continue
        best, second = sorted(claimed)[:2]
        for claim in claimed:
            # Whom we have verified is no riddle, whatever the name.
            if claim.rank <= Rank.VERIFIED or skeleton(claim.shown) != name:
                continue
            if claim is not best:
                found[claim.person] = best.person
            elif claim.rank is Rank.MEMBER:
                # Neither was known before the other.
                found[claim.person] = second.person
    return found
