"""What is wrong with a journal, and a new one of all that is whole in it.

Every chain is checked as if a peer had sent it: ids, links, bodies, signatures; not whether its
author might write there, which was judged when it came, and will be again of what is left. What is
damaged, and what follows it in its chain, is left behind; peers that have it bring it back.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from p2pchat.core.acts import CREATE
from p2pchat.core.bounds import RUN_BYTES, RUN_ENTRIES_MAX
from p2pchat.core.chain import Accepted, Chains, Verdict
from p2pchat.core.entry import (
    DEVICE,
    Entry,
    body_fits,
    certificate_of,
    entry_id,
    signature_holds,
)
from p2pchat.core.identity import Certificate
from p2pchat.errors import Error
from p2pchat.store import expiring, journal, meta, rooms, search, snapshot, withheld
from p2pchat.store.database import Connection, Database
from p2pchat.store.journal import HeadRow
from p2pchat.store.profile import Profile

__all__ = ["Damage", "Rebuilt", "find_damage", "rebuild"]

_TABLES = (
    "meta", "contacts", "trust", "invites", "pursuits", "shares", "rooms", "members", "epochs",
    "forks", "withheld", "arrivals", "joins", "invite_rooms", "dropped", "lacking", "receipts",
    "expiring", "lacking_asked",
)  # fmt: skip
"""What is copied as far as it can be read; all else follows from entries, and is made anew."""


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


class _Stored(Chains):
    """Chains of a room of any kind, whoever belongs to it."""

    def _vet(self, chain: bytes, entries: Sequence[Entry]) -> Accepted | Verdict:
        del chain
        for entry in entries:
            if entry.header.kind in (DEVICE, CREATE):
                certificate = certificate_of(entry.header, entry.body)
                if certificate is None:
                    return Verdict.BAD
                self.certify(certificate)
        known = entries[0].header.device in self.certificates
        return Accepted(tuple(entries)) if known else Verdict.BAD


async def find_damage(database: Database) -> Damage:
    """Read all of it. Raises errors.Error `home-damaged` where not even the rooms can be read."""
    pages = await database.read(snapshot.damage)
    broken, checked = [], 0
    async for chains, head, entries in _whole(database):
        checked += len(entries)
        if not entries:
            broken.append((chains.room, _rest(chains, head)))
    return Damage(pages, broken, checked)


async def _whole(database: Database) -> AsyncIterator[tuple[Chains, HeadRow, tuple[Entry, ...]]]:
    """All runs that hold, and what they continue; where a chain breaks off, an empty one."""
    for row in await database.read(rooms.all_rooms):
        chains = _Stored(row.room, frozenset())
        for head in await database.read(partial(journal.heads, room=row.room)):
            while chains.seq(head.chain) < head.seq:
                entries = await _next(database, chains, head)
                yield chains, head, entries
                if not entries:
                    break


def _rest(chains: Chains, head: HeadRow) -> int:
    """How many entries are missing where a chain breaks off."""
    return head.seq - chains.seq(head.chain)


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
        async for chains, head, entries in _whole(source):
            if entries:
                await target.write(partial(journal.insert, entries=entries))
                kept += len(entries)
            else:
                lost += _rest(chains, head)
                acts = await _acts_beyond(source, chains, head)
                await target.write(partial(_withhold, acts=acts))
        await target.write(_mark_forks)
        await target.write(search.clear)
        await target.write(expiring.tidy)
        await target.write(partial(meta.put, name="talk", value=b"0"))
    finally:
        await source.aclose()
        await target.aclose()
    await asyncio.to_thread(snapshot.renew, copy, key)
    await asyncio.to_thread(_swap, path, copy, old)
    return Rebuilt(kept, lost, old)


async def _acts_beyond(
    database: Database, chains: Chains, head: HeadRow
) -> list[tuple[Entry, Certificate]]:
    """Acts after where a chain breaks off that hold by themselves: who belongs rests on them."""
    certificate = chains.certificates.get(head.device)
    if certificate is None:
        return []
    found: list[tuple[Entry, Certificate]] = []
    with suppress(Error):
        reached = chains.seq(head.chain)
        seqs = await database.read(partial(journal.acts_beyond, chain=head.chain, seq=reached))
        for seq in seqs:
            with suppress(Error):
                found += [(entry, certificate) for entry in await _one(database, head.chain, seq)]
    return found


async def _one(database: Database, chain: bytes, seq: int) -> list[Entry]:
    read = partial(journal.run, chain=chain, first=seq, last=seq, size_bytes=1, count_max=1)
    return [
        entry
        for entry in await database.read(read)
        if entry.id == entry_id(entry.raw)
        and body_fits(entry.header, entry.body)
        and signature_holds(entry)
    ]


def _withhold(tx: Connection, acts: Sequence[tuple[Entry, Certificate]]) -> None:
    for entry, certificate in acts:
        withheld.keep(tx, entry, certificate)


def _mark_forks(tx: Connection) -> None:
    tx.execute("UPDATE chains SET forked = 1 WHERE chain IN (SELECT chain FROM forks)")


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
