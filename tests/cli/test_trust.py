import html
from pathlib import Path

from tests.harness.homes import LOOPBACK, NO_CARRIER, Home
from tests.node.people import acquaint


async def known(ann: Home, *names: str) -> None:
    """Give Ann contacts who are nowhere."""
    await acquaint(ann.path.parent, "Ann", *names)
    ann.path = ann.path.parent / "Ann"
    ann.settings = (*LOOPBACK, *NO_CARRIER)


async def test_a_safety_number_is_shown_confirmed_and_revoked(ann: Home) -> None:
    await known(ann, "Bob")
    (shown,) = ann.run("verify", "Bob").found("safety-number")
    assert shown["name"] == "Bob"
    assert shown["verified"] is False
    groups = shown["number"].split(" ")
    assert len(groups) == 12
    assert all(len(group) == 5 and group.isdigit() for group in groups)
    assert len(shown["words"].split(" ")) == 8
    read = ann.run("verify", "Bob", json=False)
    assert " ".join(groups[:4]) in read.out
    assert shown["words"] in read.out
    assert "unverified" in read.out
    assert "--confirm" in read.err
    assert ann.run("verify", "Bob", "--confirm").found("peer")[0]["verified"] is True
    assert ann.run("verify", shown["peer"][:8]).found("safety-number")[0]["how"] == "number"
    assert ", verified" in ann.run("peers", json=False).out
    assert ann.run("verify", "Bob", "--revoke").found("peer")[0]["verified"] is False
    assert ", unverified" in ann.run("peers", json=False).out
    ann.run("verify", "Bob", "--confirm", "--revoke", code=2)
    assert ann.run("verify", "Cat", code=3).found("error")[0]["code"] == "peer-unknown"


async def test_a_proof_is_printed_and_checked(ann: Home, tmp_path: Path) -> None:
    bob = Home("Bob", tmp_path / "bob")
    posted = bob.run("proof", "--for", "https://example.org/~bob", json=False).out
    row = bob.run("proof").found("proof")[0]
    assert row["text"].splitlines()[0] == posted.splitlines()[0]
    assert ann.run("proof", "--for", "x" * 600, code=2).found("error")[0]["code"] == "usage"
    await known(ann, "Eve")
    for given, code in (
        (posted, "proof-wrong-key"),
        (row["text"][:300], "proof-damaged"),
        (posted.replace("p2pproof1", "p2pproof2"), "proof-newer"),
    ):
        outcome = ann.run("verify", "Eve", "--proof", given, code=None)
        assert outcome.found("error")[0]["code"] == code
        assert outcome.code == (4 if code == "proof-wrong-key" else 3)
    page = tmp_path / "page.html"
    page.write_text(f"<html>{html.escape(posted)}</html>")
    for given in (str(page), "-"):
        outcome = ann.run("verify", "Eve", "--proof", given, code=4, stdin=posted)
        assert outcome.found("error")[0]["code"] == "proof-wrong-key"
    page.write_text("nothing")
    outcome = ann.run("verify", "Eve", "--proof", str(page), code=3)
    assert outcome.found("error")[0]["code"] == "proof-foreign"
    outcome = ann.run("verify", "Eve", "--proof", "no such file", code=3)
    assert outcome.found("error")[0]["code"] == "file-missing"
    assert ann.run("peers").found("peer")[0]["verified"] is False


async def test_an_alias_is_given_and_taken_away(ann: Home) -> None:
    await known(ann, "Bob", "Cat")
    row = ann.run("alias", "Bob", "Bobby").found("peer")[0]
    assert (row["name"], row["own_name"]) == ("Bobby", "Bob")
    assert "Bobby (Bob) [" in ann.run("peers", json=False).out
    assert ann.run("send", "Bobby", "hello").found("message")
    outcome = ann.run("alias", "Cat", "Bobby", code=4)
    assert outcome.found("error")[0]["code"] == "alias-taken"
    assert ann.run("alias", "Bobby").found("peer")[0]["name"] == "Bob"
    assert ann.run("alias", "Bob", "\x07", code=3).found("error")[0]["code"] == "name-control"


async def test_somebody_is_blocked_and_heard_again(ann: Home) -> None:
    await known(ann, "Bob")
    assert ann.run("block", "Bob").found("peer")[0]["blocked"] is True
    assert ", blocked" in ann.run("peers", json=False).out
    assert ", blocked" in ann.run("members", "Bob", json=False).out
    assert "blocked" not in ann.run("unblock", "Bob").found("peer")[0]


async def test_a_name_that_two_have_is_marked_and_names_neither(ann: Home) -> None:
    await known(ann, "Bob", "Bob")
    rows = ann.run("peers").found("peer")
    assert [row.get("clash") for row in rows] in (
        [None, rows[0]["peer"]],
        [rows[1]["peer"], None],
    )
    assert "NOT the one known as Bob" in ann.run("peers", json=False).out
    assert ann.run("verify", "Bob", code=3).found("error")[0]["code"] == "peer-ambiguous"
