"""The owner's command is run for mentions, and what a peer wrote is never part of a command."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from p2pchat import events
from p2pchat.node import notify as module
from p2pchat.node.bus import Bus
from p2pchat.node.notify import Notifier, variables
from signaling.tasks import owned_tasks
from tests.harness.crew import Crew

NASTY = "@ann $(touch gone); `id` \"' \x00\x1b[2J | cat &"


def message(
    text: str, *, author: str = "bob", mention: bool = True, age_s: float = 0
) -> events.Message:
    when = events.rfc3339(time.time() - age_s)
    return events.Message(
        room="r", id=text[:4], author=author, name="Bob", time=when, text=text, mention=mention
    )


def writer(tmp_path: Path) -> tuple[list[str], Path]:
    """A command that appends what it was told, and its file."""
    out = tmp_path / "told.jsonl"
    script = tmp_path / "tell.py"
    script.write_text(
        "import json, os, sys\n"
        "told = {k[16:]: v for k, v in os.environ.items() if k.startswith('P2PCHAT_MENTION_')}\n"
        f"open({str(out)!r}, 'a').write(json.dumps([sys.argv[1:], told]) + '\\n')\n"
    )
    return [sys.executable, str(script), "$HOME"], out


async def lines(path: Path, count: int) -> list[list[object]]:
    async with asyncio.timeout(30):
        while not path.exists() or path.read_text().count("\n") < count:
            await asyncio.sleep(0.05)
    return [json.loads(line) for line in path.read_text().splitlines()]


@asynccontextmanager
async def running(bus: Bus, command: Sequence[str]) -> AsyncIterator[None]:
    notifier = Notifier(bus, command, lambda room: f"room {room}")
    async with owned_tasks() as tasks:
        tasks.create_task(notifier.run())
        while not bus.heard():
            await asyncio.sleep(0)
        yield


async def test_a_mention_runs_the_command_with_the_text_in_its_environment(tmp_path: Path) -> None:
    command, out = writer(tmp_path)
    bus = Bus()
    async with running(bus, command):
        bus.publish(message("no mention", mention=False))
        bus.publish(message("@ann long ago", age_s=2 * 86_400))
        bus.publish(message(NASTY))
        bus.publish(message("@ann again"))
        first, second = await lines(out, 2)
    assert first[0] == ["$HOME"], "no shell has seen it"
    told = first[1]
    assert isinstance(told, dict)
    assert told["TEXT"].startswith("@ann $(touch gone); `id`")
    assert "\x1b" not in told["TEXT"]
    assert (told["NAME"], told["ROOM"], told["ROOM_NAME"]) == ("Bob", "r", "room r")
    assert isinstance(second[1], dict)
    assert second[1]["TEXT"] == "@ann again"
    assert not (tmp_path / "gone").exists()


async def test_a_flood_of_one_runs_few_and_hides_nobody_else(tmp_path: Path) -> None:
    command, out = writer(tmp_path)
    bus = Bus()
    async with running(bus, command), asyncio.timeout(60):
        for _ in range(200):
            bus.publish(message("@ann", author="mallory"))
        bus.publish(message("@ann", author="carol"))
        while not out.exists() or '"carol"' not in out.read_text():
            await asyncio.sleep(0.05)
    assert 1 <= out.read_text().count('"mallory"') <= 6


async def test_a_command_that_hangs_or_is_not_there_holds_up_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "begun"
    script = (
        f"import pathlib, time; pathlib.Path({str(mark)!r}).open('a').write('x'); time.sleep(60)"
    )
    for command in ([sys.executable, "-c", script], [str(tmp_path / "missing")]):
        monkeypatch.setattr(module, "_COMMAND_S", 3.0)
        notifier = Notifier(Bus(), command, str)
        async with asyncio.timeout(30):
            await notifier._call(message("@ann"))
    assert mark.read_text() == "x"


def test_secrets_are_kept_from_the_command() -> None:
    ours = {"PATH": "/bin", "P2PCHAT_PASSPHRASE": "s", "P2PCHAT_PASSWORD": "t"}
    told = variables(message("x" * 9_000), "crew", ours)
    assert told["PATH"] == "/bin"
    assert not {"P2PCHAT_PASSPHRASE", "P2PCHAT_PASSWORD"} & set(told)
    assert len(told["P2PCHAT_MENTION_TEXT"]) == 4_096


async def test_a_mention_in_a_room_reaches_the_command_but_none_of_somebody_blocked(
    tmp_path: Path,
) -> None:
    command, out = writer(tmp_path)
    chosen = f"notify.command='''{' '.join(command)}'''"
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        carol = await crew.hire("Carol", chosen)
        await crew.found("ann")
        await crew.bring("ann", "bob", "Carol")
        await crew.link("bob", "Carol")
        await crew.settle()
        await carol.node.people.block(crew["bob"].person, blocked=True)
        await crew["bob"].say("@carol, hear me")
        await crew["ann"].say("has @CAROL been here?")
        await crew["ann"].say("no mention of Carol")
        await crew.settle()
        [[_, told]] = await lines(out, 1)
        assert isinstance(told, dict)
        assert (told["TEXT"], told["ROOM_NAME"]) == ("has @CAROL been here?", "crew")
        shown = [m async for m in (await carol.room()).history(last=None)]
        assert [m.mention for m in shown] == [True, False]
