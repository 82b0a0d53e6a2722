"""doctor, of this machine and of an invite, in plain words and as JSON."""

from typing import Any

from tests.harness.homes import Home


def test_doctor_looks_at_the_network_and_at_an_invite(ann: Home, bob: Home) -> None:
    checks = {row["check"]: row for row in bob.run("doctor").found("finding")}
    assert {"packages", "journal", "interfaces", "udp", "lan", "mailbox"} <= set(checks)
    assert all(row["ok"] for row in checks.values())
    ann.up()
    blob = ann.run("invite", "--no-wait", "--expires", "3d").found("invite")[0]["blob"]
    told = {row["check"]: row for row in bob.run("doctor", blob).found("finding")}
    assert "3 d" in told["invite"]["text"]
    assert told["invite-ways"]["ok"]
    plain = bob.run("doctor", "-", stdin=blob, json=False).out
    assert "ok invite: an invite of Ann" in plain
    # It is good for a join still; whose own it is has no use for it.
    assert "your own" in ann.run("doctor", blob, code=1).found("finding")[0]["text"]
    bob.run("join", blob, "--no-chat")


def test_doctor_refuses_what_is_no_invite(ann: Home) -> None:
    assert ann.run("doctor", "hello", code=3).found("error")[0]["code"] == "blob-foreign"
    assert ann.run("doctor", "x", "--repair", code=2).found("error")[0]["code"] == "usage"


def _journal_of(home: Home) -> dict[str, Any]:
    rows = {row["check"]: row for row in home.run("doctor", code=1).found("finding")}
    return dict(rows["journal"])


def test_a_repair_leaves_a_whole_journal_alone_and_mends_a_damaged_one(ann: Home) -> None:
    ann.run("id")
    path = ann.path / "journal.db"
    before = path.read_bytes()
    row = ann.run("doctor", "--repair").found("finding")[0]
    assert row["check"] == "repair"
    assert row["ok"]
    assert "nothing to repair" in row["text"]
    assert not (ann.path / "journal.damaged").exists()
    path.write_bytes(before[:-4096])
    told = _journal_of(ann)
    assert "--repair" in told["hint"]
    row = ann.run("doctor", "--repair").found("finding")[0]
    assert row["check"] == "repair"
    assert str(ann.path / "journal.damaged") in row["text"]


def test_where_no_repair_can_help_none_is_advised(ann: Home) -> None:
    ann.run("id")
    path = ann.path / "journal.db"
    path.write_bytes(bytes(len(path.read_bytes())))
    told = _journal_of(ann)
    assert told["text"] == "the identity itself cannot be read"
    assert "--repair" not in told["hint"]
    error = ann.run("doctor", "--repair", code=1).found("error")[0]
    assert (error["message"], error["hint"]) == (told["text"], told["hint"])
    path.unlink()
    told = _journal_of(ann)
    assert "is missing" in told["text"]
    error = ann.run("doctor", "--repair", code=1).found("error")[0]
    assert (error["message"], error["hint"]) == (told["text"], told["hint"])
