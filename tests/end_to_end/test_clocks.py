"""A clock that is hours or years wrong, either way: what it writes stands in order, is marked, and
moves nobody else's clock."""

import re
import time
from datetime import datetime

import pytest

from tests.harness.homes import Home, Row, events

_HOUR, _YEAR = 3_600, 31_557_600


def _messages(home: Home, room: str) -> list[Row]:
    return home.run("log", room).found("message")


def _off(row: Row) -> float:
    """Seconds that a message's time is ahead of the right one."""
    return datetime.fromisoformat(row["time"]).timestamp() - time.time()


def _about(seconds: float | None, wanted: float) -> bool:
    return seconds is not None and abs(seconds - wanted) < 300


def _restart(home: Home, ahead_s: float) -> None:
    home.run("down")
    home.ahead_s = ahead_s
    home.up()


def _clock(home: Home) -> Row:
    return next(row for row in home.run("doctor", code=None).rows if row.get("check") == "clock")


@pytest.mark.parametrize("ahead_s", [3 * _HOUR, -5 * _YEAR])
def test_a_wrong_clock_is_marked_wherever_it_shows(
    friends: tuple[Home, Home], ahead_s: int
) -> None:
    ann, bob = friends
    assert _clock(ann)["ok"]
    _restart(bob, ahead_s)
    ann.run("send", "Bob", "question", "--wait")
    feed = events(ann.start("log", "Bob", "--follow"))
    assert next(feed)["text"] == "question"
    bob.run("send", "Ann", "answer", "--wait")
    live = next(row for row in feed if row["event"] == "message")
    assert live["text"] == "answer"
    assert _about(live["clock_off"], ahead_s)
    ann.run("send", "Bob", "thanks", "--wait")
    shown = _messages(ann, "Bob")
    assert [row["text"] for row in shown] == ["question", "answer", "thanks"]
    assert [_about(row.get("clock_off"), ahead_s) for row in shown] == [False, True, False]
    assert [row.get("clock_off") for row in shown][::2] == [None, None]
    assert [row["text"] for row in _messages(bob, "Ann")] == ["question", "answer", "thanks"]
    members = {row["name"]: row for row in ann.run("members", "Bob").found("member")}
    assert _about(members["Bob"]["clock_off"], ahead_s)
    assert "clock_off" not in members["Ann"]
    word = "ahead" if ahead_s > 0 else "behind"
    finding = _clock(ann)
    assert not finding["ok"]
    assert re.search(rf"Bob's clock is \d+ (hours|years) {word}", finding["text"])
    finding = _clock(bob)
    assert not finding["ok"]
    assert re.search(rf"you wrote last is \d+ (hours|years) {word}|years behind", finding["text"])


def test_people_see_a_sign_by_the_time_and_once_what_it_means(friends: tuple[Home, Home]) -> None:
    ann, bob = friends
    ann.run("send", "Bob", "hello", "--wait")
    _restart(bob, 3 * _HOUR)
    for text in ("one", "two"):
        bob.run("send", "Ann", text, "--wait")
    ann.run("send", "Bob", "three")
    shown = ann.run("log", "Bob", json=False)
    doubted = [line for line in shown.out.splitlines() if re.match(r"\[[^]]*\? ", line)]
    assert [line.split("] ")[1] for line in doubted] == [
        "Bob (unverified): one",
        "Bob (unverified): two",
    ]
    assert shown.err.count("? by a time: Bob's clock was 3 hours ahead") == 1
    assert "clock 3 hours ahead" in ann.run("members", "Bob", json=False).out
    mine = bob.run("send", "Ann", "four", "--wait", json=False)
    assert "? by a time" not in mine.err, "nobody has contradicted it yet"
    assert "your clock was 3 hours ahead" in bob.run("log", "Ann", json=False).err


@pytest.mark.parametrize("ahead_s", [10 * _YEAR, -3 * _HOUR])
def test_nobody_elses_clock_is_moved_and_the_wrong_one_recovers(
    friends: tuple[Home, Home], ahead_s: int
) -> None:
    ann, bob = friends
    ann.run("send", "Bob", "hello", "--wait")
    _restart(bob, ahead_s)
    bob.run("send", "Ann", "wrong", "--wait")
    for again in (False, True):
        if again:
            _restart(ann, 0)
        assert abs(_off(ann.run("send", "Bob", "right").found("message")[0])) < 75
    ann.run("sync", "--wait")
    _restart(bob, 0)
    mended = bob.run("send", "Ann", "mended", "--wait").found("message")[0]
    assert abs(_off(mended)) < 75
    for home, other in ((ann, "Bob"), (bob, "Ann")):
        *_, newest = _messages(home, other)
        assert newest["text"] == "mended"
        assert "clock_off" not in newest
        assert not [row for row in home.run("members", other).rows if "clock_off" in row]
        assert _clock(home)["ok"]


@pytest.mark.parametrize("from_the_start", [True, False])
def test_of_a_room_that_began_ahead_only_what_was_wrong_is_marked(
    ann: Home, bob: Home, *, from_the_start: bool
) -> None:
    ann.ahead_s = 3 * _HOUR if from_the_start else 0
    ann.up()
    bob.up()
    blob = ann.run("invite", "--no-wait").found("invite")[0]["blob"]
    bob.run("join", blob, "--no-chat")
    if not from_the_start:
        _restart(ann, 3 * _HOUR)
    ann.run("send", "Bob", "wrong", "--wait")
    _restart(ann, 0)
    for text in ("one", "two"):
        ann.run("send", "Bob", text, "--wait")
        bob.run("send", "Ann", text, "--wait")
    for home, other in ((ann, "Bob"), (bob, "Ann")):
        wrong, *right = _messages(home, other)
        assert _about(wrong.get("clock_off"), 3 * _HOUR)
        assert [row["text"] for row in right] == ["one", "one", "two", "two"]
        assert not [row for row in right if "clock_off" in row]
        assert not [row for row in home.run("members", other).rows if "clock_off" in row]
        assert _clock(home)["ok"]
