"""A colour for each person, so that a glance tells who speaks.

Of 14, all with a contrast of 3:1 or more on black-ish and on white-ish grounds (WCAG 2.2, 1.4.11),
all in the 256 colours of terminals. It tells people apart and proves nothing.
"""

import functools

from p2pchat.core.identity import digest

__all__ = ["PALETTE", "colour"]

PALETTE = (
    "#d70000",
    "#d75f00",
    "#af8700",
    "#5f8700",
    "#008700",
    "#008787",
    "#0087d7",
    "#005fff",
    "#875fff",
    "#af00ff",
    "#d700d7",
    "#d70087",
    "#af5f87",
    "#5f87af",
)


@functools.lru_cache(4_096)
def colour(person: bytes) -> str:
    """Always the same for one person key, as `#rrggbb`."""
    return PALETTE[int.from_bytes(digest("colour", person)[:8], "big") % len(PALETTE)]
