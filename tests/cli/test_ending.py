"""A node that is asked to end does so, also where what it waits for does not come."""

import signal
import subprocess
import sys
from pathlib import Path

_STUCK = """
import sys, time
from p2pchat.cli import ending, main
from p2pchat.store import meta
from p2pchat.store.database import Database

ending._END_S = 2.0

async def aclose(self):
    time.sleep(600)  # the loop itself hangs

Database.aclose = aclose
sys.argv = ["p2pchat", "--home", sys.argv[1], "--name", "Ann", "--set", "net.stun=[]",
            "--set", 'net.interfaces=["lo"]', "up", "--foreground"]
main.run()
"""


def test_a_node_whose_disk_does_not_answer_ends_all_the_same(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _STUCK, str(tmp_path / "home")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as node:
        assert node.stderr is not None
        said = ""
        try:
            while "is up" not in said:
                line = node.stderr.readline()
                assert line, said
                said += line
            node.send_signal(signal.SIGTERM)
            assert node.wait(50) == 1
            assert "did not end by itself" in node.stderr.read()
        finally:
            node.kill()
