"""What is wrong with a journal, and a new one of all that is whole in it.

Every chain is checked as if a peer had sent it: ids, links, bodies, signatures; not whether its
author might write there, which was judged when it came, and will be again of what is left. What is
damaged, and what follows it in its chain, is left behind; peers that have it bring it back.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

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
from p2pchat.core.identity import Certificate, Identity
from p2pchat.errors import Error
from p2pchat.node.rebuilding import explain
from p2pchat.store import expiring, journal, meta, remnants, rooms, search, snapshot, withheld
from p2pchat.store.database import SCHEMA_VERSION, Connection, Database
from p2pchat.store.journal import HeadRow
from p2pchat.store.profile import REMEDY, Profile, unwritable

__all__ = ["Damage", "Rebuilt", "check", "find_damage", "rebuild", "repair"]


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
    """Entries kept, those of them whose bodies are lost, and entries of which the journal only knew
    that it had them, or that hang on such."""

    kept: int
    bare: int
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


async def repair(profile: Profile, key: bytes) -> Rebuilt | None:
    """Rebuild the journal if anything is wrong with it; None: it is whole, and stays as it is.

    No node may run. Raises errors.Error.
    """
    await asyncio.to_thread(check, profile, key)
    try:
        async with _opened(profile.database_path, key) as database:
            if not await find_damage(database) and await database.read(_identity) is not None:
                return None
    except Error as error:
        if error.code != "home-damaged":
            raise
    return await rebuild(profile, key)


def check(profile: Profile, key: bytes) -> None:
    """Raises errors.Error `home-damaged` where there is nothing that a repair could begin with,
    `home-newer`."""
    profile.check_database()
    with _readable(profile):
        if (remnants.version(profile.database_path, key) or 0) > SCHEMA_VERSION:
            raise Error(
                "home-newer",
                "the profile was written by a newer p2pchat",
                "update p2pchat, or choose another --home",
            )
        if remnants.identity(profile.database_path, key) is None:
            raise Error("home-damaged", "the identity itself cannot be read", REMEDY)


async def rebuild(profile: Profile, key: bytes) -> Rebuilt:
    """Put a new database with all that is whole in the place of the old one, which is kept aside.

    No node may run. The journal goes on as a new incarnation, since peers may have more of the old
    one than is left here. Raises errors.Error.
    """
    path, copy = profile.database_path, profile.home / "journal.new"
    rows = profile.home / "journal.rows"
    await asyncio.to_thread(check, profile, key)
    try:
        _forget(copy, rows)
        async with _opened(rows, key) as source, _opened(copy, key) as target:
            with _readable(profile):
                found = await source.write(partial(remnants.gather, path=path, key=key))
            kept, bare, lost = await _refill(source, target, found)
        await asyncio.to_thread(snapshot.renew, copy, key)
        old = await asyncio.to_thread(_swap, path, copy)
    except OSError as error:
        raise unwritable(profile.home, error) from error
    finally:
        _forget(copy, rows)
    return Rebuilt(kept, bare, lost, old)


async def _refill(
    source: Database, target: Database, found: remnants.Gathered
) -> tuple[int, int, int]:
    """From rows as they were found to a journal that holds: entries kept, bare, and lost."""
    identity = await source.read(_identity)
    if identity is None:
        raise Error("home-damaged", "the identity itself cannot be read", REMEDY)
    await source.write(partial(explain, identity=identity, guessed=found.guessed))
    for table in remnants.TABLES:
        rows = await source.read(partial(_rows, table=table))
        await target.write(partial(_put, table=table, rows=rows))
    kept = bare = lost = 0
    async for chains, head, entries in _whole(source):
        if entries:
            await target.write(partial(journal.insert, entries=entries))
            kept += len(entries)
            bare += sum(entry.id in found.bare for entry in entries)
        else:
            lost += _rest(chains, head)
            acts = await _acts_beyond(source, chains, head)
            await target.write(partial(_withhold, acts=acts))
    await target.write(_mark_forks)
    await target.write(search.clear)
    await target.write(expiring.tidy)
    await target.write(partial(meta.put, name="talk", value=b"0"))
    return kept, bare, lost


@asynccontextmanager
async def _opened(path: Path, key: bytes) -> AsyncIterator[Database]:
    database = await Database.open(path, key)
    try:
        yield database
    finally:
        await database.aclose()


@contextmanager
def _readable(profile: Profile) -> Iterator[None]:
    """An OSError of the damaged file, as an error for people."""
    try:
        yield
    except OSError as error:
        what = f"{profile.database_path} cannot be read: {error.strerror}"
        raise Error("home-damaged", what, REMEDY) from error


def _identity(tx: Connection) -> Identity | None:
    stored = meta.get(tx, "identity")
    return msgspec.msgpack.decode(stored, type=Identity) if stored is not None else None


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


def _swap(path: Path, copy: Path) -> Path:
    """Put `copy` in the place of `path`; answers where the old one is now."""
    old = _aside(path)
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size:
        log.replace(old.with_name(old.name + "-wal"))
    log.unlink(missing_ok=True)
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    path.replace(old)
    copy.replace(path)
    return old


def _aside(path: Path) -> Path:
    """A place for a damaged journal beside those of earlier repairs."""
    first = path.with_name("journal.damaged")
    numbered = (path.with_name(f"{first.name}-{number}") for number in itertools.count(2))
    logs = ((old, old.with_name(old.name + "-wal")) for old in itertools.chain([first], numbered))
    return next(old for old, log in logs if not (os.path.lexists(old) or os.path.lexists(log)))


def _forget(*paths: Path) -> None:
    for path in paths:
        for end in ("", "-wal", "-shm"):
            with suppress(OSError):
                path.with_name(path.name + end).unlink(missing_ok=True)


def _rows(tx: Connection, table: str) -> list[tuple[Any, ...]]:
    return tx.execute(f"SELECT * FROM {table}").fetchall()  # type: ignore[no-any-return]  # noqa: S608


def _put(tx: Connection, table: str, rows: list[tuple[Any, ...]]) -> None:
    if rows:
        marks = ", ".join("?" * len(rows[0]))
        tx.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", rows)  # noqa: S608
