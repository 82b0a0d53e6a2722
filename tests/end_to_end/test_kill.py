"""kill -9 at random moments, and a disk that fills up: nothing acknowledged is lost.

The moments come from a seed that a failure shows; SEED=... repeats them.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness.homes import Home

_KILLS = 100
"""Of the writer, and as many of the receiver."""
_MOMENT_S = 0.06
"""From the first that a job says, since on a busy machine opening alone takes longer."""
_CHECK_EVERY = 10
"""Between checks, which open and close in peace, the logs of several crashes lie on each other."""
_ROOT = Path(__file__).resolve().parents[2]
_CHILD = Path(__file__).with_name("kill_child.py")


class Nodes:
    """Nodes without a network, one at a time, and what they have said."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            start_new_session=True,
        )

    def run(
        self, *job: str, kill_after_s: float | None = None, busy: bool = False
    ) -> list[list[str]]:
        """What a job said until it ended by itself, or was killed; `busy`: after its first word."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        word, pid = self._line()
        assert word == "pid"
        said = [self._line()] if busy else []
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        while not said or said[-1][0] != "died":
            said.append(self._line())
        line = said.pop()
        assert line[1] == "0" or (kill_after_s is not None and line[1] == "-9"), (job, line)
        return said

    def until_first_s(self, *job: str) -> float:
        """How long a job takes to say its first; then it is killed."""
        assert self._process.stdin is not None
        began = time.monotonic()
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        _, pid = self._line()
        self._line()
        took = time.monotonic() - began
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
        while self._line()[0] != "died":
            pass
        return took

    def _line(self) -> list[str]:
        assert self._process.stdout is not None
        return self._process.stdout.readline().split() or ["died", "the program itself"]

    def end(self) -> None:
        # With what it has forked, which would hold its output open for ever.
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()


class Acknowledged:
    """What a home has said to be safe, against what is there."""

    def __init__(self, nodes: Nodes, home: Path) -> None:
        self._nodes = nodes
        self._home = str(home)
        self.ids: set[str] = set()
        self.amended: set[tuple[str, str]] = set()
        self.heads: dict[str, int] = {}

    def hear(self, said: list[list[str]]) -> None:
        for line in said:
            match line:
                case ["id", id_]:
                    self.ids.add(id_)
                case ["edited" | "deleted" as change, id_]:
                    self.amended.add((change, id_))
                case ["have", chain, seq]:
                    self.heads[chain] = max(int(seq), self.heads.get(chain, -1))

    def check(self) -> set[str]:
        """All messages that are there; everything acknowledged must be."""
        there = Acknowledged(self._nodes, Path(self._home))
        there.hear(self._nodes.run("check", self._home))
        assert not self.ids - there.ids, "acknowledged and gone"
        assert not self.amended - there.amended, "acknowledged and undone"
        for chain, seq in self.heads.items():
            assert there.heads.get(chain, -1) >= seq, "acknowledged and gone"
        return there.ids


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    started = Nodes()
    yield started
    started.end()


@pytest.fixture
def seed() -> str:
    return os.environ.get("SEED") or os.urandom(4).hex()


def _killed(nodes: Nodes, kept: Acknowledged, chance: random.Random, *job: str) -> int:
    """Run a job and kill it, again and again; how often it was in the middle of something."""
    busy = 0
    opening_s = min(nodes.until_first_s(*job) for _ in range(3))
    for number in range(_KILLS):
        # One in three dies while it opens, the others while they write.
        opened = number % 3 > 0
        moment_s = chance.uniform(0, _MOMENT_S if opened else opening_s)
        said = nodes.run(*job, kill_after_s=moment_s, busy=opened)
        kept.hear(said)
        busy += bool(said) and said[-1] != ["end"]
        if number % _CHECK_EVERY == 0:
            kept.check()
    kept.check()
    return busy


@pytest.mark.timeout(600)
def test_200_kills_of_writer_and_receiver_lose_nothing_acknowledged(
    friends: tuple[Home, Home], nodes: Nodes, tmp_path: Path, seed: str
) -> None:
    print(f"SEED={seed}")
    chance = random.Random(seed)
    ann, bob = friends
    ann.run("down")
    bob.run("down")

    written = Acknowledged(nodes, ann.path)
    assert _killed(nodes, written, chance, "write", str(ann.path)) > _KILLS // 4
    feed = str(tmp_path / "feed")
    nodes.run("feed", str(ann.path), feed, seed)
    received = Acknowledged(nodes, bob.path)
    assert _killed(nodes, received, chance, "receive", str(bob.path), feed) > _KILLS // 4

    ann.up()
    bob.up()
    synced = ann.run("sync", "Bob", "--wait")
    assert synced.found("sync")[-1]["state"] == "in-sync"
    logs = [
        [row["id"] for row in home.run("log", room, "--last", "0").found("message")]
        for home, room in ((ann, "Bob"), (bob, "Ann"))
    ]
    assert logs[0] == logs[1]
    assert written.ids | received.ids <= set(logs[0])
    for home in friends:
        home.run("down")
    assert written.check() == received.check() == set(logs[0])


@pytest.mark.parametrize("receiving", [False, True], ids=["writing", "receiving"])
def test_a_disk_that_fills_up_loses_nothing_and_goes_on(
    friends: tuple[Home, Home], nodes: Nodes, tmp_path: Path, seed: str, *, receiving: bool
) -> None:
    if os.geteuid() != 0:
        pytest.skip("a small tmpfs needs root")
    print(f"SEED={seed}")
    ann, bob = friends
    ann.run("down")
    bob.run("down")
    feed = str(tmp_path / "feed") if receiving else ""
    if receiving:
        nodes.run("write", str(ann.path), kill_after_s=2)
        nodes.run("feed", str(ann.path), feed, seed)
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "none", disk], check=True)
    try:
        home = disk / "bob"
        bob.path.rename(tmp_path / "moved")
        subprocess.run(["cp", "-a", tmp_path / "moved", home], check=True)
        free = os.statvfs(disk)
        filler = disk / "filler"
        filler.write_bytes(bytes(max(0, free.f_bavail * free.f_bsize - 400_000)))
        kept = Acknowledged(nodes, home)
        said = nodes.run("fill", str(home), str(filler), feed)
        errors = [line for line in said if line[0] == "error"]
        assert errors == [["error", "disk-full"]]
        kept.hear(said)
        assert len(kept.ids) > 3
        kept.check()
    finally:
        nodes.end()
        subprocess.run(["umount", disk], check=True)
