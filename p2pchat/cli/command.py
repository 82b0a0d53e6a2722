"""What every command has: the common options, and one way to run and to fail."""

import asyncio
import functools
import getpass
import math
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from p2pchat.cli.interrupt import EXIT_CODE, unwinding
from p2pchat.cli.streams import Closed
from p2pchat.errors import BadInput, Error, Usage

if TYPE_CHECKING:
    from p2pchat.api.attach import Attached
    from p2pchat.config import Config

__all__ = [
    "SECONDS",
    "Common",
    "command",
    "common_options",
    "execute",
    "merge",
    "new_passphrase",
    "prompt_secret",
    "read_secret",
    "usage",
]

_SECRET_MAX = 4_096
_TIMEOUT_S_MAX = 366 * 86_400


class _Seconds(click.FloatRange):
    """A time to wait: above zero, and one that a clock can count to."""

    name = "seconds"

    def __init__(self) -> None:
        super().__init__(min=0, max=_TIMEOUT_S_MAX, min_open=True)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return seconds


SECONDS = _Seconds()
F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Common:
    """The common options, given before or after the command's name."""

    home: Path | None = None
    json: bool = False
    name: str | None = None
    settings: list[str] = field(default_factory=list)
    passphrase_file: Path | None = None
    _prompted: str | None = field(default=None, repr=False)

    @property
    def folder(self) -> Path:
        from p2pchat.api.attach import default_home

        return (self.home or default_home()).expanduser().absolute()

    def attach(self, *, online: bool = True) -> "AbstractAsyncContextManager[Attached]":
        """The running node, else one in this process. Raises as `api.attach.attach`."""
        from p2pchat.api.attach import attach

        return attach(
            self.folder, self.settings, self.name, online=online, passphrase=self.passphrase
        )

    def config(self) -> "Config":
        """The settings in force. Raises errors.Usage `config-malformed`."""
        from p2pchat.api.attach import settings

        return settings(self.folder, self.settings)

    def passphrase(self) -> str | None:
        """From --passphrase-file, P2PCHAT_PASSPHRASE or the prompt of `ask_passphrase`.

        Raises errors.BadInput `file-missing`.
        """
        return self.given_passphrase() if self._prompted is None else self._prompted

    def given_passphrase(self) -> str | None:
        """From --passphrase-file or P2PCHAT_PASSPHRASE. Raises errors.BadInput `file-missing`."""
        if self.passphrase_file is not None:
            return read_secret(self.passphrase_file)
        return os.environ.get("P2PCHAT_PASSPHRASE")

    def ask_passphrase(self) -> None:
        """Prompt where one is needed, none is given and somebody sits at a terminal."""
        path = self.folder / "key"
        if not sys.stdin.isatty() or self.passphrase() is not None or not path.exists():
            return
        from p2pchat.api.attach import is_locked, running_process

        if is_locked(self.folder) and running_process(self.folder) is None:
            self._prompted = prompt_secret("Passphrase: ")


def prompt_secret(text: str) -> str:
    """Ask on the terminal, unseen."""
    with unwinding():
        return getpass.getpass(text, stream=sys.stderr)


def read_secret(path: Path) -> str:
    """The first line of a file. Raises errors.BadInput `file-missing`."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            return file.readline(_SECRET_MAX).rstrip("\r\n")
    except OSError as error:
        raise BadInput(
            "file-missing", f"{path} cannot be read: {error.strerror}", "check the path"
        ) from error


def new_passphrase(
    given: str | None,
    of: str = "the profile",
    give: str = "P2PCHAT_PASSPHRASE or --passphrase-file FILE",
) -> str:
    """A passphrase to set: given, or asked for twice. Raises errors.Usage `passphrase-missing`."""
    if given is None and sys.stdin.isatty():
        given = prompt_secret(f"New passphrase of {of}: ")
        if given and prompt_secret("Once more: ") != given:
            raise Usage("passphrase-missing", "the two are not the same", "run it again")
    if not given:
        raise Usage(
            "passphrase-missing",
            "there is no passphrase to set" if given is None else "the passphrase is empty",
            f"run it in a terminal, or give {give}",
        )
    return given


_OPTIONS = (
    click.option(
        "--home", type=click.Path(path_type=Path, file_okay=False), help="The profile's folder."
    ),
    click.option("--json", is_flag=True, default=None, help="One JSON object a line on stdout."),
    click.option("--name", help="Name for a new identity."),
    click.option(
        "--passphrase-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Read the profile's passphrase from its first line.",
    ),
    click.option(
        "--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", help="Override a setting."
    ),
)


def common_options(function: F) -> F:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def merge(common: Common, given: dict[str, Any]) -> Common:
    """Take the common options out of a command's own."""
    home, json, name = given.pop("home"), given.pop("json"), given.pop("name")
    settings = list(given.pop("settings"))
    passphrase_file = given.pop("passphrase_file")
    return Common(
        home or common.home,
        common.json if json is None else json,
        common.name if name is None else name,
        common.settings + settings,
        passphrase_file or common.passphrase_file,
    )


def command(function: Callable[..., Awaitable[int | None]]) -> click.Command:
    """A coroutine as a command: `async def name(out: Output, common: Common, **options)`.

    It answers its exit code, None for 0; errors.Error becomes message, hint and exit code here and
    nowhere else.
    """

    @functools.wraps(function)
    def run(**given: Any) -> None:
        from p2pchat.cli.output import Output

        context = click.get_current_context()
        parent = context.find_object(Common) or Common()
        common = merge(parent, given)
        out = Output(json=common.json)
        sys.exit(execute(out, common, lambda: function(out, common, **given)))

    wrapped = common_options(run)
    name = function.__name__.rstrip("_").replace("_", "-")
    return click.command(name, help=function.__doc__)(wrapped)


def execute(out: Any, common: Common, work: Callable[[], Awaitable[int | None]]) -> int:
    """Run to the end; answer the exit code."""
    try:
        code = _told(out, common, work)
        out.done(code)
    except Closed:
        return 0
    except Error as error:
        # Neither what happened nor how it ended could be shown.
        code = error.exit_code
        out.error(error)
    return code


def _told(out: Any, common: Common, work: Callable[[], Awaitable[int | None]]) -> int:
    """Run to the end, tell what went wrong; answer the exit code.

    Raises errors.Error, streams.Closed where stdout takes nothing.
    """
    from p2pchat.api.client import NotRunning
    from p2pchat.cli import logs

    code = 1
    try:
        logs.keep(common.folder)
        with unwinding():
            # Before there is a loop, which a prompt would block and which would keep Ctrl-C to
            # itself.
            common.ask_passphrase()
            code = asyncio.run(_main(work)) or 0
    except KeyboardInterrupt:
        code = EXIT_CODE
        out.error(Error("interrupted", "interrupted", "run it again to go on"))
    except Error as error:
        code = error.exit_code
        out.error(error)
    except Closed:
        raise
    except NotRunning:
        out.error(
            Error(
                "not-running",
                "the background node ended meanwhile",
                "start it again with p2pchat up; nothing acknowledged is lost",
            )
        )
    except Exception as error:
        if logs.is_debug():
            raise
        code = 1
        out.error(
            Error(
                "internal",
                f"a fault of ours: {type(error).__name__}: {error}",
                "run it with P2PCHAT_DEBUG=1 and report what it prints",
            )
        )
    return code


async def _main(work: Callable[[], Awaitable[int | None]]) -> int | None:
    return await work()


def usage(message: str, hint: str) -> Usage:
    return Usage("usage", message, hint)
