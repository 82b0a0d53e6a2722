"""up, down, status."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress

import click

from p2pchat.api.attach import attached, host, running_process, settings
from p2pchat.api.client import NotRunning
from p2pchat.cli import logs
from p2pchat.cli.command import Common, command
from p2pchat.cli.ending import ending_in_time
from p2pchat.cli.invite import greet
from p2pchat.cli.output import Output
from p2pchat.cli.streams import is_secret
from p2pchat.errors import Busy, Error

__all__ = ["down_", "ensure_up", "status_", "up_"]

_START_S = 60.0
"""A process that ends is noticed at once; this is for one that hangs, not for a busy machine."""
_STOP_S = 30.0


@command
@click.option("--foreground", is_flag=True, help="Stay in this terminal.")
async def up_(out: Output, common: Common, *, foreground: bool) -> None:
    """Start the background node: it keeps you reachable, and in sync."""
    try:
        async with attached(common.folder):
            raise Busy(
                "home-in-use",
                f"a node runs on {common.folder} already (process "
                f"{running_process(common.folder)})",
                "see p2pchat status; stop it with p2pchat down",
            )
    except NotRunning:
        pass
    if foreground:
        await _stay(out, common)
    else:
        await _start(out, common)


async def _stay(out: Output, common: Common) -> None:
    logs.show()
    config = settings(common.folder, common.settings)
    async with host(
        common.folder, config, common.name, online=True, passphrase=common.passphrase
    ) as node:
        greet(out, node)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, node.stop.set)
        out.note(f"{node.name} is up (process {os.getpid()}); Ctrl-C or p2pchat down ends it")
        with ending_in_time():
            await node.stop.wait()


async def ensure_up(out: Output, common: Common) -> None:
    """Start the background node if there is none."""
    try:
        async with attached(common.folder):
            return
    except NotRunning:
        await _start(out, common)


async def _start(out: Output, common: Common) -> None:
    # In this process first, so that whatever is wrong with the profile is told here.
    config = settings(common.folder, common.settings)
    async with host(
        common.folder, config, common.name, online=False, passphrase=common.passphrase
    ) as node:
        greet(out, node)
    arguments = [sys.executable, "-m", "p2pchat.cli.main", "--home", str(common.folder)]
    for setting in common.settings:
        arguments += ["--set", setting]
    with logs.file_for(common.folder).open("ab") as log:
        secret = common.passphrase()
        if secret is not None:
            arguments += ["--passphrase-file", "/dev/stdin"]
        process = subprocess.Popen(  # noqa: ASYNC220  (returns at once, and must outlive us)
            [*arguments, "up", "--foreground"],
            stdin=subprocess.DEVNULL if secret is None else subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            # A node lives long, and who may look at it can read its environment.
            env={key: value for key, value in os.environ.items() if not is_secret(key)},
        )
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.write(os.fsencode((secret or "") + "\n"))
            process.stdin.close()
    deadline = asyncio.get_running_loop().time() + _START_S
    while asyncio.get_running_loop().time() < deadline and process.poll() is None:
        try:
            async with attached(common.folder) as client:
                async for event in client.ask("status"):
                    out.row(event)
                return
        except NotRunning:
            await asyncio.sleep(0.02)  # another process: there is no event to wait on
    raise Error(
        "internal", "the background node did not start", f"see the end of {common.folder}/node.log"
    )


@command
async def down_(out: Output, common: Common) -> None:
    """Stop the background node; returns when it has ended."""
    try:
        async with attached(common.folder) as client:
            async for _ in client.ask("down"):
                pass
    except NotRunning:
        raise Error(
            "not-running", f"no node runs on {common.folder}", "start one with p2pchat up"
        ) from None
    deadline = asyncio.get_running_loop().time() + _STOP_S
    while running_process(common.folder) is not None:
        if asyncio.get_running_loop().time() > deadline:
            raise Error(
                "internal",
                "the node did not end in time",
                f"end process {running_process(common.folder)} by hand",
            )
        await asyncio.sleep(0.02)  # another process: there is no event to wait on
    out.note("the node has ended")


@command
async def status_(out: Output, common: Common) -> None:
    """Show the node's state, and how far each member differs."""
    async with common.attach(online=False) as node:
        greet(out, node)
        async for event in node.client.ask("status"):
            out.row(event)
