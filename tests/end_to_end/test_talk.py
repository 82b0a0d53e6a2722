"""What people do with messages, in two homes: apart, together, and on both disks."""

import time
from pathlib import Path

from p2pchat.store.database import connect, faults
from p2pchat.store.keyfile import unlock
from tests.harness.homes import Home, Row, events

_THUMB = "\N{THUMBS UP SIGN}"


def _log(home: Home, room: str, *more: str) -> list[Row]:
    return home.run("log", room, "--last", "0", *more).found("message")


def _said(row: Row) -> Row:
    """What a message says, whoever looks at it; who has it is told to its author alone."""
    besides = ("delivered_to", "read_by", "verified")
    return {key: value for key, value in row.items() if key not in besides}


def _bodies(home: Home) -> list[bytes | None]:
    """Bodies of messages and edits, as they are on disk; no node may run."""
    path = home.path / "journal.db"
    key = unlock((home.path / "key").read_bytes(), lambda: None)
    with faults(path):
        connection = connect(path, key)
        rows = connection.execute(
            "SELECT body FROM entries JOIN chains ON chains.number = entries.chain"
            " WHERE kind IN (0, 3, 5) ORDER BY entries.eff, entries.seq"
        ).fetchall()
        indexed = connection.execute("SELECT count(*) FROM words_docsize").fetchone()[0]
        connection.close()
    assert indexed <= sum(row[0] is not None for row in rows)
    return [row[0] for row in rows]


def _meet(*homes: Home) -> None:
    for home in homes:
        home.up()
    homes[-1].run("sync", "--wait")


def test_what_is_deleted_while_apart_is_gone_from_both_disks(friends: tuple[Home, Home]) -> None:
    ann, bob = friends
    first = ann.run("send", "Bob", "an", "indiscretion", "--wait").found("message")[0]
    ann.run("send", "Bob", "hello", "--wait")
    bob.run("down")
    edited = ann.run("edit", "Bob", first["id"][:8], "a worse one").found("message")[0]
    assert _said(edited) == {**_said(first), "text": "a worse one", "edited": True}
    gone = ann.run("delete", "Bob", first["id"]).found("message")[0]
    assert (gone["text"], gone["deleted"]) == ("", True)
    ann.run("down")
    assert [row["text"] for row in _log(bob, "Ann")] == ["an indiscretion", "hello"]
    assert sum(body is not None for body in _bodies(bob)) == 2
    _meet(bob, ann)
    for home, other in ((ann, "Bob"), (bob, "Ann")):
        assert [row["text"] for row in _log(home, other)] == ["", "hello"]
        assert _log(home, other, "--search", "indiscretion") == []
        assert _log(home, other, "--search", "worse") == []
        home.run("down")
        assert sum(body is not None for body in _bodies(home)) == 1
        assert home.run("doctor", code=None).found("finding")[-1]["ok"], "the chain still holds"


def test_a_message_of_short_life_disappears_from_both_disks(friends: tuple[Home, Home]) -> None:
    ann, bob = friends
    follower = bob.start("log", "Ann", "--follow")
    feed = events(follower)
    ann.run("send", "Bob", "for good", "--wait")
    # From here on it follows, so that it hears of what comes next.
    assert next(event for event in feed if event["event"] == "message")["text"] == "for good"
    short = ann.run("send", "Bob", "not for long", "--lifetime", "3s", "--wait").found("message")
    assert "expires" in short[0]
    shown = next(event for event in feed if event["event"] == "message")
    assert shown["text"] == "not for long"
    ended = next(event for event in feed if event["event"] == "changed")
    assert (ended["change"], ended["id"]) == ("expired", short[0]["id"])
    # Written, and then over while nobody runs.
    ann.run("down")
    ann.run("send", "Bob", "nor this", "--lifetime", "1s")
    time.sleep(1.1)
    assert [row["text"] for row in _log(ann, "Bob")] == ["for good"]
    _meet(ann)
    for home, other in ((ann, "Bob"), (bob, "Ann")):
        assert [row["text"] for row in _log(home, other)] == ["for good"]
        home.run("down")
        assert [body is not None for body in _bodies(home)].count(True) == 1


