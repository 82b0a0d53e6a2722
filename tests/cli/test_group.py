import click
from click.testing import CliRunner

from p2pchat.cli.group import cli
from p2pchat.cli.main import COMMANDS
from tests.harness.homes import Home


def test_help_lists_every_command_and_warns_of_ps() -> None:
    shown = CliRunner().invoke(cli, ["--help"]).output
    assert all(name in shown for name in COMMANDS)
    assert "ps" in shown


def test_every_command_has_help_of_its_own() -> None:
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        assert command.help, name
        assert CliRunner().invoke(cli, [name, "--help"]).exit_code == 0


def test_usage_errors_are_told_as_all_others(ann: Home) -> None:
    for arguments in (["nonsense"], ["send"], ["log", "x", "--last", "many"], ["--wrong"]):
        outcome = ann.run(*arguments, code=2)
        assert outcome.found("error")[0]["code"] == "usage"
        assert outcome.err.startswith("p2pchat: ")


def test_without_a_terminal_the_chat_is_no_command(ann: Home) -> None:
    assert ann.run(code=2).found("error")[0]["code"] == "usage"
