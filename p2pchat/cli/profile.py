"""init, id, rename, config, completion."""

import sys

import click

from p2pchat import events
from p2pchat.api.attach import attach, settings
from p2pchat.api.routes import NameRequest
from p2pchat.cli.command import Common, command, usage
from p2pchat.cli.invite import greet
from p2pchat.cli.output import Output
from p2pchat.errors import Busy

__all__ = ["completion_", "config_", "id_", "init_", "rename_"]


@command
async def init_(out: Output, common: Common) -> None:
    """Create the identity (--name NAME); any command does so where there is none."""
    async with attach(common.folder, common.settings, common.name, online=False) as node:
        if not node.created:
            raise Busy(
                "home-in-use",
                f"{common.folder} has an identity already",
                "p2pchat id shows it, p2pchat rename changes its name; --home makes another",
            )
        async for event in node.client.ask("identity"):
            out.row(event)


@command
async def id_(out: Output, common: Common) -> None:
    """Show the identity: name, id, folder."""
    async with attach(common.folder, common.settings, common.name, online=False) as node:
        greet(out, node)
        async for event in node.client.ask("identity"):
            out.row(event)


@command
@click.argument("new_name", metavar="NAME")
async def rename_(out: Output, common: Common, new_name: str) -> None:
    """Change your display name; friends see it with your next message."""
    async with attach(common.folder, common.settings, online=False) as node:
        async for event in node.client.ask("name", NameRequest(name=new_name)):
            out.row(event)


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
    sys.stdout.write(found(cli, {}, "p2pchat", "_P2PCHAT_COMPLETE").source())