def test_replies_reactions_pins_and_edits_reach_the_other(
    friends: tuple[Home, Home], cat: Home, tmp_path: Path
) -> None:
    ann, bob = friends
    code = "look:\n```\nfor x in y:\n    pass\n```\ndone"
    asked = ann.run("send", "Bob", "-", "--wait", json=True, stdin=code).found("message")[0]
    assert asked["text"] == code
    answer = bob.run("send", "Ann", "yes", "--reply-to", asked["id"][:6], "--wait")
    assert answer.found("message")[0]["reply_to"] == asked["id"]
    mine = bob.run("react", "Ann", asked["id"], _THUMB).found("message")[0]
    assert [one["text"] for one in mine["reactions"]] == [_THUMB]
    bob.run("pin", "Ann", asked["id"])
    bob.run("sync", "--wait")
    theirs = _log(ann, "Bob")[0]
    assert theirs["reactions"] == mine["reactions"]
    assert theirs["pinned"] is True
    assert [row["id"] for row in ann.run("pin", "Bob").found("message")] == [asked["id"]]
    shown = ann.run("log", "Bob", json=False).out
    assert "  | for x in y:\n  |     pass\n" in shown
    assert f"answers {asked['id'][:7]}" in shown
    assert f"(pinned, {_THUMB} 1)" in shown
    bob.run("react", "Ann", asked["id"], _THUMB)
    ann.run("pin", "Bob", asked["id"], "--off")
    assert ann.run("pin", "Bob").found("message") == []
    ann.run("edit", "Bob", asked["id"], "never mind")
    texts = [row["text"] for row in ann.run("log", "Bob", "--versions", asked["id"]).rows[:-1]]
    assert texts == [code, "never mind"]
    ann.run("sync", "--wait")
    theirs, ours = _log(bob, "Ann")[0], _log(ann, "Bob")[0]
    assert (ours["text"], ours["edited"]) == ("never mind", True)
    assert _said(theirs) == _said(ours)
    assert "reactions" not in ours
    assert "pinned" not in ours
    # And by hand, in a file.
    bob.run("down")
    ann.run("delete", "Bob", asked["id"])
    path = tmp_path / "history.jsonl"
    ann.run("export", "-o", str(path))
    assert "never mind" not in path.read_text()
    bob.run("import", str(path))
    assert [row["text"] for row in _log(bob, "Ann")] == ["", "yes"]


def test_what_cannot_be_done_to_a_message_says_why(friends: tuple[Home, Home]) -> None:
    ann, bob = friends

    def refusal(home: Home, exit_code: int, *arguments: str) -> str:
        code: str = home.run(*arguments, code=exit_code).found("error")[0]["code"]
        return code

    id_ = ann.run("send", "Bob", "hello", "--wait").found("message")[0]["id"]
    assert refusal(bob, 4, "edit", "Ann", id_, "bye") == "not-yours"
    assert refusal(bob, 4, "delete", "Ann", id_) == "not-yours"
    assert refusal(bob, 3, "react", "Ann", id_, "x" * 65) == "reaction-malformed"
    assert refusal(bob, 3, "react", "Ann", "aaaaaaa", "x") == "entry-unknown"
    assert refusal(ann, 3, "edit", "Bob", id_, " ") == "text-empty"
    assert refusal(ann, 3, "send", "Bob", "x", "--lifetime", "9999w") == "lifetime-malformed"
    assert refusal(ann, 2, "send", "Bob", "x", "--lifetime", "soon") == "usage"
    assert refusal(ann, 2, "pin", "Bob", "--off") == "usage"
    long = ann.run("edit", "Bob", id_, "-", code=3, stdin="x" * 65_537)
    assert long.found("error")[0]["code"] == "text-too-long"
    assert "share" in long.found("error")[0]["hint"]
    ann.run("edit", "Bob", id_, "-", stdin="y" * 65_536)
    assert len(_log(ann, "Bob")[0]["text"]) == 65_536
    ann.run("delete", "Bob", id_)
    for arguments in (
        ("edit", "Bob", id_, "x"),
        ("delete", "Bob", id_),
        ("react", "Bob", id_, "x"),
    ):
        assert refusal(ann, 4, *arguments) == "message-deleted"
    ann.run("sync", "--wait")
    assert _log(bob, "Ann")[0]["deleted"] is True
