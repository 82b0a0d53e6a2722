"""Every bad input has its sentence, its hint and its exit code, and changes nothing."""

import os
import subprocess
from pathlib import Path

import pytest

from signaling.blob import Kind, encode
from tests.harness.homes import LOOPBACK, Home, Outcome, events


def _refused(outcome: Outcome, code: str) -> None:
    error = outcome.found("error")[0]
    assert error["code"] == code
    assert error["message"]
    assert error["hint"]
    assert f"p2pchat: {error['message']}" in outcome.err
    assert f"hint: {error['hint']}" in outcome.err
    assert outcome.rows[-1] == {"v": 1, "event": "done", "ok": False, "exit": outcome.code}


def _nothing_changed(home: Home) -> None:
    assert not home.run("rooms").found("room")
    assert not home.run("peers").found("peer")


@pytest.fixture
def blob(ann: Home) -> str:
    ann.up()
    text: str = ann.run("invite", "--no-wait").found("invite")[0]["blob"]
    return text


def test_blobs_that_are_none(blob: str, bob: Home) -> None:
    wrong = {
        "hello there": "blob-foreign",
        "https://example.org/join": "blob-foreign",
        "": "blob-foreign",
        "p2p1": "blob-damaged",
        blob[:-1]: "blob-damaged",
        blob[:120]: "blob-damaged",
        blob[:50] + "x" + blob[51:] if blob[50] != "x" else blob[:50] + "y" + blob[51:]: (
            "blob-damaged"
        ),
        blob + "1": "blob-damaged",
        encode(Kind.REPLY, bytes(60)): "blob-kind",
    }
    for text, code in wrong.items():
        _refused(bob.run("join", "-", "--no-chat", code=3, stdin=text), code)
    _nothing_changed(bob)


def test_a_blob_of_a_newer_version(bob: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signaling.blob.VERSION", 2)
    newer = encode(Kind.INVITE, bytes(80))
    monkeypatch.undo()
    _refused(bob.run("join", newer, "--no-chat", code=3), "blob-newer")


def test_an_invite_of_ones_own(blob: str, ann: Home) -> None:
    _refused(ann.run("join", blob, "--no-chat", code=4), "invite-own")


def test_an_invite_works_once(blob: str, bob: Home, tmp_path: Path) -> None:
    bob.run("join", blob, "--no-chat")
    eve = Home("Eve", tmp_path / "eve")
    _refused(eve.run("join", blob, "--no-chat", "--timeout", "15", code=4), "invite-used")
    _nothing_changed(eve)


def test_an_expired_invite(ann: Home, bob: Home, tmp_path: Path) -> None:
    ann.up()
    blob = ann.run("invite", "--no-wait", "--expires", "1s").found("invite")[0]["blob"]
    waiting = ann.start("invite", "--expires", "1s", "--no-chat")
    rows = list(events(waiting))
    assert rows[-2]["code"] == "invite-expired"
    assert waiting.wait(20) == 4
    _refused(bob.run("join", blob, "--no-chat", "--timeout", "15", code=4), "invite-expired")
    _nothing_changed(bob)


def test_nobody_answers(ann: Home, bob: Home, blob: str) -> None:
    ann.run("down")
    _refused(bob.run("join", blob, "--no-chat", "--timeout", "3", code=5), "unreachable")
    _nothing_changed(bob)


def test_replies_that_belong_nowhere(ann: Home, blob: str) -> None:
    _refused(ann.run("reply", "nonsense", code=3), "blob-foreign")
    _refused(ann.run("reply", blob, code=3), "blob-kind")
    _refused(ann.run("reply", encode(Kind.REPLY, bytes(60)), code=4), "invite-unknown")


@pytest.mark.parametrize(
    "target",
    [
        "magnet:?xt=urn:btih:abc",
        "magnet:?xt=urn:btih:" + 40 * "a",
        "magnet:?dn=x",
        "magnet:?xt=urn:btih:" + 40 * "a" + "&xl=10&x.p2pkey=short",
    ],
)
def test_a_magnet_that_is_none(ann: Home, target: str) -> None:
    _refused(ann.run("get", target, code=3), "magnet-malformed")
    assert not ann.run("files").found("transfer")


def test_shares_and_rooms_nobody_knows(ann: Home) -> None:
    _refused(ann.run("get", "abcdefgh", code=3), "share-unknown")
    _refused(ann.run("send", "nobody", "hi", code=3), "room-unknown")
    _refused(ann.run("log", "nobody", code=3), "room-unknown")
    _refused(ann.run("unshare", "abcdefgh", code=3), "share-unknown")


def test_files_that_cannot_be_shared(ann: Home, tmp_path: Path) -> None:
    _refused(ann.run("share", str(tmp_path / "missing"), code=3), "file-missing")
    os.mkfifo(tmp_path / "fifo")
    _refused(ann.run("share", str(tmp_path / "fifo"), code=3), "file-unreadable")
    assert not ann.run("files").found("transfer")
    assert not list((ann.path / "files").glob("*"))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "name-empty"),
        ("   ", "name-empty"),
        (65 * "n", "name-too-long"),
        ("Ann\x1b[31m", "name-control"),
        ("Ann\u202enosirG", "name-control"),
    ],
)
def test_names_that_are_none(tmp_path: Path, name: str, code: str) -> None:
    home = Home(name, tmp_path / "home")
    _refused(home.run("id", code=3), code)
    home.name = "Ann"
    home.run("id")
    _refused(home.run("rename", name, code=3), code)
    assert home.run("id").found("identity")[0]["name"] == "Ann"


