"""History in and out: JSON Lines for people and tools, an encrypted archive for the whole profile.

JSON Lines, readable by all. A room begins with an `export` object (`room`, `name`, `members`); each
entry follows in display order: what `log --json` prints of a message or share, else an `entry`
object, and in both `entry` with the bytes that others can check: `header`, `body`, `signature`, in
base64.

Archive. A line that names the format, a line with a key file under the archive's passphrase
(store/keyfile.py), then the database under that key. Sealed files of shares are not in it.

What comes in is checked as if a peer had sent it, so nothing can be slipped in, and what is known
is left as it is.
"""

import asyncio
import base64
import binascii
import codecs
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from p2pchat.core.bounds import RUN_BYTES, RUN_ENTRIES_MAX
from p2pchat.core.chain import Accepted, Fork, Verdict
from p2pchat.core.entry import Entry, chain_id, parse_header
from p2pchat.core.facts import Append
from p2pchat.core.identity import Identity, direct_room, id_text
from p2pchat.errors import BadInput, Error, Refused
from p2pchat.events import Message, Share, as_json
from p2pchat.node.rooms import Rooms
from p2pchat.store import contacts, journal, keyfile, meta, rooms, snapshot, trust
from p2pchat.store.database import Connection, Database
from p2pchat.store.keyfile import Passphrase
from p2pchat.store.profile import Profile, unwritable
from p2pchat.text import printable

__all__ = [
    "Merge",
    "Source",
    "merge_archive",
    "merge_lines",
    "reading",
    "restore",
    "write_archive",
    "write_lines",
]

_MAGIC = b"p2pchat archive 1\n"
_PAGE = 500
"""Entries read, checked or written between two looks at the loop."""
_LINE_MAX = 1 << 20
_COPY_BYTES = 1 << 20

Run = tuple[bytes, list[bytes], list[bytes | None], bytes]
"""Room, headers, bodies, and the signature of the last."""


# -- out ----------------------------------------------------------------------------------------


async def write_lines(
    path: Path, database: Database, held: Rooms, named: Sequence[tuple[bytes, str]]
) -> int:
    """Write these rooms (id, name) as JSON Lines; answers how many entries there were.

    Raises errors.Error `home-unwritable`, `disk-full`.
    """
    total = 0
    with _replacing(path) as file:
        for room, name in named:
            chains = held.get(room)
            assert chains is not None
            members = sorted(id_text(person) for person in chains.members)
            head = {"v": 1, "event": "export", "room": id_text(room), "name": name}
            await asyncio.to_thread(file.write, _line({**head, "members": members}))
            numbers = await database.read(partial(journal.numbers, room=room))
            for start in range(0, len(numbers), _PAGE):
                wanted = numbers[start : start + _PAGE]
                entries = await database.read(partial(journal.numbered, wanted=wanted))
                events = await held.events(room, entries)
                rows = map(_row, entries, events)
                lines = b"".join(_line(row) for row in rows)
                await asyncio.to_thread(file.write, lines)
                total += len(entries)
    return total


def _row(entry: Entry, event: Message | Share | None) -> dict[str, Any]:
    if event is not None:
        fields = as_json(event)
    else:
        where = {"room": id_text(entry.header.room), "id": id_text(entry.id)}
        fields = {"v": 1, "event": "entry", **where, "kind": entry.header.kind}
    return {
        **fields,
        "entry": {
            "header": _base64(entry.raw),
            "body": _base64(entry.body),
            "signature": _base64(entry.signature),
        },
    }


def _line(fields: dict[str, Any]) -> bytes:
    return msgspec.json.encode(fields) + b"\n"


def _base64(data: bytes | None) -> str | None:
    return base64.b64encode(data).decode() if data is not None else None


def write_archive(
    path: Path, profile: Profile, key: bytes, passphrase: str, random: Callable[[int], bytes]
) -> None:
    """Write the whole profile, under `passphrase`. Blocks: run it in a thread.

    Raises errors.Error `home-unwritable`, `disk-full`, `home-damaged`.
    """
    new_key = random(keyfile.KEY_BYTES)
    copy = profile.home / "archive.new"
    try:
        copy.unlink(missing_ok=True)
        try:
            snapshot.take(profile.database_path, key, copy, new_key)
        except Error as error:
            raise _incomplete(error) if error.code == "home-damaged" else error from error
        with _replacing(path) as file, copy.open("rb") as source:
            file.write(_MAGIC + keyfile.lock(new_key, passphrase, random) + b"\n")
            _copy(source, file)
    finally:
        copy.unlink(missing_ok=True)


