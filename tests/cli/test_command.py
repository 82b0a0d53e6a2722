import asyncio
import json
from pathlib import Path

import pytest

from p2pchat.api.client import NotRunning
from p2pchat.cli.command import Common, execute, merge
from p2pchat.cli.output import Output
from p2pchat.errors import Busy


def _run(failure: BaseException | None, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    async def work() -> int | None:
        await asyncio.sleep(0)
        if failure is not None:
            raise failure
        return None

    code = execute(Output(json=True), Common(Path("nowhere")), work)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[-1] == {"v": 1, "event": "done", "ok": code == 0, "exit": code}
    return code, rows[0].get("code", "")


def test_every_end_has_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(None, capsys) == (0, "")
    assert _run(Busy("home-in-use", "m", "h"), capsys) == (6, "home-in-use")
    assert _run(KeyboardInterrupt(), capsys) == (130, "interrupted")
    assert _run(NotRunning(), capsys) == (1, "not-running")
    assert _run(ZeroDivisionError("x"), capsys) == (1, "internal")


def test_options_may_stand_before_or_after_the_command() -> None:
    file = {"passphrase_file": None}
    before = Common(Path("a"), json=True, name="Ann", settings=["x=1"])
    given = {"home": None, "json": None, "name": None, "settings": ("y=2",)} | file
    assert merge(before, given) == Common(Path("a"), True, "Ann", ["x=1", "y=2"])
    given = {"home": Path("b"), "json": None, "name": "", "settings": ()} | file
    assert merge(before, given) == Common(Path("b"), True, "", ["x=1"])
