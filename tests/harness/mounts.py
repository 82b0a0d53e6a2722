"""Scripts that mount a disk of their own, which nobody else sees."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["needs_mounts", "with_mounts"]

needs_mounts = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")


def with_mounts(script: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run Python with `folder` as its argument, in a mount namespace of its own."""
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine allows no mount namespace")
    command = ["unshare", "--mount", sys.executable, "-c", script, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
