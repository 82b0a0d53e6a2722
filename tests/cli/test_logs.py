import logging
import subprocess
import sys
from pathlib import Path

import pytest

from p2pchat.cli import logs
from tests.harness.homes import Home

_WARN = """
import asyncio, logging, sys
from pathlib import Path
from p2pchat.cli import logs
logs.keep(Path(sys.argv[1]))
logging.getLogger("p2pchat.some").warning("%s is amiss", "this")
logging.getLogger("p2pchat.some").info("of no matter")
"""


def _warned(folder: Path, **environment: str) -> str:
    """What a process that warns says on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", _WARN, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == ""
    return done.stderr


def test_what_a_node_logs_is_kept_from_what_a_command_says(tmp_path: Path) -> None:
    for _ in range(2):
        assert _warned(tmp_path) == ""
    lines = (tmp_path / "node.log").read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == ["WARNING p2pchat.some: this is amiss"] * 2


def test_who_looks_for_a_fault_sees_all_at_once(tmp_path: Path) -> None:
    said = _warned(tmp_path, P2PCHAT_DEBUG="1")
    assert "this is amiss" in said
    assert "of no matter" in said
    assert not (tmp_path / "node.log").exists()


def test_a_log_that_cannot_be_written_spoils_nothing(tmp_path: Path) -> None:
    assert _warned(tmp_path / "none") == ""
    assert not (tmp_path / "none").exists()
    (tmp_path / "node.log").mkdir()
    assert _warned(tmp_path) == ""


def test_a_log_that_has_grown_too_long_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert logs.file_for(tmp_path) == tmp_path / "node.log"
    monkeypatch.setattr(logs, "_MAX", 10)
    (tmp_path / "node.log").write_text("long enough")
    logs.file_for(tmp_path)
    assert (tmp_path / "node.log.1").read_text() == "long enough"
    assert not (tmp_path / "node.log").exists()


def test_a_command_without_warnings_leaves_no_log(ann: Home) -> None:
    ann.run("room", "create", "R")
    assert not (ann.path / "node.log").exists()


def test_whoever_has_set_up_logs_keeps_them(tmp_path: Path) -> None:
    before = logging.getLogger().handlers[:]
    assert before, "pytest's own"
    logs.keep(tmp_path)
    assert logging.getLogger().handlers == before
