"""A message's text as lines of a terminal. Knows line breaks and ``` fences, and no colours.

Every line after the first is indented, so that none can pass for a message of somebody else.
"""

from p2pchat.text import printable

__all__ = ["prose"]

_FENCE = "```"
_CODE = "  | "


def prose(text: str) -> str:
    """One line as it is; of several each on its own, code between fences behind a bar."""
    lines = printable(text, lines=True).splitlines()
    shown: list[str] = []
    code = False
    for number, line in enumerate(lines):
        bare = line.strip()
        if code and bare == _FENCE:
            code = False
        elif code:
            shown.append(_CODE + line)
        elif bare.startswith(_FENCE) and _ends(bare, lines[number + 1 :]):
            inline = bare.removeprefix(_FENCE)
            if len(inline) >= len(_FENCE) and inline.endswith(_FENCE):
                shown.append(_CODE + inline.removesuffix(_FENCE))
            else:
                code = True
        else:
            shown.append("  " + line)
    if len(shown) == 1 and not shown[0].startswith(_CODE):
        return shown[0][2:]
    first = not shown or shown[0].startswith(_CODE)
    return "\n".join(["", *shown]) if first else "\n".join(shown)[2:]


def _ends(fence: str, rest: list[str]) -> bool:
    """Whether a fence that opens here is closed."""
    return (len(fence) >= 2 * len(_FENCE) and fence.endswith(_FENCE)) or any(
        line.strip() == _FENCE for line in rest
    )
