"""A copy of the whole database, in one moment, under a key of its own."""

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import sqlcipher3.dbapi2 as sqlite

from p2pchat.store.database import Connection, connect, faults

__all__ = ["damage", "reading", "rekey", "renew", "take"]

_REST_S, _PAUSE_S = 5.0, 0.01
"""How long to wait for others who read or checkpoint, and between two looks."""


def take(path: Path, key: bytes, target: Path, new_key: bytes) -> None:
    """Copy the database at `path` to `target`, which must not be there, under `new_key`.

    Others may go on writing to it. Raises errors.Error as `Database.open` does.
    """
    with faults(target), closing(connect(path, key)) as connection:
        # The copy has the key of its source at first; the target's mode comes from the umask.
        connection.execute("VACUUM INTO ?", (os.fspath(target),))
    rekey(target, key, new_key)


def rekey(path: Path, key: bytes, new_key: bytes) -> None:
    """Put a database that nobody has open under another key. Raises as `take`."""
    with faults(path), closing(connect(path, key)) as connection:
        # Needs all of it in one file.
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute(f"PRAGMA rekey = \"x'{new_key.hex()}'\"")


@contextmanager
def reading(path: Path, key: bytes) -> Iterator[Connection]:
    """A connection that only reads. Raises as `take`."""
    with faults(path), closing(connect(path, key)) as connection:
        connection.execute("PRAGMA query_only = ON")
        yield connection


def renew(path: Path, key: bytes) -> None:
    """Let the journal of a restored database go on as another incarnation. Raises as `take`."""
    with faults(path), closing(connect(path, key)) as connection:
        connection.execute("DELETE FROM meta WHERE name = 'incarnation'")
        connection.execute("UPDATE invites SET state = 'dead' WHERE state IN ('open', 'claimed')")


def damage(connection: Connection) -> list[str]:
    """What SQLCipher and SQLite find wrong with the file and its log: nothing, if all is well.

    Read by a connection of its own: one that is in use looks into its memory for pages that it has
    read, refuses all others once one was bad, and holds what it knows of the index of words against
    an index that another has written since, which is a mismatch to FTS5.
    """
    with closing(connection.again()) as own:
        found = _spoilt(own) and _spoilt_at_rest(connection)
        return found or _crooked(own)


def _spoilt(connection: Connection) -> list[str]:
    return [str(row[0]) for row in connection.execute("PRAGMA cipher_integrity_check")]


def _spoilt_at_rest(connection: Connection) -> list[str]:
    """`_spoilt` of a file into which nobody writes, and that all of the log has come to.

    SQLCipher looks past the log at the file alone, where a page may be half written by a checkpoint
    that runs, or by one that a power cut has ended: the log has it whole.
    """
    with closing(connection.again()) as holder, closing(connection.again()) as own:
        holder.execute("BEGIN IMMEDIATE")
        until = time.monotonic() + _REST_S
        with suppress(sqlite.Error):  # nothing can be written: then the file is at rest
            while time.monotonic() < until:
                busy, frames, done = own.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                if not busy and done == frames:
                    break
                time.sleep(_PAUSE_S)
        return _spoilt(own)


def _crooked(connection: Connection) -> list[str]:
    try:
        rows = connection.execute("PRAGMA quick_check").fetchall()
    except (sqlite.Error, MemoryError) as error:  # a page that its key does not open
        return [str(error) or "a page cannot be read"]
    return [str(row[0]) for row in rows if row[0] != "ok"]
