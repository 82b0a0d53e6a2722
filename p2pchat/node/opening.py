"""A profile's database and its owner; on a full disk as it is, to be read.

Each opening counts itself in the profile, so that a copy put back is noticed. Where that cannot be
written, nothing may be written at all in this opening: others would take it for a fork.
"""

import os

from p2pchat.errors import Error
from p2pchat.node.owner import Owner
from p2pchat.store.database import Database
from p2pchat.store.profile import Profile

__all__ = ["open_journal"]


async def open_journal(
    profile: Profile, key: bytes, name: str | None, *, reading: bool
) -> tuple[Database, Owner, bytes]:
    """The database, its owner, and the incarnation to write in.

    `reading`: whether it is of use where nothing can be written. Raises what `Database.open` and
    `Owner.load` raise.
    """
    try:
        return await _open(profile, key, name, only_read=False)
    except Error as error:
        if error.code != "disk-full" or not reading:
            raise
    return await _open(profile, key, name, only_read=True)


async def _open(
    profile: Profile, key: bytes, name: str | None, *, only_read: bool
) -> tuple[Database, Owner, bytes]:
    database = await Database.open(profile.database_path, key, only_read=only_read)
    try:
        return database, *await Owner.load(database, profile, name, os.urandom)
    except BaseException:
        await database.aclose()
        raise
