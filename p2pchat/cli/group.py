"""The command group: loads a command's module when it is called, and fails in our form."""

import os
import sys
from importlib import import_module
from typing import Any

import click

from p2pchat import __version__
from p2pchat.cli.command import Common, common_options, execute, merge, usage
from p2pchat.cli.main import COMMANDS
from p2pchat.cli.streams import check_given, lost, settle
from p2pchat.errors import Error

__all__ = ["cli", "main"]


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        found: click.Command = getattr(import_module(f"p2pchat.cli.{module}"), f"{cmd_name}_")
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # From the table, so that --help imports no command.
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=_Lazy,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@common_options
@click.version_option(__version__, prog_name="p2pchat", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, /, **given: Any) -> None:
    """Talk and hand each other files with nobody in the middle.

    Without a command: the chat with whom you talked last. Secrets in arguments (invites, magnet
    links) show in `ps`; `-` reads them from stdin instead, and P2PCHAT_HOME and other settings can
    come from the environment.
    """
    ctx.obj = merge(Common(), given)
    if ctx.invoked_subcommand is None:
        from p2pchat.cli.chat import last_chat
        from p2pchat.cli.output import Output

        out = Output(json=ctx.obj.json)
        sys.exit(execute(out, ctx.obj, lambda: last_chat(out, ctx.obj)))


def main() -> None:
    """Run; usage errors are told as all others, with exit code 2."""
    settle()
    try:
        check_given(sys.argv[1:], os.environ)
        cli.main(standalone_mode=False)
        # Before the interpreter does it, which could not tell.
        sys.stdout.flush()
    except Error as error:
        _fail(error, error.exit_code)
    except OSError as error:
        # Help, or a script for the shell: commands tell theirs themselves.
        failure = lost(error, "")
        if isinstance(failure, Error):
            _fail(failure, failure.exit_code)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except click.Abort:
        _fail(Error("interrupted", "interrupted", "run it again to go on"), 130)
    except click.ClickException as error:
        message = error.format_message()
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "p2pchat"
        _fail(usage(message[:1].lower() + message[1:].rstrip("."), f"see {path} --help"), 2)


def _fail(error: Error, code: int) -> None:
    from p2pchat.cli.output import Output

    out = Output(json="--json" in sys.argv)
    out.error(error)
    out.done(code)
    sys.exit(code)
