"""Who is there, who has a message, who has read it: as scripts see it, across restarts."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.homes import Home, events

_PATIENCE_S = 60.0


def until(holds: Callable[[], bool], what: str) -> None:
    """Other processes do not tell us when: ask until they say so."""
    limit = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < limit, f"not within {_PATIENCE_S:.0f} s: {what}"
        time.sleep(0.2)


def message(home: Home, room: str) -> dict[str, Any]:
    return home.run("log", room, "--last", "1").found("message")[0]


def unread(home: Home) -> int:
    return sum(row.get("unread", 0) for row in home.run("rooms").found("room"))


def me_in(home: Home, room: str, name: str) -> dict[str, Any]:
    rows = home.run("members", room).found("member")
    return next(row for row in rows if row["name"] == name)


@pytest.mark.timeout(300)
def test_a_message_is_delivered_and_read_and_both_outlive_restarts(
    friends: tuple[Home, Home],
) -> None:
    ann, bob = friends
    following = ann.start("log", "Bob", "--follow")
    seen = events(following)
    first = ann.run("send", "Bob", "hello", "--wait").found("message")[0]
    # From here on it follows, so that it hears of what comes next.
    assert next(row for row in seen if row["event"] == "message")["id"] == first["id"]
    until(lambda: unread(bob) == 1, "Bob has something to read")
    assert unread(ann) == 0
    bobs = ann.run("peers").found("peer")[0]["peer"]
    assert message(ann, "Bob")["delivered_to"] == [bobs]
    assert "read_by" not in message(ann, "Bob")
    assert bob.run("read", "Ann").found("read")[0]["me"] is True
    assert unread(bob) == 0
    until(lambda: message(ann, "Bob").get("read_by") == [bobs], "Ann knows that Bob has read it")
    told = next(row for row in seen if row["event"] == "read")
    assert (told["peer"], told["name"]) == (bobs, "Bob")
    # Apart: what is read now is told when they meet again.
    following.kill()
    second = ann.run("send", "Bob", "and this?", "--wait").found("message")[0]
    ann.run("down")
    bob.run("read", "Ann")
    bob.kill()
    ann.up()
    row = me_in(ann, "Bob", "Bob")
    assert row["read_up_to"] == first["id"]
    assert row["presence"] == "offline"
    assert row["last_seen"]
    bob.up()
    until(lambda: me_in(ann, "Bob", "Bob")["read_up_to"] == second["id"], "told at the next link")
    assert me_in(ann, "Bob", "Bob")["presence"] == "online"


@pytest.mark.timeout(300)
def test_a_mention_runs_a_command_and_is_marked(friends: tuple[Home, Home], tmp_path: Path) -> None:
    ann, bob = friends
    out, script = tmp_path / "told", tmp_path / "tell.py"
    script.write_text(
        f"import os; open({str(out)!r}, 'w').write(os.environ['P2PCHAT_MENTION_TEXT'])\n"
    )
    bob.run("down")
    command = f"'''{sys.executable} {script}'''"
    bob.settings = (*bob.settings, f"notify.command={command}")
    bob.up()
    ann.run("send", "Bob", "just so", "--wait")
    ann.run("send", "Bob", "hey @BOB; $(id)", "--wait")
    until(lambda: out.exists() and bool(out.read_text()), "the command has run")
    assert out.read_text() == "hey @BOB; $(id)"
    rows = bob.run("log", "Ann").found("message")
    assert [row.get("mention", False) for row in rows] == [False, True]


def test_a_command_that_cannot_be_read_is_a_malformed_setting(ann: Home) -> None:
    done = ann.run("--set", "notify.command='say \"'", "rooms", code=2)
    assert done.found("error")[0]["code"] == "config-malformed"
