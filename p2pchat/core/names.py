"""When two names look alike: the question that an impostor's name is made for.

After Unicode's UTS #39: a *skeleton* of each, and names with one skeleton count as the same. Its
table has thousands of rows and no library that is kept up gives it; here are compatibility forms,
case, accents, spaces, and the letters of other scripts that pass for Latin ones. It errs towards
alike: what that costs is a question more.
"""

import functools
import unicodedata

__all__ = ["skeleton"]

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
