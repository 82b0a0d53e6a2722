"""One short line beside the prompt: who is typing, or how far our last message has come."""

import msgspec

from p2pchat import events
from p2pchat.cli.beside import Beside, ticks

OURS = events.Message(
    room="r", id="m", author="me", name="Ann", time=events.rfc3339(0), text="hello"
)


def typing(name: str, *, on: bool = True, room: str = "r") -> events.Typing:
    return events.Typing(room=room, peer=name.lower(), name=name, typing=on)


def came(had: int, read: int) -> events.Message:
    peers = [f"p{number}" for number in range(had)]
    return msgspec.structs.replace(OURS, delivered_to=peers, read_by=peers[:read])


def test_ticks_tell_how_far_a_message_has_come() -> None:
    shown = [ticks(came(had, read), plain=False) for had, read in [(0, 0), (1, 0), (1, 1)]]
    assert shown == ["", "✓", "✓✓"]
    shown = [ticks(came(had, read), plain=False) for had, read in [(3, 0), (3, 1), (3, 2), (3, 3)]]
    assert shown == ["✓3", "✓3 ✓✓", "✓3 ✓✓2", "✓✓3"]
    assert ticks(came(2, 1), plain=True) == "+2 ++"


def test_those_who_type_come_before_ticks_and_are_few() -> None:
    beside = Beside(plain=False)
    assert beside.text("r") == ""
    beside.ours(came(1, 0))
    assert (beside.text("r"), beside.last("r")) == ("✓", "m")
    beside.typing(typing("Bob"))
    assert beside.text("r") == "Bob is typing…"
    assert beside.text("elsewhere") == ""
    for name in ("Cat", "Dan", "Eve"):
        beside.typing(typing(name))
    assert beside.text("r") == "Bob, Cat, Dan and 1 more are typing…"
    for name in ("Bob", "Cat"):
        beside.typing(typing(name, on=False))
    beside.gone("dan")
    assert beside.text("r") == "Eve is typing…"
    beside.typing(typing("Eve", on=False))
    assert beside.text("r") == "✓"


def test_a_name_neither_moves_the_cursor_nor_fills_the_line() -> None:
    beside = Beside(plain=True)
    beside.typing(typing("\x1b[2J" + "b" * 60))
    text = beside.text("r")
    assert "\x1b" not in text
    assert len(text) < 50
