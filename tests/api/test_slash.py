from hypothesis import given
from hypothesis import strategies as st

from p2pchat.api.slash import COMMANDS, Slash, parse


def test_commands_and_messages() -> None:
    assert parse("/share ~/a file ") == Slash("share", "~/a file")
    assert parse("/HELP") == Slash("help", "")
    assert parse("hello /there") == "hello /there"
    assert parse("//etc is a folder") == "/etc is a folder"
    assert parse("/ alone") == "/ alone"


@given(st.text())
def test_every_line_is_a_command_or_a_message(line: str) -> None:
    parsed = parse(line)
    assert isinstance(parsed, (Slash, str))
    if isinstance(parsed, str):
        assert parsed in (line, line[1:])


def test_every_command_says_what_it_does() -> None:
    assert all(what for _, what in COMMANDS.values())
