"""Slash commands of the chat, parsed once for every face."""

from dataclasses import dataclass

__all__ = ["COMMANDS", "Slash", "addressed", "parse"]

COMMANDS: dict[str, tuple[str, str]] = {
    "help": ("", "show these commands"),
    "members": ("", "who is in this room"),
    "rooms": ("", "all rooms, and what is unread in them"),
    "room": ("[NAME]", "go to a room, @NAME for one person; without NAME: this one's settings"),
    "room create": ("NAME", "make a room, and go there"),
    "topic": ("[TEXT]", "what this room is about"),
    "approve": ("NAME", "let somebody in who asks, or knocks (compare the words); also !NAME"),
    "deny": ("NAME", "turn somebody away who asks or knocks"),
    "remove": ("NAME", "remove a member"),
    "leave": ("[forget]", "be no member of this room any more; forget: delete it here"),
    "join": ("BLOB", "accept an invite"),
    "msg": ("NAME TEXT", 'write to one person; also @NAME TEXT, "A NAME" in quotes'),
    "me": ("TEXT", "say what you do"),
    "nick": ("NAME", "change your display name"),
    "away": ("", "be away until you write something"),
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
    "invite": ("[ask]", "invite somebody, into this room if it has many; ask: to be approved"),
    "cancel": ("N", "give up a join that waits, by the number in /status"),
    "quit": ("", "leave the chat (the room stays)"),
}
"""name -> (argument, what it does)"""


@dataclass(frozen=True, slots=True)
class Slash:
    """One command; `name` is not in COMMANDS if nobody knows it."""

    name: str
    argument: str


def parse(line: str) -> Slash | str:
    """A command, or the text of a message. `//` begins a message with a slash.

    `@NAME TEXT` is /msg. A line that begins with a space is a message, whatever follows.
    """
    if line.startswith("//"):
        return line[1:]
    if line.startswith("@") and all(addressed(line[1:])):
        return Slash("msg", line[1:].strip())
    if not line.startswith("/") or line.startswith("/ "):
        return line
    name, _, argument = line[1:].partition(" ")
    return Slash(name.lower(), argument.strip())


def addressed(argument: str) -> tuple[str, str]:
    """`NAME TEXT` as its two parts; a name of several words stands in quotes. Either may be empty.

    A comma or colon after the name is no part of it.
    """
    argument = argument.strip()
    if argument.startswith('"'):
        name, quote, text = argument[1:].partition('"')
        if quote:
            return name.strip().removeprefix("@"), text.lstrip(",: ").strip()
    name, _, text = argument.partition(" ")
    return name.removeprefix("@").rstrip(",:"), text.strip()
