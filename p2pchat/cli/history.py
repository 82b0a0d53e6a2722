"""export, import."""

import asyncio
import sys
from pathlib import Path

import click

from p2pchat import events
from p2pchat.api.attach import restore
from p2pchat.api.routes.history import ExportRequest, ImportRequest
from p2pchat.cli.command import Common, command, new_passphrase, prompt_secret, usage
from p2pchat.cli.invite import greet
from p2pchat.cli.output import Output

__all__ = ["export_", "import_"]


@command
@click.argument("room", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file to write; one that is there is replaced.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["jsonl", "archive"]),
    default="jsonl",
    show_default=True,
    help="Lines of JSON, readable by all; or the whole profile, encrypted.",
)
async def export_(out: Output, common: Common, room: str | None, output: Path, kind: str) -> None:
    """Write history to a file: a room, or all of them.

    `--format archive` is for a new machine: identity, contacts and history under a passphrase of
    its own (asked for, or P2PCHAT_PASSPHRASE, or --passphrase-file). Shared files are not in it.
    """
    if kind == "archive" and room is not None:
        raise usage("an archive is the whole profile", "leave out the room, or --format archive")
    path = str(output.expanduser().absolute())
    passphrase = new_passphrase(common.passphrase()) if kind == "archive" else None
    async with common.attach(online=False) as node:
        greet(out, node)
        request = ExportRequest(path=path, room=room, passphrase=passphrase)
        async for event in node.client.ask("exports", request):
            out.row(event)


@command
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
async def import_(out: Output, common: Common, file: Path) -> None:
    """Take in history that `export` wrote; what is known stays as it is.

    An archive makes the profile where there is none (--home DIR), and otherwise adds what this
    identity has written and received.
    """
    path = file.expanduser().absolute()
    passphrase = common.passphrase()
    if passphrase is None and sys.stdin.isatty() and _is_archive(path):
        passphrase = prompt_secret("Passphrase of the archive: ")
    if _is_archive(path) and not any(
        (common.folder / name).exists() for name in ("key", "journal.db")
    ):
        await asyncio.to_thread(restore, common.folder, path, passphrase)
        async with common.attach(online=False) as node:
            async for event in node.client.ask("status"):
                if isinstance(event, events.Status):
                    entries = event.entries
                    out.row(events.Imported(path=str(path), added=entries, known=0, restored=True))
        out.note("the profile is under no passphrase; set one with p2pchat passphrase")
        return
    async with common.attach(online=False) as node:
        greet(out, node)
        request = ImportRequest(path=str(path), passphrase=passphrase)
        async for event in node.client.ask("imports", request):
            out.row(event)


def _is_archive(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(16) == b"p2pchat archive "
    except OSError:
        return False
