import errno
import io
import subprocess

import pytest

from p2pchat.cli.streams import check_given, lost, read_stdin
from p2pchat.errors import BadInput, Error
from tests.harness.homes import Home

_NO_TEXT = b"caf\xe9"
_GIVEN = _NO_TEXT.decode(errors="surrogateescape")


def _shell(home: Home, script: str, *arguments: str, json: bool = False) -> tuple[int, str, str]:
    """Run a command by way of sh, which `script` has as "$@"."""
    done = subprocess.run(
        ["sh", "-c", script, "sh", *home.command(*arguments, json=json)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize(
    "arguments",
    [
        ("send", "R", _GIVEN),
        ("log", "R", "--search", _GIVEN),
        ("rename", _GIVEN),
        ("room", "create", _GIVEN),
        ("alias", "Bob", _GIVEN),
        ("share", _GIVEN),
    ],
)
def test_arguments_that_are_no_text_are_bad_input(ann: Home, arguments: tuple[str, ...]) -> None:
    error = ann.run(*arguments, code=3).found("error")[0]
    assert error["code"] == "text-malformed"
    assert "not valid UTF-8" in error["message"]
    assert not ann.path.exists()


def test_variables_that_are_no_text_are_bad_input_and_secrets_may_be_any_bytes() -> None:
    check_given(["é"], {"P2PCHAT_PASSPHRASE": _GIVEN, "OTHER": _GIVEN, "P2PCHAT_NAME": "é"})
    with pytest.raises(BadInput, match="P2PCHAT_NAME is not valid UTF-8"):
        check_given([], {"P2PCHAT_NAME": _GIVEN})


def test_a_password_that_is_no_text_is_bad_input(ann: Home) -> None:
    outcome = ann.run("invite", "--password", code=3, env={"P2PCHAT_PASSWORD": _GIVEN})
    assert outcome.found("error")[0]["code"] == "text-malformed"


def _stdin(data: bytes, monkeypatch: pytest.MonkeyPatch, encoding: str = "utf-8") -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding))


def test_stdin_is_text_in_its_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    _stdin(_NO_TEXT, monkeypatch, "latin-1")
    assert read_stdin() == "café"
    _stdin(_NO_TEXT, monkeypatch)
    with pytest.raises(BadInput) as caught:
        read_stdin()
    assert caught.value.code == "text-malformed"
    # What is cut off within a character is no fault of the text.
    _stdin("éé".encode(), monkeypatch)
    assert read_stdin(3) == "é"


def test_lines_of_another_system_end_as_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    _stdin(b"\xef\xbb\xbfone\r\ntwo\rthree\r\n", monkeypatch)
    assert read_stdin() == "one\ntwo\rthree\n"


def test_output_never_fails_for_its_encoding(ann: Home) -> None:
    ann.run("room", "create", "R")
    ann.run("send", "R", "née 世界")
    for encoding, shown in (("ascii", "n\\xe9e \\u4e16"), ("latin-1", "n\xe9e \\u4e16")):
        done = subprocess.run(
            ["env", f"PYTHONIOENCODING={encoding}", *ann.command("log", "R", json=False)],
            capture_output=True,
            timeout=60,
            check=True,
        )
        assert shown in done.stdout.decode("latin-1")
        rows = ann.run("log", "R", env={"PYTHONIOENCODING": encoding}).found("message")
        assert rows[0]["text"] == "née 世界"


def test_output_that_nobody_takes_is_told_without_a_traceback(ann: Home) -> None:
    ann.run("room", "create", "R")
    for json_ in (False, True):
        code, _, err = _shell(ann, 'exec "$@" >/dev/full', "room", "info", "R", json=json_)
        assert (code, err.splitlines()[0]) == (
            1,
            "p2pchat: the output cannot be written: No space left on device",
        )
        code, _, err = _shell(ann, 'exec "$@" >&-', "room", "info", "R", json=json_)
        assert code == 1
        assert err.startswith("p2pchat: the output cannot be written: ")
        assert len(err.splitlines()) == 2
    assert _shell(ann, 'exec "$@" 2>&-', "room", "info", "R")[0] == 0
    assert _shell(ann, 'exec "$@" 2>/dev/full', "send", "nobody", "x")[0] == 3
    assert _shell(ann, 'exec "$@" <&-', "send", "R", "-")[0] == 3


def test_what_is_done_is_told_where_its_output_is_lost(ann: Home) -> None:
    ann.run("room", "create", "R")
    code, _, err = _shell(ann, 'exec "$@" >/dev/full', "send", "R", "hi")
    assert code == 1
    assert err.startswith("p2pchat: the message is written, but the output cannot be written")
    assert ann.texts("R") == ["hi"]
    for arguments, stands in (
        (("room", "create", "S"), "the room is made"),
        (("room", "set", "R", "topic", "T"), "it is done"),
        (("delete", "R", ann.run("log", "R").found("message")[0]["id"]), "it is done"),
    ):
        code, _, err = _shell(ann, 'exec "$@" >/dev/full', *arguments)
        assert code == 1
        assert err.startswith(f"p2pchat: {stands}, but the output cannot be written")


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "disk-full"), (errno.EIO, "output-unwritable")]
)
def test_the_codes_of_lost_output(number: int, code: str) -> None:
    failure = lost(OSError(number, "why"), "")
    assert isinstance(failure, Error)
    assert failure.code == code


def test_a_reader_that_has_had_enough_is_no_error(ann: Home) -> None:
    ann.run("id")
    for arguments in (("doctor",), ("--help",), ("config",)):
        # Nobody reads at all: not a matter of who is quicker.
        done = subprocess.Popen(
            ann.command(*arguments, json=False), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert done.stdout is not None
        assert done.stderr is not None
        done.stdout.close()
        assert done.stderr.read() == b""
        assert done.wait(60) == (1 if arguments == ("--help",) else 0)
