"""Homes of people in tests: the installed `p2pchat` command, in processes of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["COMMAND", "LOOPBACK", "Home", "Outcome"]

COMMAND = (sys.executable, "-m", "p2pchat.cli.main")
_LOOPBACK = 'net.interfaces=["lo"]'
LOOPBACK = (_LOOPBACK, "net.stun=[]", "dht.enabled=false")
NO_CARRIER = ("lan.enabled=false", "dht.enabled=false")
_WRONG_CLOCK = Path(__file__).parent / "wrong_clock"
Row = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[Row]:
        return [json.loads(line) for line in self.out.splitlines()]

    def found(self, event: str) -> list[Row]:
        return [row for row in self.rows if row["event"] == event]


@dataclass
class Home:
    """One person's profile; `prefix` runs the command elsewhere (in a lab's host).

    `program`: what to run as the command. `ahead_s`: how wrong the clock is that it sees.
    """

    name: str
    path: Path
    settings: Sequence[str] = LOOPBACK
    prefix: Sequence[str] = ()
    program: Sequence[str] = COMMAND
    ahead_s: float = 0.0
    processes: list["subprocess.Popen[str]"] = field(default_factory=list)

    def command(self, *arguments: str, json: bool = True) -> list[str]:
        # No test may speak to anybody: on loopback, or in a lab that nothing leads out of.
        assert self.prefix or _LOOPBACK in self.settings, "this home would use the real network"
        options = ["--home", str(self.path), "--name", self.name]
        for setting in self.settings:
            options += ["--set", setting]
        return [*self.prefix, *self.program, *options, *(["--json"] if json else []), *arguments]

    def run(
        self,
        *arguments: str,
        code: int | None = 0,
        json: bool = True,
        stdin: str = "",
        timeout: float = 60,
        env: dict[str, str] | None = None,
    ) -> Outcome:
        """Run one command to its end; `code` is the exit code it must have."""
        done = subprocess.run(
            self.command(*arguments, json=json),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**self._environment(), **(env or {})},
        )
        outcome = Outcome(done.returncode, done.stdout, done.stderr)
        if code is not None:
            assert outcome.code == code, f"{arguments}: {outcome}"
        return outcome

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start one command with --json, and leave it running."""
        process = subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment(),
        )
        self.processes.append(process)
        return process

    def _environment(self) -> dict[str, str]:
        if not self.ahead_s:
            return _clean()
        return {**_clean(), "PYTHONPATH": str(_WRONG_CLOCK), "AHEAD_S": str(self.ahead_s)}

    def up(self) -> int:
        """Start the background node; its process."""
        pid: int = self.run("up").found("status")[0]["pid"]
        return pid

    def kill(self) -> None:
        """kill -9 the background node."""
        os.kill(self.run("status").found("status")[0]["pid"], signal.SIGKILL)

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()
        self.run("down", code=None)

    def texts(self, room: str) -> list[str]:
        return [row["text"] for row in self.run("log", room, "--last", "0").found("message")]


def events(process: "subprocess.Popen[str]") -> Iterator[Row]:
    """What a started command prints, as it comes."""
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def _clean() -> dict[str, str]:
    """Our environment without settings that would change what is tested."""
    return {key: value for key, value in os.environ.items() if not key.startswith("P2PCHAT_")}
