"""export, import."""

import asyncio
import sys
from pathlib import Path

import click
import msgspec

from p2pchat import events
from p2pchat.api.attach import restore
from p2pchat.api.routes.history import ExportRequest, ImportRequest
from p2pchat.cli.archived import asked_passphrase, fresh_passphrase
from p2pchat.cli.command import Common, command, usage
from p2pchat.cli.intake import beginning, intake
from p2pchat.cli.invite import greet
from p2pchat.cli.output import Output
from p2pchat.cli.spout import spout
from p2pchat.errors import BadInput, Error

__all__ = ["export_", "import_"]

_ARCHIVE = b"p2pchat archive "
_STDIN = frozenset({"-", "/dev/stdin"})
_STDOUT = frozenset({"-", "/dev/stdout"})

_passphrase_file = click.option(
    "--archive-passphrase-file",
    "secret",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Read the archive's passphrase from its first line.",
)


@command
@click.argument("room", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    required=True,
    help="The file to write, or - for stdout; one that is there is replaced.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["jsonl", "archive"]),
    default="jsonl",
    show_default=True,
    help="Lines of JSON, readable by all; or the whole profile, encrypted.",
)
@_passphrase_file
async def export_(
    out: Output, common: Common, room: str | None, output: str, kind: str, secret: Path | None
) -> None:
    """Write history to a file: a room, or all of them.

    `--format archive` is for a new machine: identity, contacts and history under a passphrase of
    its own: asked for, or P2PCHAT_ARCHIVE_PASSPHRASE, or --archive-passphrase-file. Where the
    profile is under none, P2PCHAT_PASSPHRASE and --passphrase-file name it, too. Shared files are
    not in it.
    """
    piped = output in _STDOUT
    if piped and out.json:
        raise usage("stdout cannot have both, the history and --json", "leave out --json")
    if piped and kind == "archive" and sys.stdout.isatty():
        raise usage("an archive is nothing for a terminal", "give a file, or a pipe after -o -")
    if kind == "archive" and room is not None:
        raise usage("an archive is the whole profile", "leave out the room, or --format archive")
    passphrase = fresh_passphrase(out, common, secret) if kind == "archive" else None
    async with common.attach(online=False) as node:
        greet(out, node)
        if piped:
            async with spout() as pipe:
                request = ExportRequest(path=str(pipe), room=room, passphrase=passphrase)
                written = await node.client.one("exports", request)
            if isinstance(written, events.Exported):
                out.note(f"{written.entries} entries written")
            return
        path = str(Path(output).expanduser().absolute())
        request = ExportRequest(path=path, room=room, passphrase=passphrase)
        async for event in node.client.ask("exports", request):
            out.row(event)


@command
@click.argument("given", metavar="FILE")
@_passphrase_file
async def import_(out: Output, common: Common, given: str, secret: Path | None) -> None:
    """Take in history that `export` wrote (`-`: from stdin); what is known stays as it is.

    An archive makes the profile where there is none (--home DIR), and otherwise adds what this
    identity has written and received. Its passphrase is asked for, or comes from
    P2PCHAT_ARCHIVE_PASSPHRASE or --archive-passphrase-file, as for export.
    """
    if given in _STDIN:
        begun = beginning(len(_ARCHIVE))
        async with intake(begun) as path:
            try:
                await _take(out, common, secret, path, "-", archive=begun.startswith(_ARCHIVE))
            except Error as error:
                # The pipe's name says nothing to anybody.
                message = error.message.replace(str(path), "stdin")
                raise type(error)(error.code, message, error.hint) from error
        return
    path = Path(given).expanduser().absolute()
    await _take(out, common, secret, path, str(path), archive=_is_archive(path))


async def _take(
    out: Output, common: Common, secret: Path | None, path: Path, shown: str, *, archive: bool
) -> None:
    passphrase = asked_passphrase(common, secret) if archive else None
    if archive and not any((common.folder / name).exists() for name in ("key", "journal.db")):
        await asyncio.to_thread(restore, common.folder, path, passphrase)
        async with common.attach(online=False) as node:
            async for event in node.client.ask("status"):
                if isinstance(event, events.Status):
                    entries = event.entries
                    out.row(events.Imported(path=shown, added=entries, known=0, restored=True))
        out.note("the profile is under no passphrase; set one with p2pchat passphrase")
        return
    async with common.attach(online=False) as node:
        greet(out, node)
        request = ImportRequest(path=str(path), passphrase=passphrase)
        async for event in node.client.ask("imports", request):
            if isinstance(event, events.Imported):
                out.row(msgspec.structs.replace(event, path=shown))


def _is_archive(path: Path) -> bool:
    """Raises errors.BadInput `file-missing`, before any profile is made for a mistyped path."""
    try:
        with path.open("rb") as file:
            return file.read(len(_ARCHIVE)) == _ARCHIVE
    except OSError as error:
        raise BadInput(
            "file-missing", f"{path} cannot be read: {error.strerror}", "check the path"
        ) from error
