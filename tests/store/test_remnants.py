"""Of a damaged database all is taken that can be told to be right."""

import os
from pathlib import Path

import msgspec
import pytest

from p2pchat.core.identity import Identity
from p2pchat.store import contacts, journal, lacking, meta, remnants, rooms, trust
from p2pchat.store.database import SCHEMA_VERSION, Connection, Database
from p2pchat.store.pages import PAGE_BYTES, Page, Pages
from p2pchat.store.remnants import Gathered
from p2pchat.store.trust import Mark
from tests.store.conftest import ROOM, Author

_ENTRIES = 40
_WHO = Identity.create("Ann", os.urandom)
_FRIEND = Identity.create("Bob", os.urandom)


async def _written(path: Path, key: bytes) -> list[bytes]:
    """A room with one author's entries; their ids."""
    author = Author(b"d")
    entries = [author.write(os.urandom(300)) for _ in range(_ENTRIES)]

    def work(tx: Connection) -> None:
        meta.put(tx, "identity", msgspec.msgpack.encode(_WHO))
        rooms.add(tx, ROOM, "direct", "", 1.0, [_WHO.person, _FRIEND.person])
        contacts.put(tx, _FRIEND.certificate, b"s" * 32, 1.0)
        trust.put(tx, _FRIEND.person, Mark(alias="Bobby", how="number", since=1.0, blocked=True))
        journal.insert(tx, entries)

    database = await Database.open(path, key)
    await database.write(work)
    await database.aclose()
    return [entry.id for entry in entries]


async def _gathered(path: Path, key: bytes) -> tuple[Gathered, Database]:
    database = await Database.open(path.with_name("rows.db"), key)
    return await database.write(lambda tx: remnants.gather(tx, path, key)), database


def _ids(tx: Connection) -> list[bytes]:
    return [row[0] for row in tx.execute("SELECT id FROM entries ORDER BY seq")]


async def test_all_of_a_sound_database_is_there(path: Path, key: bytes) -> None:
    ids = await _written(path, key)
    assert remnants.identity(path, key) == _WHO
    assert remnants.version(path, key) == SCHEMA_VERSION
    found, database = await _gathered(path, key)
    assert (found.guessed, found.bare) == (set(), set())
    assert await database.read(_ids) == ids
    [row] = await database.read(rooms.all_rooms)
    assert (row.room, row.created) == (ROOM, 1.0)
    [contact] = await database.read(contacts.all_contacts)
    assert contact.secret == b"s" * 32
    assert (await database.read(trust.all_marks))[_FRIEND.person].how == "number"
    [head] = await database.read(lambda tx: journal.heads(tx, ROOM))
    assert head.seq == _ENTRIES - 1
    await database.aclose()


async def test_of_an_altered_page_only_what_proves_itself_is_taken(
    path: Path, key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await _written(path, key)
    whole = Pages.__getitem__

    def doubted(self: Pages, number: int) -> Page | None:
        page = whole(self, number)
        return page and Page(page.data, whole=False)

    monkeypatch.setattr(Pages, "__getitem__", doubted)
    assert remnants.identity(path, key) == _WHO
    assert remnants.version(path, key) is None
    found, database = await _gathered(path, key)
    assert found.guessed == {ROOM}
    assert await database.read(_ids) == ids
    assert await database.read(lambda tx: meta.get(tx, "identity")) is not None
    [contact] = await database.read(contacts.all_contacts)
    assert contact.certificate == _FRIEND.certificate
    mark = (await database.read(trust.all_marks))[_FRIEND.person]
    assert (mark.alias, mark.blocked) == ("Bobby", True)
    assert mark.how is None, "nobody is verified by a page that somebody altered"
    await database.aclose()


async def test_an_altered_entry_keeps_its_place_if_its_header_can_be_had(
    path: Path, key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes of each row are altered in turn, wherever they lie in it."""
    ids = await _written(path, key)
    whole = Pages.__getitem__
    database = await Database.open(path, key)
    query = "SELECT header, body FROM entries WHERE seq = 20"
    header, body = await database.read(lambda tx: tx.execute(query).fetchone())
    await database.aclose()
    for part, places in ((header, range(0, len(header) - 8, 24)), (body, range(8, 292, 71))):
        for place in places:

            def altered(
                self: Pages, number: int, part: bytes = part, at: int = place
            ) -> Page | None:
                page = whole(self, number)
                if page is None or (where := page.data.find(part)) < 0:
                    return page
                data = bytearray(page.data)
                data[where + at : where + at + 8] = bytes(byte ^ 255 for byte in part[at : at + 8])
                return Page(bytes(data), whole=False)

            monkeypatch.setattr(Pages, "__getitem__", altered)
            path.with_name("rows.db").unlink(missing_ok=True)
            found, database = await _gathered(path, key)
            assert await database.read(_ids) == ids
            assert found.bare == ({ids[20]} if part is body else set())
            assert await database.read(lacking.rooms) == ({ROOM} if part is body else set())
            await database.aclose()


async def test_a_lost_page_is_no_reason_to_lose_another(path: Path, key: bytes) -> None:
    ids = await _written(path, key)
    data = path.read_bytes()
    for number in range(len(data) // PAGE_BYTES):
        spoilt = bytearray(data)
        spoilt[number * PAGE_BYTES : (number + 1) * PAGE_BYTES] = bytes(PAGE_BYTES)
        path.write_bytes(spoilt)
        path.with_name("rows.db").unlink(missing_ok=True)
        _, database = await _gathered(path, key)
        assert len(await database.read(_ids)) >= _ENTRIES - 10
        assert set(await database.read(_ids)) <= set(ids)
        await database.aclose()


async def test_a_table_is_read_in_the_order_of_its_columns(path: Path, key: bytes) -> None:
    """Tables without row numbers begin with their keys on disk: in ours that is no difference."""
    database = await Database.open(path, key)
    for table in remnants.TABLES:
        query = f"PRAGMA table_info({table})"
        columns = await database.read(lambda tx, query=query: tx.execute(query).fetchall())
        keys = [row[5] for row in columns if row[5]]
        assert [row[5] for row in columns][: len(keys)] == list(range(1, len(keys) + 1))
    await database.aclose()