def _incomplete(error: Error) -> Error:
    """An archive is the whole database: half of one would look like all there is."""
    return Error(
        "home-damaged",
        f"the journal is damaged, and no archive was written: {error.message}",
        "p2pchat doctor --repair first, then the archive; --format jsonl writes what can be read",
    )


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that is at `path` once all is written, readable by its owner; else nothing is.

    A named pipe is written to as it is.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        if path.is_fifo():
            # Where nobody reads that fails, instead of waiting for somebody.
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.set_blocking(descriptor, True)
            with open(descriptor, "wb") as pipe:  # noqa: PTH123  (a descriptor)
                yield pipe
            return
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123  (a descriptor, for the mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> Error:
    return Error(
        "disk-full" if unwritable(path, error).code == "disk-full" else "home-unwritable",
        f"{path} cannot be written: {error.strerror}",
        "choose another place for it",
    )


def _copy(source: BinaryIO, target: BinaryIO) -> None:
    while data := source.read(_COPY_BYTES):
        target.write(data)


# -- in -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """A file, or a named pipe: it is read once, from its beginning."""

    path: Path
    file: BufferedReader

    def is_archive(self) -> bool:
        """Whether it begins as an archive does. Blocks. Raises errors.BadInput `file-missing`."""
        with _faults(self.path):
            return self.file.peek(len(_MAGIC))[: len(_MAGIC)] == _MAGIC


@contextmanager
def reading(path: Path) -> Iterator[Source]:
    """Raises errors.BadInput `file-missing`."""
    with _faults(path):
        # Of a pipe whose writer has gone already, what it has left can be read.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(descriptor, True)
        file = open(descriptor, "rb")  # noqa: PTH123, SIM115  (a descriptor)
    with file:
        yield Source(path, file)


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(
            "file-missing", f"{path} cannot be read: {error.strerror}", "check the path"
        ) from error


def _malformed(what: str) -> BadInput:
    return BadInput("import-malformed", what, "export it again with p2pchat export")


def _foreign(what: str) -> Refused:
    return Refused(
        "import-foreign",
        what,
        "import it into the profile it came from; an archive also makes a new one: --home DIR",
    )


class Merge:
    """Takes runs into the journal, as from a peer."""

    def __init__(self, held: Rooms) -> None:
        self._held = held
        self._declined: dict[bytes, list[Run]] = {}
        """chain -> what comes from whoever belongs to the room by no act that is known yet"""
        self.added = 0
        self.known = 0

    async def take(self, run: Run) -> None:
        """Raises errors.BadInput `import-malformed`."""
        header = parse_header(run[1][0])
        assert header is not None
        chain = chain_id(header.room, header.device, header.incarnation)
        if chain in self._declined or not await self._accept(run):
            self._declined.setdefault(chain, []).append(run)

    async def finish(self) -> None:
        """Take what the acts have made room for meanwhile. Raises as `take`."""
        before, left = -1, self._left()
        while left not in (0, before):
            declined, self._declined = self._declined, {}
            for runs in declined.values():
                for run in runs:
                    await self.take(run)
            before, left = left, self._left()

    def _left(self) -> int:
        return sum(map(len, self._declined.values()))

    async def _accept(self, run: Run) -> bool:
        room, headers, bodies, signature = run
        chains = self._held.get(room)
        assert chains is not None
        result = chains.accept(headers, bodies, signature)
        new: tuple[Entry, ...] = ()
        match result:
            case Accepted(entries):
                new = entries
                await self._held.commit([Append(room, entries)], None)
            case Verdict.STRANGER:
                return False
            case Verdict.BAD | Verdict.GAP | Fork():
                raise _malformed("the file has entries that are forged, damaged or out of order")
        self.added += len(new)
        self.known += len(headers) - len(new)
        return True


async def merge_lines(
    source: Source, database: Database, held: Rooms, identity: Identity, now: float
) -> Merge:
    """Take the entries of a file of JSON Lines into rooms that we are a member of.

    What stands before a fault is taken. Raises errors.BadInput `file-missing`, `import-malformed`;
    errors.Refused `import-foreign`.
    """
    merge = Merge(held)
    try:
        await _merge_lines(merge, source, database, held, identity, now)
        await merge.finish()
    except (BadInput, Refused) as error:
        if error.code == "file-missing":
            raise
        with suppress(BadInput):
            await merge.finish()
        taken = "nothing of it was taken"
        if merge.added or merge.known:
            taken = f"{merge.added} entries before that were added, {merge.known} known already"
        raise type(error)(error.code, f"{error.message}; {taken}", error.hint) from error
    return merge


async def _merge_lines(
    merge: Merge, source: Source, database: Database, held: Rooms, identity: Identity, now: float
) -> None:
    pending: dict[bytes, list[tuple[bytes, bytes | None]]] = {}
    current = b""
    async for number, line in _lines(source):
        try:
            fields = msgspec.json.decode(line, type=dict[str, Any])
            if fields.get("event") == "export":
                current = await _enter(fields, database, held, identity, now)
                continue
            parts = fields["entry"]
            raw, body, signature = (
                None if parts[name] is None else base64.b64decode(parts[name], validate=True)
                for name in ("header", "body", "signature")
            )
            header = parse_header(raw) if raw is not None else None
            if raw is None or header is None or header.room != current:
                raise ValueError("header")
        except (
            msgspec.DecodeError, KeyError, TypeError, ValueError, RecursionError, binascii.Error,
        ) as error:  # fmt: skip
            raise _malformed(f"line {number} is no line of an export") from error
        chain = chain_id(header.room, header.device, header.incarnation)
        run = pending.setdefault(chain, [])
        run.append((raw, body))
        if len(run) > RUN_ENTRIES_MAX:
            raise _malformed(f"line {number}: too many entries without a signature")
        if signature is not None:
            del pending[chain]
            try:
                await merge.take(
                    (current, [raw for raw, _ in run], [body for _, body in run], signature)
                )
            except BadInput as error:
                raise _malformed(f"up to line {number} {error.message}") from error
    if pending:
        raise _malformed("the file ends too early")


async def _lines(source: Source) -> AsyncIterator[tuple[int, bytes]]:
    with _faults(source.path):
        number = 0
        while page := await asyncio.to_thread(_page, source.file):
            for line in page:
                number += 1
                if number == 1:
                    # As some editors put it before a text.
                    line = line.removeprefix(codecs.BOM_UTF8)  # noqa: PLW2901
                if len(line) > _LINE_MAX:
                    raise _malformed(f"line {number} is too long")
                if line.strip():
                    yield number, line


def _page(file: BinaryIO) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < _PAGE and (line := file.readline(_LINE_MAX + 1)):
        found.append(line)
    return found


async def _enter(
    fields: dict[str, Any], database: Database, held: Rooms, identity: Identity, now: float
) -> bytes:
    """The room that follows; made if we are a member of it and it is not there."""
    members = [_id(text) for text in fields["members"]]
    room = _id(fields["room"])
    if held.get(room) is None:
        if len(members) != 2 or identity.person not in members or room != direct_room(*members):
            name = fields.get("name")
            called = f"{printable(name)[:64]} " if isinstance(name, str) and name else ""
            raise _foreign(
                f"the history is of {called}[{id_text(room)[:8]}], a room that you are no member of"
            )
        await database.write(
            lambda tx: rooms.add(tx, room, "direct", "", now, members),
        )
        held.opened(room, members)
    return room


def _id(text: str) -> bytes:
    """Raises ValueError."""
    data = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    if len(data) != 32:
        raise ValueError("length")
    return data


async def merge_archive(
    given: Source,
    passphrase: Passphrase,
    profile: Profile,
    database: Database,
    held: Rooms,
    identity: Identity,
) -> Merge:
    """Take what an archive of this identity has beyond what is here.

    Raises errors.BadInput `file-missing`, `import-malformed`; errors.Refused `import-foreign`,
    `passphrase-wrong`; errors.Busy `home-locked`.
    """
    copy = profile.home / "import.new"
    merge = Merge(held)
    try:
        key = await asyncio.to_thread(_unpack, given, passphrase, copy)
        source = await Database.open(copy, key)
        try:
            stored = await source.read(partial(meta.get, name="identity"))
            if stored is None or msgspec.msgpack.decode(stored, type=Identity).person != (
                identity.person
            ):
                raise _foreign("the archive is of another identity")
            await _people_and_rooms(source, database, held)
            for row in await source.read(rooms.all_rooms):
                for head in await source.read(partial(journal.heads, room=row.room)):
                    await _merge_chain(source, merge, row.room, head)
            await merge.finish()
        finally:
            await source.aclose()
    finally:
        _forget(copy)
    return merge


async def _merge_chain(source: Database, merge: Merge, room: bytes, head: journal.HeadRow) -> None:
    seq = 0
    while seq <= head.seq:
        entries = await source.read(
            partial(
                journal.run,
                chain=head.chain,
                first=seq,
                last=head.seq,
                size_bytes=RUN_BYTES,
                count_max=RUN_ENTRIES_MAX,
            )
        )
        if not entries:
            raise _malformed("the archive has entries without a signature")
        signature = entries[-1].signature
        assert signature is not None
        await merge.take(
            (room, [entry.raw for entry in entries], [entry.body for entry in entries], signature)
        )
        seq = entries[-1].header.seq + 1


async def _people_and_rooms(source: Database, database: Database, held: Rooms) -> None:
    def read(tx: Connection) -> list[tuple[rooms.RoomRow, list[bytes]]]:
        return [(row, rooms.members(tx, row.room)) for row in rooms.all_rooms(tx)]

    people = await source.read(contacts.all_contacts)
    found = await source.read(read)
    marks = await source.read(trust.all_marks)

    def write(tx: Connection) -> None:
        known = {contact.person for contact in contacts.all_contacts(tx)}
        for contact in people:
            if contact.person not in known:
                contacts.put(tx, contact.certificate, contact.secret, contact.last_seen)
                # Of whom we know, what we say now stands: a verification may have been taken back.
                if (mark := marks.get(contact.person)) is not None:
                    trust.put(tx, contact.person, mark)
        for row, members in found:
            rooms.add(tx, row.room, row.kind, row.name, row.created, members)

    await database.write(write)
    for row, members in found:
        if row.kind == "group":
            held.opened_group(row.room)
        else:
            held.opened(row.room, members)


def restore(profile: Profile, path: Path, passphrase: Passphrase) -> None:
    """Make the profile what an archive holds; it must be new. Blocks: run it in a thread.

    Its journal goes on as a new incarnation, so what was written after the archive was made comes
    back from peers instead of being contradicted. Raises as `merge_archive`, and errors.Error.
    """
    random = os.urandom
    copy = profile.home / "import.new"
    try:
        with reading(path) as source:
            key = _unpack(source, passphrase, copy)
        with snapshot.reading(copy, key) as connection:
            if meta.get(connection, "identity") is None:
                raise _malformed("the archive has no identity")
        # The archive's key stays the archive's.
        new_key = random(keyfile.KEY_BYTES)
        snapshot.rekey(copy, key, new_key)
        snapshot.renew(copy, new_key)
        # Its passphrase too: whoever wants one for the profile sets it.
        profile.keep_key(keyfile.plain(new_key))
        copy.replace(profile.database_path)
    except OSError as error:
        raise unwritable(profile.home, error) from error
    finally:
        _forget(copy)


def _unpack(source: Source, passphrase: Passphrase, copy: Path) -> bytes:
    """Write the archive's database to `copy`; its key."""
    path, file = source.path, source.file
    with _faults(path):
        if file.read(len(_MAGIC)) != _MAGIC:
            raise _malformed(f"{path} is no archive of p2pchat")
        try:
            key = keyfile.unlock(file.readline(_LINE_MAX), passphrase)
        except ValueError as error:
            raise _malformed(f"{path} is damaged") from error
        except Refused as error:
            raise Refused(
                error.code,
                "that is not the archive's passphrase",
                "try again; it need not be the profile's: P2PCHAT_ARCHIVE_PASSPHRASE gives it",
            ) from error
        _forget(copy)
        try:
            with copy.open("wb") as target:
                _copy(file, target)
        except OSError as error:
            raise unwritable(copy.parent, error) from error
    try:
        with snapshot.reading(copy, key) as connection:
            damage = snapshot.damage(connection)
    except Error as error:
        raise (
            _malformed(f"{path} is damaged") if error.code == "home-damaged" else error
        ) from error
    if damage:
        raise _malformed(f"{path} is damaged: {damage[0]}")
    return key


def _forget(copy: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(OSError):
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)
