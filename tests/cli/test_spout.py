import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.harness.homes import Home


def test_an_export_goes_to_stdout_and_to_no_file(written: Home, tmp_path: Path) -> None:
    file = tmp_path / "file"
    written.run("export", "-o", str(file))
    for hosted in (True, False):  # in this process, then in a node that runs
        if not hosted:
            written.up()
        done = written.run("export", "-o", "-", json=False)
        assert done.out == file.read_text()
        assert f"{len(done.rows) - 1} entries written" in done.err
        assert done.rows[0]["event"] == "export"


def test_an_archive_goes_to_stdout(written: Home, tmp_path: Path) -> None:
    file = tmp_path / "archive"
    command = written.command("export", "-o", "-", "--format", "archive", json=False)
    with file.open("wb") as out:
        subprocess.run(
            command, stdout=out, check=True, env={**os.environ, "P2PCHAT_PASSPHRASE": "x"}
        )
    other = Home("Other", tmp_path / "other")
    other.run("import", str(file), env={"P2PCHAT_PASSPHRASE": "x"})
    assert len(other.texts("R")) == 3


def test_a_stdout_that_takes_nothing_is_told(written: Home) -> None:
    command = written.command("export", "-o", "-", json=False)
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(b"p2pchat: the output cannot be written: No space")
    gone = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert gone.stdout is not None
    gone.stdout.close()
    assert gone.wait(60) == 0
    assert gone.stderr is not None
    assert gone.stderr.read() == b""


def test_what_cannot_be_on_stdout_is_refused(
    ann: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ann.run("export", "-o", "-", code=2).found("error")[0]["code"] == "usage"
    assert not (tmp_path / "-").exists()
    ann.run("export", "-o", "./-")
    assert json.loads(ann.run("import", "./-").out.splitlines()[0])["added"] == 0
