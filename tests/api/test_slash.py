from hypothesis import given
from hypothesis import strategies as st

from p2pchat.api.slash import COMMANDS, Slash, addressed, parse


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


def test_an_at_at_the_beginning_writes_to_one_person() -> None:
    assert parse("@bob see you") == Slash("msg", "bob see you")
    assert parse('@"Ann Lee" hi') == Slash("msg", '"Ann Lee" hi')
    assert parse(" @bob see you") == " @bob see you"
    for message in ("@bob", "@", "@ bob", '@""', "hi @bob there", "!bob"):
        assert parse(message) == message


def test_who_is_addressed_is_told_from_what_is_said() -> None:
    assert addressed("bob, see you, then") == ("bob", "see you, then")
    assert addressed("bob: hi") == ("bob", "hi")
    assert addressed('"Ann Lee": so, hi') == ("Ann Lee", "so, hi")
    assert addressed("@bob hi") == ("bob", "hi")
    assert addressed('"unclosed quote') == ('"unclosed', "quote")
    assert addressed("bob") == ("bob", "")
    assert addressed("") == ("", "")
