"""Slash commands of the chat, parsed once for every face."""

from dataclasses import dataclass

__all__ = ["COMMANDS", "Slash", "parse"]

COMMANDS: dict[str, tuple[str, str]] = {
    "help": ("", "show these commands"),
    "members": ("", "who is in this room"),
    "rooms": ("", "all rooms"),
    "whois": ("[NAME]", "what is known of somebody"),
    "verify": ("[NAME] [confirm|revoke]", "the safety number to compare; that it agrees, or not"),
    "alias": ("NAME NEW", "call somebody by a name of yours; without NEW: by theirs again"),
    "block": ("NAME", "show nothing of somebody, and take no link"),
    "unblock": ("NAME", "take that back"),
    "search": ("WORDS", 'messages with these words; hol* is a beginning, "a b" a phrase'),
    "reply": ("ID TEXT", "answer a message"),
    "edit": ("ID TEXT", "give a message of yours another text"),
    "delete": ("ID", "delete a message, with everybody"),
    "react": ("ID EMOJI", "react to a message; again takes it back"),
    "pin": ("ID", "pin a message for all"),
    "unpin": ("ID", "unpin it"),
    "pins": ("", "what is pinned here"),
    "share": ("PATH", "offer a file or folder to this room"),
    "get": ("ID", "fetch a share, by the id or magnet shown"),
    "files": ("", "shares and transfers"),
    "sync": ("", "compare with everybody online"),
    "status": ("", "this node in one line"),
    "invite": ("", "invite somebody else"),
    "quit": ("", "leave the chat (the room stays)"),
}
"""name -> (argument, what it does)"""


@dataclass(frozen=True, slots=True)
class Slash:
    """One command; `name` is not in COMMANDS if nobody knows it."""

    name: str
    argument: str


def parse(line: str) -> Slash | str:
    """A command, or the text of a message. `//` begins a message with a slash."""
    if line.startswith("//"):
        return line[1:]
    if not line.startswith("/") or line.startswith("/ "):
        return line
    name, _, argument = line[1:].partition(" ")
    return Slash(name.lower(), argument.strip())
