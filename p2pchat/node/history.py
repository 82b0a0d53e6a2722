"""Exports and imports as they are asked for: of which form, of which rooms, and who is known since.

The two forms themselves are `archive`.
"""

import asyncio
import os
import time
from pathlib import Path

from p2pchat import events
from p2pchat.node import archive
from p2pchat.node.directory import Directory
from p2pchat.node.parts import Parts
from p2pchat.store import journal
from p2pchat.store.keyfile import Passphrase

__all__ = ["export_archive", "export_lines", "import_"]


async def export_archive(parts: Parts, key: bytes, path: Path, passphrase: str) -> events.Exported:
    """The whole profile, which is under `key`, under a passphrase of its own."""
    args = (path, parts.profile, key, passphrase, os.urandom)
    await asyncio.to_thread(archive.write_archive, *args)
    entries = await parts.database.read(journal.count)
    return events.Exported(path=str(path), format="archive", entries=entries)


async def export_lines(
    parts: Parts, directory: Directory, path: Path, room: str | None
) -> events.Exported:
    """One room, or all, as JSON Lines. Raises errors.BadInput `room-unknown`."""
    if room is not None:
        found = await directory.find(room)
        named = [(found.key, found.name)]
    else:
        named = [(chains.room, directory.name_of(chains)) for chains in parts.rooms.all()]
    entries = await archive.write_lines(path, parts.database, parts.rooms, named)
    return events.Exported(path=str(path), format="jsonl", entries=entries)


async def import_(parts: Parts, path: Path, passphrase: Passphrase) -> events.Imported:
    """Take in what is not here, as `Node.import_` has it."""
    database, held, me = parts.database, parts.rooms, parts.owner.identity
    with archive.reading(path) as source:
        if await asyncio.to_thread(source.is_archive):
            profile = parts.profile
            merge = await archive.merge_archive(source, passphrase, profile, database, held, me)
            await _meet(parts)
        else:
            merge = await archive.merge_lines(source, database, held, me, time.time())
    return events.Imported(path=str(path), added=merge.added, known=merge.known)


async def _meet(parts: Parts) -> None:
    """Whom an archive has brought."""
    before = {contact.person for contact in parts.people.contacts}
    await parts.people.load()
    for contact in parts.people.contacts:
        fresh = contact.person not in before and not parts.people.blocked(contact.person)
        if fresh and parts.online is not None:
            parts.online.peers.contact(contact.person, contact.secret)
