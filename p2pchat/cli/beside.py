"""What stands beside the prompt: who is writing, else how far our last message has come.

It knows events and words, no terminal.
"""

from p2pchat import events
from p2pchat.text import printable

__all__ = ["Beside", "ticks"]

_NAMED_MAX = 3
_NAME_MAX = 24
"""Characters of a name: the line is one, and the prompt is on it."""


def ticks(message: events.Message, *, plain: bool) -> str:
    """How far a message of ours has come: `✓` on another disk, `✓✓` read, with by how many."""
    tick = "+" if plain else "✓"
    had, read = len(message.delivered_to), len(message.read_by)
    if not had:
        return ""
    return (
        _counted(tick * 2, read)
        if read == had
        else " ".join(
            part for part in (_counted(tick, had), _counted(tick * 2, read) if read else "") if part
        )
    )


def _counted(mark: str, count: int) -> str:
    return mark if count == 1 else f"{mark}{count}"


class Beside:
    """`plain`: the terminal shows ASCII alone."""

    def __init__(self, *, plain: bool) -> None:
        self._plain = plain
        self._typing: dict[str, dict[str, str]] = {}
        """room -> peer -> name"""
        self._last: dict[str, events.Message] = {}
        """room -> our last message"""

    def typing(self, event: events.Typing) -> None:
        room = self._typing.setdefault(event.room, {})
        if event.typing:
            room[event.peer] = event.name
        else:
            room.pop(event.peer, None)

    def gone(self, peer: str) -> None:
        """Somebody is linked no more."""
        for room in self._typing.values():
            room.pop(peer, None)

    def ours(self, message: events.Message) -> None:
        """A message of ours, as it stands now."""
        self._last[message.room] = message

    def last(self, room: str) -> str | None:
        """The id of our last message there."""
        return self._last[room].id if room in self._last else None

    def text(self, room: str) -> str:
        names = [printable(name)[:_NAME_MAX] for name in self._typing.get(room, {}).values()]
        if names:
            more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
            dots = "..." if self._plain else "…"
            verb = "is" if len(names) == 1 else "are"
            return f"{', '.join(names[:_NAMED_MAX])}{more} {verb} typing{dots}"
        return ticks(self._last[room], plain=self._plain) if room in self._last else ""
