"""History goes out to files and comes in again, once, whole, and to whom it belongs."""

import json
from pathlib import Path

from tests.harness.homes import Home

_SECRET = {"P2PCHAT_PASSPHRASE": "correct horse"}


def _ids(home: Home, room: str) -> list[str]:
    return [row["id"] for row in home.run("log", room, "--last", "0").found("message")]


def _added(home: Home, path: Path, env: dict[str, str] | None = None) -> tuple[int, int]:
    row = home.run("import", str(path), env=env).found("imported")[0]
    return row["added"], row["known"]


def _refusal(home: Home, path: Path, code: int, env: dict[str, str] | None = None) -> str:
    error: str = home.run("import", str(path), code=code, env=env).found("error")[0]["code"]
    return error


def test_a_profile_is_restored_and_its_newer_entries_come_back(
    friends: tuple[Home, Home], cat: Home, tmp_path: Path
) -> None:
    ann, bob = friends
    ann.run("send", "Bob", "before", "--wait")
    ann.run("verify", "Bob", "--confirm")
    archive = tmp_path / "ann.archive"
    written = ann.run("export", "-o", str(archive), "--format", "archive", env=_SECRET)
    entries = written.found("exported")[0]["entries"]
    assert b"before" not in archive.read_bytes()
    assert archive.stat().st_mode & 0o777 == 0o600
    ann.run("send", "Bob", "after", "--wait")
    # The same identity must not run twice.
    ann.run("down")
    assert _refusal(cat, archive, 2) == "passphrase-missing"
    assert _refusal(cat, archive, 4, {"P2PCHAT_PASSPHRASE": "wrong"}) == "passphrase-wrong"
    row = cat.run("import", str(archive), env=_SECRET).found("imported")[0]
    assert row == {**row, "restored": True, "added": entries}
    assert len(_ids(cat, "Bob")) == 1
    assert cat.run("peers").found("peer")[0]["verified"] is True
    cat.up()
    cat.run("sync", "Bob", "--wait")
    cat.run("send", "Bob", "restored", "--wait")
    assert _ids(cat, "Bob") == _ids(bob, "Ann")
    assert len(_ids(cat, "Bob")) == 3
    cat.run("verify", "Bob", "--revoke")
    assert _added(cat, archive, _SECRET) == (0, entries)
    assert cat.run("peers").found("peer")[0]["verified"] is False
    assert _refusal(bob, archive, 4, _SECRET) == "import-foreign"


def test_lines_are_for_people_and_come_in_once(friends: tuple[Home, Home], tmp_path: Path) -> None:
    ann, bob = friends
    for number in range(3):
        ann.run("send", "Bob", f"number {number}", "--wait")
    early, late = tmp_path / "early.jsonl", tmp_path / "late.jsonl"
    ann.run("export", "Bob", "-o", str(early))
    bob.run("down")
    ann.run("send", "Bob", "number 3")
    ann.run("export", "-o", str(late))
    rows = [json.loads(line) for line in late.read_text().splitlines()]
    assert [row["text"] for row in rows if row["event"] == "message"] == [
        f"number {number}" for number in range(4)
    ]
    assert _added(ann, late) == (0, len(rows) - 1)
    assert _added(bob, early)[0] == 0
    # Carried by hand to somebody who is offline.
    assert _added(bob, late) == (1, len(rows) - 2)
    assert _added(bob, late) == (0, len(rows) - 1)
    assert _ids(bob, "Ann") == _ids(ann, "Bob")


def test_what_is_damaged_or_foreign_is_refused(
    friends: tuple[Home, Home], cat: Home, tmp_path: Path
) -> None:
    ann, bob = friends
    ann.run("send", "Bob", "hello", "--wait")
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad"
    ann.run("export", "-o", str(good))
    assert _refusal(cat, good, 4) == "import-foreign"
    assert _refusal(cat, tmp_path / "nowhere", 3) == "file-missing"
    data = good.read_bytes()
    forged = data.replace(b'"header":"', b'"header":"AAAA', 1)
    for wrong in (data[:-40], data + b"{}\n", b"hello\n", b"\0" * 100, forged):
        bad.write_bytes(wrong)
        assert _refusal(bob, bad, 3) == "import-malformed"
    archive = tmp_path / "archive"
    ann.run("export", "-o", str(archive), "--format", "archive", env=_SECRET)
    data = archive.read_bytes()
    for wrong in (data[:100], data[:-5_000], data[:9_000] + b"\0" * 50 + data[9_050:]):
        bad.write_bytes(wrong)
        assert _refusal(ann, bad, 3, _SECRET) == "import-malformed"
    assert _ids(ann, "Bob") == _ids(bob, "Ann")


def test_a_file_that_cannot_be_written_leaves_nothing(ann: Home, tmp_path: Path) -> None:
    ann.run("id")
    outcome = ann.run("export", "-o", str(tmp_path / "no" / "such"), code=1)
    assert outcome.found("error")[0]["code"] == "home-unwritable"
    assert ann.run("export", "x", "-o", str(tmp_path / "x"), code=3)
    assert not list(tmp_path.glob("x*"))
    wrong = ("export", "Bob", "-o", str(tmp_path / "x"), "--format", "archive")
    assert ann.run(*wrong, code=2).found("error")[0]["code"] == "usage"
