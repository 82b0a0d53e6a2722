import importlib.resources
from pathlib import Path

from p2pchat.store import database as module
from p2pchat.store import trust
from p2pchat.store.database import Database
from p2pchat.store.trust import Mark

ANN, BOB = b"a" * 32, b"b" * 32


async def test_marks_are_kept_changed_and_forgotten(database: Database) -> None:
    marked = Mark("annie", "number", "", 10.0)
    await database.write(lambda tx: trust.put(tx, ANN, marked))
    await database.write(lambda tx: trust.put(tx, BOB, Mark(blocked=True)))
    assert await database.read(trust.all_marks) == {ANN: marked, BOB: Mark(blocked=True)}
    assert marked.verified
    proven = Mark("annie", "proof", "https://example.org", 20.0)
    await database.write(lambda tx: trust.put(tx, ANN, proven))
    await database.write(lambda tx: trust.put(tx, BOB, Mark()))
    assert await database.read(trust.all_marks) == {ANN: proven}
    assert not Mark().verified


async def test_what_was_kept_with_contacts_is_taken_over(tmp_path: Path) -> None:
    path, key = tmp_path / "journal.db", bytes(32)
    sql = importlib.resources.files("p2pchat.store") / "sql" / "migrations"
    (script,) = [file for file in sql.iterdir() if file.name.endswith("-trust.sql")]
    old = module.connect(path, key)
    old.executescript(
        "CREATE TABLE contacts (person BLOB PRIMARY KEY, alias TEXT NOT NULL DEFAULT '',"
        " verified INTEGER NOT NULL DEFAULT 0, created REAL NOT NULL) STRICT, WITHOUT ROWID;"
        "INSERT INTO contacts VALUES (x'01', 'annie', 1, 5), (x'02', 'b', 0, 6), (x'03', '', 0, 7);"
    )
    old.executescript(script.read_text())
    assert trust.all_marks(old) == {
        b"\x01": Mark("annie", "number", "", 5.0),
        b"\x02": Mark("b", None, "", 6.0),
    }
    old.close()
