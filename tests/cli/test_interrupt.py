import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from p2pchat.cli.interrupt import EXIT_CODE, leave, unwinding
from tests.harness.homes import Home

# Ctrl-C at whatever import comes `count`th once the command has begun: no clock in it.
_AT_IMPORT = """
import os, signal, sys
from p2pchat.cli import main
left = {count}
class Finder:
    def find_spec(self, name, path=None, target=None):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
sys.argv = ["p2pchat", "--json", "--home", {home!r}, "id"]
main.run()
"""


@pytest.mark.parametrize("count", [1, 10, 60])
def test_ctrl_c_while_modules_load_ends_without_a_traceback(tmp_path: Path, count: int) -> None:
    code = _AT_IMPORT.format(count=count, home=str(tmp_path / "home"))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == EXIT_CODE == 130
    assert done.stderr == "p2pchat: interrupted\nhint: run it again to go on\n"
    assert done.stdout.splitlines()[-1] == '{"v":1,"event":"done","ok":false,"exit":130}'


@pytest.mark.parametrize("arguments", [("send", "Bob", "-"), ("join", "-")])
def test_ctrl_c_ends_a_command_that_reads_a_terminal_or_a_pipe(
    ann: Home, arguments: tuple[str, ...]
) -> None:
    for ours, theirs in (pty.openpty(), os.pipe()[::-1]):
        process = subprocess.Popen(
            ann.command(*arguments), stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        ann.processes.append(process)  # type: ignore[arg-type]
        _wait_until_it_reads(process.pid)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert process.returncode == 130
        assert b"Traceback" not in err
        assert out.splitlines()[-1] == b'{"v":1,"event":"done","ok":false,"exit":130}'
        os.close(ours)
        os.close(theirs)


def _wait_until_it_reads(pid: int) -> None:
    """Until it is in a system call on its stdin."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        call = Path(f"/proc/{pid}/syscall").read_text().split()
        # read(0, …) on x86_64 and on arm64
        if call[0] in ("0", "63") and call[1] == "0x0":
            return
        time.sleep(0.02)  # another process: there is no event to wait on
    raise AssertionError("it does not read")


def test_what_was_in_force_before_is_so_again() -> None:
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, leave)
    try:
        with unwinding(), pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is leave
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with unwinding():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
