import io
import os
import sys
from pathlib import Path

import pytest

from p2pchat.cli import password as module
from p2pchat.cli.password import asked_password, given_password, new_password
from p2pchat.errors import Usage


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _type(monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    given = iter(answers)
    monkeypatch.setattr(sys, "stdin", _Terminal())
    monkeypatch.setattr(module, "prompt_secret", lambda _: next(given))


def _pipe(monkeypatch: pytest.MonkeyPatch, data: bytes) -> int:
    """stdin as a pipe; its descriptor."""
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    stdin = os.fdopen(reading)
    monkeypatch.setattr(sys, "stdin", stdin)
    return reading


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("P2PCHAT_PASSWORD", raising=False)


def test_a_file_goes_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert given_password(None) is None
    monkeypatch.setenv("P2PCHAT_PASSWORD", "from the environment")
    assert given_password(None) == new_password(None) == "from the environment"
    file = tmp_path / "secret"
    file.write_text("from a file\nnot this\n")
    assert asked_password(file, stdin_taken=True) == "from a file"


def test_a_new_password_is_typed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    _type(monkeypatch, "one", "one")
    assert new_password(None) == "one"
    _type(monkeypatch, "one", "two")
    with pytest.raises(Usage, match="not the same"):
        new_password(None)
    _type(monkeypatch, "")
    with pytest.raises(Usage, match="empty") as caught:
        new_password(None)
    assert caught.value.code == "password-missing"
    _type(monkeypatch, "once")
    assert asked_password(None, stdin_taken=True) == "once"


def test_of_a_pipe_one_line_is_taken_and_no_byte_more(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = _pipe(monkeypatch, b"zw\xc3\xb6lf W\r\np2p1reply")
    assert new_password(None) == "zwölf W"
    assert os.read(descriptor, 99) == b"p2p1reply"


def test_a_pipe_that_has_nothing_or_is_taken_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    _pipe(monkeypatch, b"")
    with pytest.raises(Usage) as caught:
        asked_password(None, stdin_taken=False)
    assert caught.value.code == "password-missing"
    _pipe(monkeypatch, b"password\n")
    with pytest.raises(Usage):
        asked_password(None, stdin_taken=True)
