"""The demo holds, and where it cannot it says so and leaves nothing behind."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.harness.homes import Home

_LIMIT_S = 300
"""A demo gives up by itself, and must have its time to clean up."""


def _left(folder: Path) -> list[Path]:
    return list(folder.glob("p2pchat-demo-*"))


@pytest.mark.timeout(_LIMIT_S + 30)
def test_the_demo_holds_and_cleans_up(ann: Home, tmp_path: Path) -> None:
    outcome = ann.run("demo", env={"TMPDIR": str(tmp_path)}, timeout=_LIMIT_S)
    notes = outcome.found("note")
    assert "all of it held" in notes[-1]["text"]
    assert len(notes) > 8
    assert not _left(tmp_path)


@pytest.mark.timeout(_LIMIT_S + 30)
def test_a_demo_that_cannot_hold_says_so(ann: Home, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a small tmpfs needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "none", disk], check=True)
    try:
        outcome = ann.run("demo", env={"TMPDIR": str(disk)}, code=1, timeout=_LIMIT_S)
        error = outcome.found("error")[0]
        assert error["code"] == "demo-failed"
        assert error["hint"]
        assert not _left(disk)
    finally:
        # A node gives its home back a moment before its process is gone.
        deadline = time.monotonic() + 5
        while subprocess.run(["umount", disk], check=False).returncode:
            assert time.monotonic() < deadline, "somebody still uses the demo's disk"
            time.sleep(0.05)
