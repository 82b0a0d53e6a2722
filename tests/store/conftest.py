"""A database of its own for each test, and entries to put into it.

The store verifies nothing, so entries here carry signatures that are none.
"""

import os
import resource
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from p2pchat.core.entry import MESSAGE, Entry, Header, body_hash, chain_id, entry_id
from p2pchat.store import rooms
from p2pchat.store.database import Database

START_MS = 1_767_225_600_000  # 2026-01-01
ROOM = b"R" * 32


class Author:
    """Writes one chain of `room`."""

    def __init__(self, device: bytes, room: bytes = ROOM) -> None:
        self.device = device * 32
        self.room = room
        self.chain = chain_id(room, self.device, b"i" * 8)
        self.seq = -1
        self.head = b""

    def write(
        self,
        body: bytes | None = b"body",
        *,
        at_s: int = 0,
        kind: int = MESSAGE,
        after: tuple[bytes, ...] = (),
        signed: bool = True,
    ) -> Entry:
        self.seq += 1
        header = Header(
            version=1,
            room=self.room,
            device=self.device,
            incarnation=b"i" * 8,
            seq=self.seq,
            prev=self.head,
            after=tuple(sorted(after)),
            time=(START_MS + at_s * 1000) << 16,
            kind=kind,
            epoch=b"e" * 32,
            length=len(body or b""),
            body_hash=body_hash(body or b""),
        )
        raw = msgspec.msgpack.encode(header)
        self.head = entry_id(raw)
        return Entry(self.head, self.chain, header, raw, body, b"s" * 64 if signed else None)


@pytest.fixture
def key() -> bytes:
    return os.urandom(32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest_asyncio.fixture
async def database(path: Path, key: bytes) -> AsyncIterator[Database]:
    opened = await Database.open(path, key)
    await opened.write(lambda tx: rooms.add(tx, ROOM, "direct", "", 1.0, [b"p" * 32, b"q" * 32]))
    yield opened
    await opened.aclose()


@pytest.fixture(autouse=True)
def _process_settings() -> Iterator[None]:
    """Opening a profile narrows the process's umask and core limit: put them back."""
    umask = os.umask(0o022)
    os.umask(umask)
    core = resource.getrlimit(resource.RLIMIT_CORE)
    yield
    os.umask(umask)
    resource.setrlimit(resource.RLIMIT_CORE, core)
