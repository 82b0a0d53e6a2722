"""The demo: real peers in separate processes, driven by the same commands that people type."""

import asyncio
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from p2pchat.cli.command import Common, command
from p2pchat.cli.output import Output
from p2pchat.errors import Error
from p2pchat.events import Note

__all__ = ["demo_"]

_STEP_S = 60.0
"""A step takes seconds, and on a busy machine many; what hangs is told after this."""
_FILE_BYTES = 50_000_000
_APART = 5
_SETTINGS = ('net.interfaces=["lo"]', "net.stun=[]", "dht.enabled=false", "lan.enabled=true")
Row = dict[str, Any]


class _Failed(Exception):
    pass


@dataclass
class _Person:
    """One peer: a home of its own, and a background node of its own."""

    name: str
    home: Path
    peer: str = ""
    notes: list[str] = field(default_factory=list)

    async def run(self, *arguments: str, check: bool = True) -> list[Row]:
        """One `p2pchat` command with --json; the objects that it printed."""
        settings = [part for setting in _SETTINGS for part in ("--set", setting)]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "p2pchat.cli.main",
            "--home",
            str(self.home),
            "--name",
            self.name,
            "--json",
            *settings,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # Whatever the user has set must not lead the demo out of this machine.
            env={key: value for key, value in os.environ.items() if not _is_setting(key)},
        )
        try:
            output, problems = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        rows: list[Row] = [json.loads(line) for line in output.splitlines()]
        if check and process.returncode != 0:
            said = problems.decode(errors="replace").strip()
            raise _Failed(f"{self.name}: p2pchat {arguments[0]} ended with {said}")
        return rows


def _is_setting(variable: str) -> bool:
    return variable.startswith("P2PCHAT_")


def _found(rows: list[Row], event: str) -> list[Row]:
    return [row for row in rows if row["event"] == event]


def _expect(held: object, what: str) -> None:
    if not held:
        raise _Failed(what)


@command
async def demo_(out: Output, common: Common) -> int:
    """Three peers on this machine: invite, chat, share 50 MB, part, write apart, resync.

    Uses temporary homes and loopback only; works with no network at all. Exit code 0 only if all
    of it held.
    """
    del common
    root = Path(tempfile.mkdtemp(prefix="p2pchat-demo-"))
    people = [_Person(name, root / name.lower()) for name in ("Ann", "Bob", "Cat")]
    started = time.monotonic()
    try:
        await _Demo(out, root, people).play()
    except (_Failed, TimeoutError, OSError) as failed:
        raise Error(
            "demo-failed",
            f"the demo failed: {failed or 'it took too long'}",
            "run p2pchat demo again with P2PCHAT_DEBUG=1, and report what it prints",
        ) from failed
    finally:
        await _clean_up(root, people)
    total = time.monotonic() - started
    if out.json:
        out.event(Note(text=f"all of it held, in {total:.1f} s"))
    out.say(f"\nall of it held, in {total:.1f} s")
    return 0


async def _clean_up(root: Path, people: list[_Person]) -> None:
    """End every node that still runs, and leave nothing behind."""
    await asyncio.gather(*(person.run("down", check=False) for person in people))
    await asyncio.to_thread(shutil.rmtree, root, ignore_errors=True)


