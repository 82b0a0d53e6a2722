"""What is piped in is taken as a file of it would be, and read no further than it is wanted."""

import os
import subprocess
from pathlib import Path

from tests.harness.homes import Home

_SECRET = {"P2PCHAT_PASSPHRASE": "x"}


def _pipe(source: Home, target: Home, *export: str) -> tuple[int, bytes]:
    """`export -o - | import -`: how the latter ends, and what it says."""
    environment = {**os.environ, **_SECRET}
    out = subprocess.Popen(
        source.command("export", "-o", "-", *export, json=False),
        stdout=subprocess.PIPE,
        env=environment,
    )
    taken = subprocess.run(
        target.command("import", "-", json=False),
        stdin=out.stdout,
        capture_output=True,
        check=False,
        env=environment,
    )
    assert out.wait(60) == 0
    return taken.returncode, taken.stdout


def test_a_profile_goes_through_a_pipe_and_what_came_since_does_once(
    written: Home, tmp_path: Path
) -> None:
    other = Home("Other", tmp_path / "other")
    assert _pipe(written, other, "--format", "archive")[0] == 0
    assert len(other.texts("R")) == 3
    written.run("send", "R", "more")
    for hosted in (True, False):  # in that process, then by a node that runs
        if not hosted:
            other.up()
            written.run("send", "R", "still more")
        for kind in ("jsonl", "archive") if hosted else ("jsonl",):
            code, said = _pipe(written, other, "--format", kind)
            assert code == 0
            assert b"/" not in said, "the name of the pipe is nobody's business"
        assert other.texts("R")[-1] == ("more" if hosted else "still more")
    other.end()


def test_what_is_wrong_with_stdin_is_said_as_of_a_file(written: Home, tmp_path: Path) -> None:
    assert written.run("import", "-").found("imported")[0]["path"] == "-"
    archive = tmp_path / "archive"
    written.run("export", "-o", str(archive), "--format", "archive", env=_SECRET)
    for data, secret, code, exit_code in (
        (b"no line of it\n", "x", "import-malformed", 3),
        (archive.read_bytes()[:70_000], "x", "import-malformed", 3),
        (archive.read_bytes(), "y", "passphrase-wrong", 4),
    ):
        done = subprocess.run(
            written.command("import", "-"),
            input=data,
            capture_output=True,
            check=False,
            env={**os.environ, "P2PCHAT_ARCHIVE_PASSPHRASE": secret},
        )
        assert done.returncode == exit_code, done
        assert f'"code":"{code}"'.encode() in done.stdout
        assert b"p2pchat-" not in done.stdout
    with (tmp_path / "only to write").open("wb") as wrong:
        done = subprocess.run(
            written.command("import", "-"), stdin=wrong, capture_output=True, check=False
        )
    assert done.returncode == 3
    assert b'"code":"file-missing"' in done.stdout


def test_an_import_that_has_failed_waits_for_no_end_of_stdin(written: Home) -> None:
    process = written.start("import", "-")
    assert process.stdin is not None
    process.stdin.write("no line of it\n" * 1_000)
    process.stdin.flush()
    assert process.wait(30) == 3
