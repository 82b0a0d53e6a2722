"""What could go wrong for this profile, each finding in plain words with its remedy."""

import asyncio
import shutil
import stat
from collections.abc import AsyncIterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import p2pchat
from p2pchat.errors import Error
from p2pchat.events import Finding
from p2pchat.node.repair import find_damage
from p2pchat.store.database import Database
from p2pchat.store.profile import Profile
from p2pchat.text import printable

__all__ = ["examine", "histories"]

_FREE_MIN = 200_000_000


async def examine(profile: Profile, database: Database, clock: Finding) -> AsyncIterator[Finding]:
    """`clock`: what `node.clocks` has found."""
    yield _packages()
    yield await asyncio.to_thread(_profile, profile)
    yield await asyncio.to_thread(_disk, profile.home)
    yield clock
    yield await _journal(database)


def _packages() -> Finding:
    ours = Path(p2pchat.__file__).parent.parent
    spec = find_spec("signaling")
    where = Path(spec.origin).parent.parent if spec and spec.origin else None
    if where != ours:
        return Finding(
            check="packages",
            ok=False,
            text=f"another package named signaling stands before ours: {where}",
            hint="install p2pchat with pipx, or into a venv of its own",
        )
    if find_spec("libtorrent") is None:
        return Finding(
            check="packages",
            ok=False,
            text="libtorrent is missing, so there are no files; chat works",
            hint="install p2pchat with CPython 3.11 to 3.13",
        )
    return Finding(check="packages", ok=True, text="all packages are there")


def _profile(profile: Profile) -> Finding:
    for path in (profile.home, profile.home / "key", profile.database_path):
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            return Finding(
                check="profile",
                ok=False,
                text=f"others on this machine may read {path}",
                hint=f"chmod go= {path}",
            )
    locked = "under a passphrase" if profile.is_locked() else "under no passphrase"
    return Finding(check="profile", ok=True, text=f"{profile.home} is yours alone, {locked}")


def _disk(home: Path) -> Finding:
    free = shutil.disk_usage(home).free
    text = f"{free // 1_000_000} MB are free for the profile"
    hint = "free some space: messages and shares need it"
    return Finding(
        check="disk", ok=free >= _FREE_MIN, text=text, hint=None if free >= _FREE_MIN else hint
    )


async def _journal(database: Database) -> Finding:
    hint = "p2pchat down, then p2pchat doctor --repair: friends bring back what is lost"
    try:
        damage = await find_damage(database)
    except Error as error:
        return Finding(check="journal", ok=False, text=error.message, hint=hint)
    if not damage:
        text = f"all {damage.checked} entries are whole and signed"
        return Finding(check="journal", ok=True, text=text)
    lost = sum(count for _, count in damage.chains)
    text = f"the database is damaged: {damage.checked} entries are whole, {lost} cannot be read"
    return Finding(check="journal", ok=False, text=text, hint=hint)


def histories(torn: Sequence[str]) -> Finding:
    """`torn`: names of rooms where two logs of ours stand in one place, and one alone is taken."""
    if not torn:
        return Finding(check="history", ok=True, text="nothing was written twice in one place")
    names = ", ".join(map(printable, torn))
    return Finding(
        check="history",
        ok=False,
        text=f"two copies of this profile have written in {names}: what one of them wrote there, "
        "others do not take, whatever was shown as delivered",
        hint="run one copy only; write again what others lack. What is written from now on arrives",
    )
