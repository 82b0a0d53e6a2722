"""An invite with a password: the blob alone is worth three guesses, and the inviter sees them."""

from pathlib import Path

from tests.harness.homes import Home, events

_RIGHT = {"P2PCHAT_PASSWORD": "acid pelican"}


def _error(home: Home, *arguments: str, code: int, password: str | None = None) -> str:
    env = None if password is None else {"P2PCHAT_PASSWORD": password}
    found: str = home.run(*arguments, code=code, env=env).found("error")[0]["code"]
    return found


def test_a_friend_who_knows_the_password_comes_in(ann: Home, bob: Home, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("acid pelican\n")
    waiting = ann.start("invite", "--password-file", str(file))
    feed = events(waiting)
    blob = next(row for row in feed if row["event"] == "invite")["blob"]
    bob.up()
    # stdin has the blob, so the password cannot be there.
    missing = bob.run("join", "-", "--no-chat", stdin=blob, code=2)
    assert missing.found("error")[0]["code"] == "password-missing"
    assert _error(bob, "join", blob, "--no-chat", code=4, password="acid") == "password-wrong"
    note = next(row for row in feed if row["event"] == "note")
    assert note["code"] == "password-wrong"
    assert note["left"] == 2
    bob.run("join", blob, "--no-chat", stdin="acid pelican\n")
    assert next(row for row in feed if row["event"] == "joined")["name"] == "Bob"
    assert waiting.wait(timeout=30) == 0
    ann.up()
    assert bob.run("send", "Ann", "hello", "--wait").found("delivered")


def test_after_three_wrong_guesses_the_invite_is_dead_even_after_a_restart(
    ann: Home, bob: Home
) -> None:
    assert _error(ann, "invite", "--password", "--no-wait", code=2) == "password-missing"
    blob = ann.run("invite", "--password", "--no-wait", env=_RIGHT).found("invite")[0]["blob"]
    bob.up()
    for number in range(3):
        if number == 2:
            ann.kill()
            ann.up()
        wrong = bob.run(
            "join", blob, "--no-chat", code=4, env={"P2PCHAT_PASSWORD": f"guess {number}"}
        ).found("error")[0]
        assert wrong["code"] == "password-wrong"
        assert str(2 - number) in wrong["message"]
    for _ in range(2):
        assert _error(bob, "join", blob, code=4, password="acid pelican") == "invite-locked"
        ann.run("down")
        ann.up()
    assert ann.run("peers").found("peer") == []


def test_an_inviter_who_waits_learns_that_the_invite_is_dead(ann: Home, bob: Home) -> None:
    waiting = ann.start("invite", "--password")
    assert waiting.stdin is not None
    waiting.stdin.write("acid pelican\n")
    waiting.stdin.flush()
    feed = events(waiting)
    blob = next(row for row in feed if row["event"] == "invite")["blob"]
    bob.up()
    for _ in range(3):
        _error(bob, "join", blob, code=4, password="x")
    rest = list(feed)
    assert [row["left"] for row in rest if row.get("code") == "password-wrong"] == [2, 1, 0]
    assert rest[-2]["code"] == "invite-locked"
    assert rest[-1]["exit"] == 4