def test_texts_that_are_none(friends: tuple[Home, Home]) -> None:
    ann, _ = friends
    _refused(ann.run("send", "Bob", "  ", code=3), "text-empty")
    for nothing in ("\u200b", "\x1b\x07", "\u202e \u200d\n"):
        _refused(ann.run("send", "Bob", nothing, code=3), "text-empty")
    _refused(ann.run("send", "Bob", "-", code=3, stdin=65_537 * "x"), "text-too-long")
    _refused(ann.run("send", "Bob", "hi", "--reply-to", "zzzz", code=3), "entry-unknown")
    assert ann.texts("Bob") == []


def test_terminal_escapes_of_a_peer_never_reach_the_terminal(friends: tuple[Home, Home]) -> None:
    ann, bob = friends
    ann.run("send", "Bob", "-", "--wait", stdin="red \x1b[31m bell \x07 title \x1b]0;x\x07 \u202e")
    shown = bob.run("log", "Ann", json=False).out
    assert "red" in shown
    assert not any(character in shown for character in "\x1b\x07\u202e")


def test_a_home_in_use(ann: Home) -> None:
    ann.up()
    _refused(ann.run("up", code=6), "home-in-use")


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    home = Home("Ann", tmp_path / "file" / "home")
    _refused(home.run("id", code=1), "home-unwritable")


def test_a_profile_whose_key_is_gone_or_damaged(ann: Home) -> None:
    ann.run("id")
    key = ann.path / "key"
    kept = key.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    key.unlink()
    _refused(ann.run("id", code=1), "home-damaged")
    key.write_bytes(b"{")
    _refused(ann.run("id", code=1), "home-damaged")
    key.write_bytes(kept)
    ann.run("id")


def test_a_full_disk_is_told_and_nothing_is_lost(ann: Home, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a small tmpfs needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], check=True)
    try:
        home = Home("Ann", disk / "home")
        home.run("id")
        subprocess.run(["dd", "if=/dev/zero", f"of={disk / 'filler'}", "bs=4k"], check=False)
        failed = home.run("rename", "Somebody" * 6, code=None)
        other = Home("Bob", disk / "other").run("id", code=1)
        _refused(other, "disk-full")
        (disk / "filler").unlink()
        if failed.code == 1:
            _refused(failed, "disk-full")
        assert home.run("id").found("identity")[0]["name"] in ("Ann", "Somebody" * 6)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_settings_that_are_none(ann: Home) -> None:
    ann.settings = (*LOOPBACK, "net.colour=5")
    _refused(ann.run("id", code=2), "config-malformed")
    ann.settings = (*LOOPBACK, "lan.enabled=5")
    _refused(ann.run("id", code=2), "config-malformed")


def test_usage(ann: Home) -> None:
    for arguments in (["nonsense"], ["send"], ["invite", "--expires", "soon"], ["join"]):
        outcome = ann.run(*arguments, code=2)
        _refused(outcome, "usage")


@pytest.mark.parametrize(
    "arguments",
    [
        ("log", "R", "--last", 20 * "9"),
        ("log", "R", "--last", "-1"),
        ("sync", "--timeout", "nan"),
        ("send", "R", "hi", "--timeout", "inf"),
        ("join", "x", "--timeout", "0"),
        ("get", "x", "--timeout", "1e300"),
        ("nearby", "--timeout", "-1"),
        ("knock", "x", "--timeout", "nan"),
        ("invite", "--timeout", "1e400"),
        ("invite", "--expires", "999999w"),
    ],
)
def test_numbers_that_nothing_can_count_to(ann: Home, arguments: tuple[str, ...]) -> None:
    _refused(ann.run(*arguments, code=2), "usage")


@pytest.mark.parametrize(
    "setting", ["api.port=65536", "api.port=-1", "files.upload_rate=1" + 20 * "0"]
)
def test_settings_out_of_range(ann: Home, setting: str) -> None:
    ann.settings = (*LOOPBACK, setting)
    _refused(ann.run("id", code=2), "config-malformed")


def test_down_without_a_node(ann: Home) -> None:
    _refused(ann.run("down", code=1), "not-running")
