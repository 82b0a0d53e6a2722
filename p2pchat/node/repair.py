"""What is wrong with a journal, and a new one of all that is whole in it.

Every chain is checked as if a peer had sent it: ids, links, bodies, signatures. What is damaged,
and what follows it in its chain, is left behind; peers that have it bring it back.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from p2pchat.core.bounds import RUN_BYTES, RUN_ENTRIES_MAX
from p2pchat.core.chain import Accepted, Chains
from p2pchat.core.entry import Entry, signature_holds
from p2pchat.errors import Error
from p2pchat.store import journal, meta, rooms, search, snapshot
from p2pchat.store.database import Connection, Database
from p2pchat.store.journal import HeadRow
from p2pchat.store.profile import Profile

__all__ = ["Damage", "Rebuilt", "find_damage", "rebuild"]

_TABLES = (
    "meta",
    "contacts",
    "trust",
    "invites",
    "shares",
    "rooms",
    "members",
    "epochs",
    "forks",
    "dropped",
    "receipts",
)


@dataclass(frozen=True, slots=True)
class Damage:
    """`pages`: what SQLCipher and SQLite say; `chains`: room, and how many entries are lost."""

    pages: list[str]
    chains: list[tuple[bytes, int]]
    checked: int
    """entries that are whole"""

    def __bool__(self) -> bool:
        return bool(self.pages or self.chains)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """Entries kept, and entries of which the journal only knew that it had them."""

    kept: int
    lost: int
    old: Path


async def find_damage(database: Database) -> Damage:
    """Read all of it. Raises errors.Error `home-damaged` where not even the rooms can be read."""
    pages = await database.read(snapshot.damage)
    broken, checked = [], 0
    async for room, head, entries in _whole(database):
        checked += len(entries)
        if not entries and head.seq >= 0:
            broken.append((room, head.seq + 1))
    return Damage(pages, broken, checked)


async def _whole(database: Database) -> AsyncIterator[tuple[bytes, HeadRow, tuple[Entry, ...]]]:
    """All runs that hold; a chain that breaks off ends with an empty one, its head at the rest."""
    for row in await database.read(rooms.all_rooms):
        members = await database.read(partial(rooms.members, room=row.room))
        chains = Chains(row.room, frozenset(members))
        for head in await database.read(partial(journal.heads, room=row.room)):
            while (reached := chains.seq(head.chain)) < head.seq:
                entries = await _next(database, chains, head)
                if not entries:
                    lost = HeadRow(
                        head.chain, head.seq - reached - 1, b"", head.device, 0, head.forked
                    )
                    yield row.room, lost, ()
                    break
                yield row.room, head, entries


async def _next(database: Database, chains: Chains, head: HeadRow) -> tuple[Entry, ...]:
    """The next run of a chain, if it can be read and holds; a shorter one before what does not."""
    for count in (RUN_ENTRIES_MAX, 32, 1):
        try:
            found = await database.read(
                partial(
                    journal.run,
                    chain=head.chain,
                    first=chains.seq(head.chain) + 1,
                    last=head.seq,
                    size_bytes=RUN_BYTES if count > 1 else 1,
                    count_max=count,
                )
            )
        except Error:
            continue
        if entries := await asyncio.to_thread(_holding, chains, found):
            return entries
    return ()


def _holding(chains: Chains, found: list[Entry]) -> tuple[Entry, ...]:
    # Any of these signatures may stand for a run one day, so all of them are checked.
    if not found or not all(signature_holds(entry) for entry in found if entry.signature):
        return ()
    signature = found[-1].signature
    assert signature is not None
    raws, bodies = [entry.raw for entry in found], [entry.body for entry in found]
    result = chains.accept(raws, bodies, signature)
    chains.unsaved.clear()
    # What does not continue the chain is damage here, and no fork.
    chains.forks.clear()
    if not isinstance(result, Accepted) or {entry.id for entry in result.entries} != {
        entry.id for entry in found
    }:
        return ()
    return tuple(found)


async def rebuild(profile: Profile, key: bytes) -> Rebuilt:
    """Put a new database with all that is whole in the place of the old one, which is kept aside.

    No node may run. The journal goes on as a new incarnation, since peers may have more of the old
    one than is left here. Raises errors.Error.
    """
    path, copy = profile.database_path, profile.home / "journal.new"
    old = profile.home / "journal.damaged"
    for name in (copy, *(copy.with_name(copy.name + end) for end in ("-wal", "-shm"))):
        name.unlink(missing_ok=True)
    source, target = await Database.open(path, key), await Database.open(copy, key)
    kept = lost = 0
    try:
        for table in _TABLES:
            rows = await source.read(partial(_rows, table=table))
            await target.write(partial(_put, table=table, rows=rows))
        if await target.read(partial(meta.get, name="identity")) is None:
            raise Error(
                "home-damaged",
                "the identity itself cannot be read",
                "restore the profile from an archive: p2pchat --home NEW import FILE",
            )
        async for _, head, entries in _whole(source):
            if entries:
                await target.write(partial(journal.insert, entries=entries))
                kept += len(entries)
            else:
                lost += head.seq + 1
        await target.write(search.clear)
        await target.write(partial(meta.put, name="talk", value=b"0"))
    finally:
        await source.aclose()
        await target.aclose()
    await asyncio.to_thread(snapshot.renew, copy, key)
    await asyncio.to_thread(_swap, path, copy, old)
    return Rebuilt(kept, lost, old)


def _swap(path: Path, copy: Path, old: Path) -> None:
    for end in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + end).replace(old.with_name(old.name + end))
    path.replace(old)
    copy.replace(path)


def _rows(tx: Connection, table: str) -> list[tuple[Any, ...]]:
    """As many as can be read."""
    found: list[tuple[Any, ...]] = []
    with suppress(Exception):  # the database's own errors: the rest is unreadable
        for row in tx.execute(f"SELECT * FROM {table}"):  # noqa: S608  (constant)
            found.append(row)  # noqa: PERF402  (to have those before the error)
    return found


def _put(tx: Connection, table: str, rows: list[tuple[Any, ...]]) -> None:
    if rows:
        marks = ", ".join("?" * len(rows[0]))
        tx.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", rows)  # noqa: S608
