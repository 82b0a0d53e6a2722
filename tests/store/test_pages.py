"""Pages are read as SQLCipher writes them, each for itself."""

from pathlib import Path

import pytest

from p2pchat.store import meta
from p2pchat.store.database import Database
from p2pchat.store.pages import PAGE_BYTES, USABLE_BYTES, Pages


async def _written(path: Path, key: bytes) -> None:
    database = await Database.open(path, key)
    await database.write(lambda tx: meta.put(tx, "here", b"some value"))
    await database.aclose()


async def test_every_page_of_a_sound_file_is_whole(path: Path, key: bytes) -> None:
    await _written(path, key)
    pages = Pages(path, key)
    found = [pages[number] for number in range(1, pages.count + 1)]
    pages.close()
    assert all(page is not None and page.whole for page in found)
    assert all(page is not None and len(page.data) == USABLE_BYTES for page in found)
    assert found[0] is not None
    assert found[0].data.startswith(b"SQLite format 3\x00")
    assert any(page is not None and b"some value" in page.data for page in found)


async def test_an_altered_page_is_known_and_spoils_no_other(path: Path, key: bytes) -> None:
    await _written(path, key)
    data = bytearray(path.read_bytes())
    data[2 * PAGE_BYTES + 9] ^= 1
    path.write_bytes(data[:-100])
    pages = Pages(path, key)
    found = [pages[number] for number in range(1, pages.count + 1)]
    assert [number for number, page in enumerate(found, 1) if page and not page.whole] == [3]
    assert pages[pages.count + 1] is None
    assert pages[0] is None
    pages.close()


async def test_with_another_key_nothing_is_whole(path: Path, key: bytes) -> None:
    await _written(path, key)
    pages = Pages(path, bytes(32))
    assert not any(page.whole for number in range(1, 9) if (page := pages[number]))
    pages.close()


async def test_what_is_in_the_log_only_stands_before_the_file(path: Path, key: bytes) -> None:
    await _written(path, key)
    database = await Database.open(path, key)
    await database.write(lambda tx: meta.put(tx, "here", b"newer value"))
    # As a kill would leave it.
    copy = path.with_name("copy.db")
    copy.write_bytes(path.read_bytes())
    copy.with_name("copy.db-wal").write_bytes(path.with_name("journal.db-wal").read_bytes())
    await database.aclose()
    for log, value in (("whole", b"newer value"), ("none", b"some value")):
        if log == "none":
            copy.with_name("copy.db-wal").unlink()
        pages = Pages(copy, key)
        found = [pages[number] for number in range(1, pages.count + 1)]
        pages.close()
        assert all(page is not None and page.whole for page in found)
        assert any(page is not None and value in page.data for page in found)


def test_a_file_that_is_not_there_is_an_error(path: Path, key: bytes) -> None:
    with pytest.raises(FileNotFoundError):
        Pages(path, key)