class _Demo:
    def __init__(self, out: Output, root: Path, people: list[_Person]) -> None:
        self._out = out
        self._root = root
        self._ann, self._bob, self._cat = people
        self._people = people

    @asynccontextmanager
    async def _step(self, text: str) -> AsyncIterator[None]:
        began = time.monotonic()
        async with asyncio.timeout(_STEP_S):
            yield
        took = time.monotonic() - began
        if self._out.json:
            self._out.event(Note(text=f"{text} ({took:.2f} s)"))
        self._out.say(f"{took:6.2f} s  {text}")

    async def play(self) -> None:
        ann, bob, cat = self._ann, self._bob, self._cat
        async with self._step("three nodes start, each in its own process and home"):
            await asyncio.gather(*(person.run("up") for person in self._people))
            for person, rows in zip(
                self._people,
                await asyncio.gather(*(person.run("id") for person in self._people)),
                strict=True,
            ):
                person.peer = _found(rows, "identity")[0]["peer"]
        async with self._step("Ann invites Bob: one blob, pasted once"):
            await self._invite(ann, bob)
        async with self._step("Ann invites Cat"):
            await self._invite(ann, cat)
        async with self._step("they write to each other; each message is confirmed by the other"):
            await self._write(ann, bob, "hello Bob")
            await self._write(bob, ann, "hello Ann")
            await self._write(cat, ann, "hello from Cat")
            await self._same_log(ann, bob, ["hello Bob", "hello Ann"])
        async with self._step("a room of three: what each writes, all read, in one order"):
            await ann.run("room", "create", "crew")
            await self._invite(ann, bob, "crew")
            await self._invite(ann, cat, "crew")
            for person in (ann, bob, cat):
                rows = await person.run("send", "crew", f"{person.name} is here", "--wait")
                _expect(_found(rows, "delivered"), "nobody confirmed it")
            await self._same_log_in("crew", 3)
        source = self._root / "holiday.bin"
        sent = await asyncio.to_thread(_random_file, source)
        async with self._step("Ann shares a file of 50 MB: sealed, as a magnet link"):
            rows = await ann.run("share", str(source), "--room", "Bob")
            magnet = _found(rows, "share")[0]["magnet"]
        async with self._step("Bob fetches it by the magnet link; the SHA-256 is the same"):
            rows = await bob.run("get", magnet, "-o", str(self._root / "downloads"))
            path = Path(_found(rows, "transfer")[-1]["path"])
            _expect(await asyncio.to_thread(_hash_of, path) == sent, "the file came out different")
        async with self._step(f"they part, and write {_APART} messages each while apart"):
            await asyncio.gather(ann.run("down"), bob.run("down"))
            await asyncio.gather(self._write_many(ann, "Bob"), self._write_many(bob, "Ann"))
        async with self._step("both are back, find each other without an invite, and sync"):
            await asyncio.gather(ann.run("up"), bob.run("up"))
            rows = await ann.run("sync", "Bob", "--wait")
            _expect(_found(rows, "sync")[-1]["state"] == "in-sync", "they are not in sync")
        async with self._step("both have the same messages in the same order"):
            expected = 2 + 2 * _APART
            logs = await asyncio.gather(
                ann.run("log", "Bob", "--last", "0"), bob.run("log", "Ann", "--last", "0")
            )
            ids = [[row["id"] for row in _found(rows, "message")] for rows in logs]
            _expect(ids[0] == ids[1], "the two logs differ")
            _expect(len(ids[0]) == expected, f"{len(ids[0])} messages, not {expected}")
        async with self._step("the nodes end"):
            await asyncio.gather(*(person.run("down") for person in self._people))

    async def _invite(self, host: _Person, guest: _Person, *room: str) -> None:
        invite = _found(await host.run("invite", *room, "--no-wait"), "invite")[0]
        joined = _found(await guest.run("join", invite["blob"], "--no-chat"), "joined")
        _expect(joined and host.peer in joined[0]["members"], "nobody joined")

    async def _write(self, author: _Person, reader: _Person, text: str) -> None:
        rows = await author.run("send", reader.name, text, "--wait")
        _expect(_found(rows, "delivered"), f"{reader.name} did not confirm {text!r}")

    async def _write_many(self, author: _Person, reader: str) -> None:
        for number in range(_APART):
            await author.run("send", reader, f"{author.name} {number}, written apart")

    async def _same_log(self, one: _Person, other: _Person, texts: list[str]) -> None:
        for person, room in ((one, other.name), (other, one.name)):
            rows = await person.run("log", room)
            seen = [row["text"] for row in _found(rows, "message")]
            _expect(seen == texts, f"{person.name} sees {seen}")

    async def _same_log_in(self, room: str, count: int) -> None:
        """Until everybody has all of a room's messages, in the same order."""
        while True:
            logs = await asyncio.gather(*(one.run("log", room) for one in self._people))
            ids = [[row["id"] for row in _found(rows, "message")] for rows in logs]
            if all(len(one) == count for one in ids):
                _expect(all(one == ids[0] for one in ids), "the logs differ")
                return


def _random_file(path: Path) -> str:
    path.write_bytes(os.urandom(_FILE_BYTES))
    return _hash_of(path)


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
