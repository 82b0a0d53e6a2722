"""init, passphrase, id, rename, doctor, config, completion."""

import asyncio
import os
from pathlib import Path

import click

from p2pchat import events
from p2pchat.api.attach import check_free, is_locked, lock, repairable, settings
from p2pchat.api.attach import repair as rebuild
from p2pchat.api.routes.asking import NameRequest
from p2pchat.api.routes.profile import DoctorRequest
from p2pchat.cli.command import Common, command, new_passphrase, read_secret, usage
from p2pchat.cli.invite import greet, read_argument
from p2pchat.cli.output import Output
from p2pchat.errors import Busy, Error

__all__ = ["completion_", "config_", "doctor_", "id_", "init_", "passphrase_", "rename_"]


@command
@click.option("--passphrase", is_flag=True, help="Put it under a passphrase.")
async def init_(out: Output, common: Common, *, passphrase: bool) -> None:
    """Create the identity (--name NAME); any command does so where there is none."""
    # Asked for first: nothing is made if there is none.
    new = new_passphrase(common.passphrase()) if passphrase else None
    async with common.attach(online=False) as node:
        if not node.created:
            raise Busy(
                "identity-exists",
                f"{common.folder} has an identity already",
                "p2pchat id shows it, p2pchat rename changes its name; --home makes another",
            )
        async for event in node.client.ask("identity"):
            out.row(event)
    if new is not None:
        await asyncio.to_thread(lock, common.folder, common.passphrase, new)


@command
@click.option("--remove", is_flag=True, help="Leave the profile without one.")
@click.option(
    "--new-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Read the new one from this file's first line.",
)
async def passphrase_(out: Output, common: Common, new_file: Path | None, *, remove: bool) -> None:
    """Set, change or remove the passphrase that the profile is under.

    Asked for on a terminal. Scripts give the one in force as everywhere (P2PCHAT_PASSPHRASE,
    --passphrase-file) and the new one by P2PCHAT_NEW_PASSPHRASE or --new-file; where none is in
    force, P2PCHAT_PASSPHRASE and --passphrase-file name the new one. Only the key file is
    rewritten, so it takes a second however long the history is.
    """
    if remove and new_file is not None:
        raise usage("--remove leaves no passphrase, so there is no new one", "give one of the two")
    known = (common.folder / "key").exists()
    if known:
        # Before anybody is asked for what could not be set.
        check_free(common.folder)
    locked = is_locked(common.folder)
    new = None
    if not remove:
        given = os.environ.get("P2PCHAT_NEW_PASSPHRASE")
        if new_file is not None:
            given = read_secret(new_file)
        elif given is None and not locked:
            given = common.passphrase()
        new = new_passphrase(given, give="P2PCHAT_NEW_PASSPHRASE or --new-file FILE")
    if not known:
        async with common.attach(online=False) as node:
            greet(out, node)
    await asyncio.to_thread(lock, common.folder, common.passphrase, new)
    if remove:
        text = "the profile is under no passphrase now"
    else:
        text = "the passphrase is set; without it nobody can read the profile, you neither"
    if out.json:
        out.event(events.Note(text=text))
    out.say(text)


@command
async def id_(out: Output, common: Common) -> None:
    """Show the identity: name, id, folder."""
    async with common.attach(online=False) as node:
        greet(out, node)
        async for event in node.client.ask("identity"):
            out.row(event)


@command
@click.argument("new_name", metavar="NAME")
async def rename_(out: Output, common: Common, new_name: str) -> None:
    """Change your display name; friends see it with your next message."""
    async with common.attach(online=False) as node:
        async for event in node.client.ask("name", NameRequest(name=new_name)):
            out.row(event)


@command
@click.argument("blob", nargs=-1)
@click.option("--repair", is_flag=True, help="Make a new journal of all that is whole.")
async def doctor_(out: Output, common: Common, blob: tuple[str, ...], *, repair: bool) -> int:
    """Look for what could go wrong, in plain words; exit code 1 if something has to be done.

    Reads and checks the whole journal, and looks at what of this network could keep two people
    apart; it asks only servers that the settings name. `--repair` keeps the damaged journal aside,
    and leaves a whole one alone; what is lost comes back from friends with the next sync.

    With an invite (`-`: read it from stdin) it tells what that offers, and why it may not lead to
    its maker from here; the invite is not used up.
    """
    if repair and blob:
        raise usage("an invite needs no repair", "give one of the two")
    request = DoctorRequest(blob=read_argument(" ".join(blob)) if blob else None)
    if repair:
        rebuilt = await rebuild(common.folder, common.passphrase)
        text = "the journal is whole: there was nothing to repair, and it is as it was"
        if rebuilt is not None:
            kept, bare, lost, old = rebuilt
            without = f" ({bare} of them without what they say)" if bare else ""
            text = f"{kept} entries kept{without}, {lost} lost; the old journal is {old}"
        out.row(events.Finding(check="repair", ok=True, text=text))
    whole = True
    try:
        async with common.attach(online=False) as node:
            greet(out, node)
            async for event in node.client.ask("doctor", request):
                out.row(event)
                whole = whole and not (isinstance(event, events.Finding) and not event.ok)
    except Error as error:
        if error.code != "home-damaged":
            raise
        told = error
        try:
            await asyncio.to_thread(repairable, common.folder, common.passphrase)
        except Error as hopeless:
            told = hopeless
        out.row(events.Finding(check="journal", ok=False, text=told.message, hint=told.hint))
        whole = False
    return 0 if whole else 1


@command
async def config_(out: Output, common: Common) -> None:
    """Show the settings in force, and where each came from."""
    config = settings(common.folder, common.settings)
    for key, source in config.sources.items():
        section, name = key.split(".")
        value = getattr(getattr(config, section), name)
        out.row(events.Setting(key=key, value=value, source=source))


@command
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
async def completion_(out: Output, common: Common, shell: str) -> None:
    """Print shell completion: eval "$(p2pchat completion bash)"."""
    del common
    from click.shell_completion import get_completion_class

    from p2pchat.cli.group import cli

    found = get_completion_class(shell)
    if found is None or out.json:
        raise usage("completion is a script, not JSON", "leave out --json")
    out.say(found(cli, {}, "p2pchat", "_P2PCHAT_COMPLETE").source())
