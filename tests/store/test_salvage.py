"""Trees are walked as SQLite does, and go on where it stops."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from p2pchat.store.database import Connection, Database
from p2pchat.store.pages import PAGE_BYTES, Pages
from p2pchat.store.salvage import Row, Salvage, Value

_ROWS = 300


async def _filled(path: Path, key: bytes) -> dict[str, list[tuple[Value, ...]]]:
    """Tables of both forms with rows of all sizes, deep enough for inner pages."""

    def fill(tx: Connection) -> dict[str, list[tuple[Value, ...]]]:
        for number in range(_ROWS):
            size = (number * 37) % 9_000
            tx.execute(
                "INSERT INTO shares VALUES (?, ?, ?)",
                (number.to_bytes(32, "big"), os.urandom(size), number / 7),
            )
            tx.execute(
                "INSERT INTO late (epoch, id, number) VALUES (?, ?, ?)",
                (os.urandom(size), b"i" * 32, number * 1_000_003),
            )
        tx.execute("INSERT INTO meta VALUES ('ä', x'')")
        tx.execute("INSERT INTO expiring VALUES (x'00', 0, 1), (x'01', -1, 1 << 40), (x'02', 1, 9)")
        return {
            name: tx.execute(f"SELECT * FROM {name}").fetchall()
            for name in ("shares", "late", "meta", "expiring")
        }

    database = await Database.open(path, key)
    found = await database.write(fill)
    await database.aclose()
    return found


def _values(row: Row) -> tuple[Value, ...]:
    return (row.rowid, *row.values[1:]) if row.rowid is not None else row.values


async def test_all_rows_of_a_sound_file_are_found(path: Path, key: bytes) -> None:
    expected = await _filled(path, key)
    with closing(Pages(path, key)) as pages:
        salvage = Salvage(pages)
        assert {"entries", "meta", "words_data"} <= salvage.roots.keys()
        for name, rows in expected.items():
            found = list(salvage.table(name))
            assert all(row.whole for row in found)
            assert sorted(map(_values, found)) == sorted(rows)
        assert list(salvage.table("no such table")) == []


async def test_without_its_inner_pages_a_table_is_found_by_its_leaves(
    path: Path, key: bytes
) -> None:
    expected = await _filled(path, key)
    with closing(Pages(path, key)) as pages:
        root = Salvage(pages).roots["late"]
    data = bytearray(path.read_bytes())
    data[(root - 1) * PAGE_BYTES : root * PAGE_BYTES] = bytes(PAGE_BYTES)
    path.write_bytes(data)
    with closing(Pages(path, key)) as pages:
        salvage = Salvage(pages)
        assert list(salvage.table("late")) == []
        found = salvage.anywhere(lambda row: len(row.values) == 3 and row.values[2] == b"i" * 32)
        assert sorted(map(_values, found)) == sorted(expected["late"])


async def test_a_damaged_schema_is_taken_from_a_new_file_if_what_is_left_agrees(
    path: Path, key: bytes
) -> None:
    await _filled(path, key)
    with closing(Pages(path, key)) as pages:
        salvage = Salvage(pages)
        whole = dict(salvage.roots)
        del salvage.roots["shares"]
        salvage.assume(whole)
        assert salvage.roots == whole
        del salvage.roots["shares"]
        salvage.roots["late"] += 1
        salvage.assume(whole)
        assert "shares" not in salvage.roots, "that file is laid out in another way"


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_stands_on_pages_it_ends_and_raises_nothing(
    path: Path, key: bytes, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _filled(path, key)
    whole = Pages.__getitem__

    def altered(self: Pages, number: int) -> object:
        page = whole(self, number)
        if page is None:
            return None
        data = bytearray(page.data)
        for at in range(seed, 120, 5):
            data[at] ^= (number * 31 + at * 17) & 0xFF
        return type(page)(bytes(data), whole=False)

    monkeypatch.setattr(Pages, "__getitem__", altered)
    with closing(Pages(path, key)) as pages:
        salvage = Salvage(pages)
        salvage.roots = {f"t{number}": number for number in range(pages.count + 2)}
        for name in salvage.roots:
            assert not any(row.whole for row in salvage.table(name))
        assert not any(row.whole for row in salvage.anywhere(lambda _: True))
