"""A copy of the whole database, in one moment, under a key of its own."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from p2pchat.store.database import Connection, connect, faults

__all__ = ["damage", "reading", "rekey", "renew", "take"]


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
    """What SQLCipher and SQLite find wrong with the file: nothing, if all is well."""
    found = [str(row[0]) for row in connection.execute("PRAGMA cipher_integrity_check")]
    if not found:
        rows = connection.execute("PRAGMA quick_check").fetchall()
        found = [str(row[0]) for row in rows if row[0] != "ok"]
    return found
