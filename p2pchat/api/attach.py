"""Attach to the running node, else host one for as long as it is needed."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from p2pchat import config as configuration
from p2pchat import errors
from p2pchat.api.client import Client, NotRunning
from p2pchat.store import keyfile
from p2pchat.store.keyfile import Passphrase
from p2pchat.store.profile import Profile, default_home

__all__ = [
    "Attached",
    "attach",
    "attached",
    "check_free",
    "default_home",
    "host",
    "is_locked",
    "lock",
    "repair",
    "repairable",
    "restore",
    "running_process",
    "settings",
]


def settings(home: Path, given: Sequence[str]) -> configuration.Config:
    """The settings in force for a home. Raises errors.Usage."""
    return configuration.load(home.expanduser() / "config.toml", os.environ, given)


def is_locked(home: Path) -> bool:
    """Whether the profile needs a passphrase; False where that cannot be told."""
    try:
        return keyfile.is_locked((home.expanduser() / "key").read_bytes())
    except (OSError, ValueError, errors.Error):
        return False


def check_free(home: Path) -> None:
    """Raises errors.Busy `home-in-use` where a node runs on the profile."""
    Profile.open(home).close()


def lock(home: Path, passphrase: Passphrase, new: str | None) -> None:
    """Put the profile under the passphrase `new`, or under none; no node may run on it.

    Blocks for a second or two. Raises errors.Busy `home-in-use`, `home-locked`, errors.Refused
    `passphrase-wrong`, errors.Error.
    """
    profile = Profile.open(home)
    try:
        key = profile.key(os.urandom, passphrase)
        locked = keyfile.plain(key) if new is None else keyfile.lock(key, new, os.urandom)
        profile.keep_key(locked)
    finally:
        profile.close()


async def repair(home: Path, passphrase: Passphrase) -> tuple[int, int, int, Path] | None:
    """Put a new journal of all that is whole in the place of a damaged one; no node may run.

    Answers the entries kept, those of them whose bodies are lost, those lost, and where the old one
    lies; None where nothing was wrong. Raises errors.Busy, errors.Refused `passphrase-wrong`,
    errors.Error.
    """
    from p2pchat.node.repair import repair

    profile = Profile.open(home)
    try:
        key = await asyncio.to_thread(profile.key, os.urandom, passphrase)
        rebuilt = await repair(profile, key)
    finally:
        profile.close()
    if rebuilt is None:
        return None
    return rebuilt.kept, rebuilt.bare, rebuilt.lost, rebuilt.old


def repairable(home: Path, passphrase: Passphrase) -> None:
    """Whether a repair could begin, of a journal that cannot be opened. Blocks.

    Raises errors.Error `home-damaged` where it could not, with what else to do; else as `repair`.
    """
    from p2pchat.node.repair import check

    profile = Profile.open(home)
    try:
        check(profile, profile.key(os.urandom, passphrase))
    finally:
        profile.close()


def restore(home: Path, path: Path, passphrase: str | None) -> None:
    """Make a new profile of an archive; the next command opens it. Blocks for a second or two.

    Raises errors.BadInput `file-missing`, `import-malformed`; errors.Refused `passphrase-wrong`;
    errors.Usage `passphrase-missing`; errors.Busy; errors.Error.
    """
    from p2pchat.node.archive import restore

    def given() -> str:
        if passphrase is None:
            raise errors.Usage(
                "passphrase-missing",
                "the archive is under a passphrase",
                "run it in a terminal, or give P2PCHAT_ARCHIVE_PASSPHRASE or "
                "--archive-passphrase-file FILE",
            )
        return passphrase

    profile = Profile.open(home)
    try:
        restore(profile, path, given)
    finally:
        profile.close()


def running_process(home: Path) -> int | None:
    """The process that holds the profile, None if it is free."""
    return Profile.owner(home.expanduser())


@dataclass(frozen=True, slots=True)
class Attached:
    """A client, and whether the node lives in this process (`hosted`) and is new (`created`)."""

    client: Client
    hosted: bool
    created: bool
    name: str
    stop: asyncio.Event


@asynccontextmanager
async def attached(home: Path) -> AsyncIterator[Client]:
    """The running node's client. Raises NotRunning."""
    path = Profile.socket_for(home)
    if not path.exists():
        raise NotRunning
    async with Client.open(path) as client:
        if not await client.answers():
            raise NotRunning
        yield client


@asynccontextmanager
async def host(
    home: Path,
    config: configuration.Config,
    name: str | None,
    *,
    online: bool,
    passphrase: Passphrase | None = None,
    only_read: bool = False,
) -> AsyncIterator[Attached]:
    """A node in this process, and a client to it. Raises what `Node.open` raises."""
    from p2pchat.api.server import serve
    from p2pchat.node.node import Node

    stop = asyncio.Event()
    async with (
        Node.open(
            home,
            config=config,
            name=name,
            online=online,
            passphrase=passphrase,
            only_read=only_read,
        ) as node,
        serve(node, stop),
        Client.open(node.profile.socket_path) as client,
    ):
        # What was imported and opened stays. Else the first full collection goes through all of it,
        # 20 to 40 ms in the middle of some request.
        gc.freeze()
        yield Attached(client, hosted=True, created=node.created, name=node.name, stop=stop)


@asynccontextmanager
async def attach(
    home: Path,
    given: Sequence[str] = (),
    name: str | None = None,
    *,
    online: bool = True,
    passphrase: Passphrase | None = None,
) -> AsyncIterator[Attached]:
    """Attach or host. A node that is just starting or ending is waited for, two seconds at most.

    Raises errors.Busy `home-in-use` where the profile is held by somebody who does not answer, and
    what `Node.open` raises.
    """
    async with AsyncExitStack() as stack:
        yield await _reach(stack, home, given, name, online=online, passphrase=passphrase)


async def _reach(
    stack: AsyncExitStack,
    home: Path,
    given: Sequence[str],
    name: str | None,
    *,
    online: bool,
    passphrase: Passphrase | None,
) -> Attached:
    deadline = asyncio.get_running_loop().time() + 2
    while True:
        try:
            client = await stack.enter_async_context(attached(home))
            return Attached(client, hosted=False, created=False, name="", stop=asyncio.Event())
        except NotRunning:
            pass
        try:
            config = settings(home, given)
            hosted = host(
                home, config, name, online=online, passphrase=passphrase, only_read=not online
            )
            return await stack.enter_async_context(hosted)
        except errors.Busy as error:
            if error.code != "home-in-use" or asyncio.get_running_loop().time() > deadline:
                raise
        # Its owner has the lock but no socket yet, or no more: there is no event to wait on.
        await asyncio.sleep(0.05)
