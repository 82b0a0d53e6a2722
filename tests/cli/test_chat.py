"""The chat as a person sees it: two terminals."""

import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path

from tests.harness.homes import Home

_WAIT_S = 20


class Terminal:
    """One command in a terminal of its own."""

    def __init__(self, argv: list[str]) -> None:
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "NO_COLOR": "1"},
        )
        os.close(slave)
        self.seen = ""

    def type(self, line: str) -> None:
        self.press(line + "\r")

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait(self, pattern: str) -> str:
        """Until `pattern` has been shown since the last wait; the match's first group."""
        deadline = time.monotonic() + _WAIT_S
        while not (found := re.search(pattern, self.seen)):
            left = deadline - time.monotonic()
            assert left > 0, f"never saw {pattern!r} in {self.seen!r}"
            if select.select([self._master], [], [], left)[0]:
                self.seen += os.read(self._master, 65_536).decode(errors="replace")
        self.seen = self.seen[found.end() :]
        return found[1] if found.groups() else found[0]

    def end(self) -> int:
        try:
            return self._process.wait(_WAIT_S)
        finally:
            self._process.kill()
            os.close(self._master)


def test_two_people_talk_in_two_terminals(ann: Home, tmp_path: Path) -> None:
    bob = Home("Bob", tmp_path / "bob")
    hers = Terminal(ann.command("invite", json=False))
    blob = hers.wait(r"\b(p2p1\w+)\s")
    his = Terminal(bob.command("join", blob, json=False))
    hers.wait("connected with Bob")
    his.wait("connected with Ann")
    # Bracketed paste on: the prompt is there.
    hers.wait(r"\x1b\[\?2004h")
    his.wait(r"\x1b\[\?2004h")
    hers.type("hello Bob")
    his.wait(r"Ann \(unverified\): hello Bob")
    his.type("hello Ann")
    hers.wait(r"Bob \(unverified\): hello Ann")
    id_ = next(row["id"] for row in ann.run("log", "Bob").rows if row.get("text") == "hello Bob")
    hers.type(f"/edit {id_[:7]} hi Bob")
    his.wait(f"Ann edited {id_[:7]}: hi Bob")
    his.type(f"/react {id_[:7]} :)")
    hers.wait(f"Bob reacts to {id_[:7]}: :\\)")
    his.type(f"/reply {id_[:7]} what?")
    hers.wait(f"what\\?  \\(answers {id_[:7]}\\)")
    his.type(f"/pin {id_[:7]}")
    hers.wait(f"Bob pinned {id_[:7]}")
    hers.type("/pins")
    hers.wait("hi Bob  \\(edited, pinned, :\\) 1\\)")
    his.type(f"/delete {id_[:7]}")
    his.wait("only its author may delete it")
    hers.type(f"/delete {id_[:7]}")
    his.wait(f"Ann deleted {id_[:7]}")
    his.type("/members")
    his.wait("Ann .*online")
    his.press("I am about to say")
    hers.wait("Bob is typing")
    his.press("\x15")
    his.type("well, @ANN?")
    hers.wait("\x07.*well, @ANN")
    hers.type("/away")
    his.wait("Ann is away")
    hers.type("@Bob, I am back")
    his.wait("Ann is back")
    his.wait("I am back")
    his.type("/nonsense")
    his.wait("no command /nonsense")
    (tmp_path / "note.txt").write_text("hi")
    hers.type(f"/share {tmp_path / 'note.txt'}")
    his.wait("shared note.txt")
    his.type("/quit")
    assert his.end() == 0
    hers.wait("Bob .*disconnected")
    hers.type("/quit")
    assert hers.end() == 0
    assert ann.texts("Bob") == bob.texts("Ann")
    assert ann.texts("Bob") == ["", "hello Ann", "what?", "well, @ANN?", "I am back"]


def test_people_are_verified_named_and_blocked_from_the_chat(ann: Home, tmp_path: Path) -> None:
    bob = Home("Bob", tmp_path / "bob")
    hers = Terminal(ann.command("invite", json=False))
    blob = hers.wait(r"\b(p2p1\w+)\s")
    his = Terminal(bob.command("join", blob, json=False))
    hers.wait(r"\x1b\[\?2004h")
    his.wait(r"\x1b\[\?2004h")
    number = r"((?:\d{5} ){3}\d{5})"
    hers.type("/verify")
    his.type("/verify Ann")
    assert hers.wait(number) == his.wait(number)
    hers.type("/verify confirm")
    hers.wait("Bob .*, verified")
    his.wait(r"Ann .*\(unverified\) has verified you")
    hers.type('/alias Bob "Bobby B"')
    hers.wait(r"Bobby B \(Bob\)")
    his.type("hello")
    hers.wait("Bobby B: hello")
    hers.type("/alias")
    hers.wait("does not say who is meant")
    hers.type("/whois Nobody")
    hers.wait("nobody known here")
    hers.type("/block Bobby B")
    hers.wait("Bobby B .*blocked")
    his.wait("Ann .*disconnected")
    hers.type("/whois")
    hers.wait("Bobby B .*, verified, .*blocked")
    hers.type("/unblock Bob")
    hers.wait(r"Bobby B \(Bob\)")
    for terminal in (hers, his):
        terminal.type("/quit")
        assert terminal.end() == 0


def test_the_password_of_an_invite_is_asked_for_and_not_shown(ann: Home, tmp_path: Path) -> None:
    bob, cat = Home("Bob", tmp_path / "bob"), Home("Cat", tmp_path / "cat")
    try:
        for home in (ann, bob, cat):
            home.up()
        blob = ann.run("invite", "--no-wait").found("invite")[0]["blob"]
        bob.run("join", blob, "--no-chat")
        env = {"P2PCHAT_PASSWORD": "open sesame"}
        guarded = cat.run("invite", "--no-wait", "--password", env=env).found("invite")[0]["blob"]
        his = Terminal(bob.command(json=False))
        his.wait(r"\x1b\[\?2004h")
        his.type(f"/join {guarded}")
        his.wait("Password of the invite:")
        his.press("\x04")
        his.wait("needs a password")
        his.type(f"/join {guarded}")
        his.wait("Password of the invite:")
        his.type("open sesame")
        assert "sesame" not in his.wait(r"([\s\S]*)go there with: /room Cat")
        his.type("/quit")
        assert his.end() == 0
        assert {row["name"] for row in bob.run("peers").found("peer")} == {"Ann", "Cat"}
    finally:
        bob.end()
        cat.end()
