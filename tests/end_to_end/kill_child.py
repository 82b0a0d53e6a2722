"""A node without a network, to be killed at any moment; started by test_kill.py.

Takes one job a line from standard input, a JSON array of a mode and its arguments, and does it in a
process forked off: everything is imported once, so several can be killed each second. A job says
its process id first, then what it acknowledges, one line each, as soon as it may; when it is gone,
`died` and its exit code are said for it.
"""

import asyncio
import json
import os
import random
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from p2pchat.core.chain import Accepted, Chains
from p2pchat.core.entry import MESSAGE, Entry, chain_id, parse_header
from p2pchat.core.identity import id_text
from p2pchat.core.reconcile import Reconcile
from p2pchat.core.timeline import Node as Place
from p2pchat.core.timeline import Timeline
from p2pchat.core.wire import Have, Run, decode, encode
from p2pchat.errors import Error
from p2pchat.node.node import Node
from p2pchat.node.room import Room
from p2pchat.node.runner import Runner
from p2pchat.store import journal
from p2pchat.store.database import Connection

_TRANSCRIPT = bytes(32)
_LANES = 4
_SOUGHT = 20
_OWN_EVERY = 16
_WHOLE = 1 << 40
_WORDS = "SELECT c0 FROM words_content"


def _say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


# -- a writer ------------------------------------------------------------------------------------


async def write(home: str) -> None:
    """Write messages for ever, and say things of some."""
    async with Node.open(home, online=False) as node:
        (room,) = await _rooms(node)

        async def lane() -> None:
            while True:
                _say("id", (await room.send(os.urandom(20).hex())).id)

        async def amend() -> None:
            while True:
                draft = await room.send(f"draft {os.urandom(20).hex()}")
                await room.edit(draft.id, f"final {os.urandom(20).hex()}")
                _say("edited", draft.id)
                secret = await room.send(f"secret {os.urandom(20).hex()}")
                await room.delete(secret.id)
                _say("deleted", secret.id)

        async def seek() -> None:
            """Index meanwhile: it must stand being killed as well."""
            while True:
                await asyncio.sleep(0.02)
                await _searched(room, "none")

        async with asyncio.TaskGroup() as tasks:
            for _ in range(_LANES):
                tasks.create_task(lane())
            tasks.create_task(amend())
            tasks.create_task(seek())


async def feed(home: str, file: str, seed: str) -> None:
    """Put all that the home's device wrote into a file, as runs of one to four entries."""
    chance = random.Random(seed)
    async with Node.open(home, online=False) as node:
        (room,) = await _rooms(node)
        (tag,) = _machine(_chains(node, room))._tags
        entries, _ = await node._parts.database.read(lambda tx: _all(tx, room.key))
        # A crash may have begun a new chain; epochs stand in the oldest.
        chains = {entry.chain: list[Entry]() for entry in entries}
        for entry in entries:
            chains[entry.chain].append(entry)
        with Path(file).open("wb") as out:
            for found in sorted(chains.values(), key=lambda chain: chain[0].header.time):
                written = iter(found)
                while run := list(islice(written, chance.randint(1, 4))):
                    signature = run[-1].signature
                    assert signature is not None
                    raws, bodies = (tuple(one.raw for one in run), tuple(one.body for one in run))
                    frame = encode(Run(tag, raws, bodies, signature, pushed=False))
                    out.write(len(frame).to_bytes(4, "big") + frame)
    _say("entries", len(entries))


# -- a receiver ----------------------------------------------------------------------------------


class _Said:
    """A link that says what is acknowledged over it."""

    async def send(self, frame: bytes, *, bulk: bool = False) -> None:
        del bulk
        match decode(frame):
            case Have(_, rows):
                for row in rows:
                    _say("have", row.chain.hex(), row.seq)

    async def close(self, reason: str) -> None:
        raise AssertionError(f"a sound feed was refused: {reason}")


async def receive(home: str, file: str) -> None:
    """Take the rest of the feed as a link's session does, and write a message now and then."""
    async with Node.open(home, online=False) as node:
        (room,) = await _rooms(node)
        await _receive(node, room, file)
    _say("end")


async def _receive(node: Node, room: Room, file: str) -> None:
    chains = _chains(node, room)
    machine = _machine(chains)

    async def commit(records: Sequence[object]) -> None:
        await node._parts.rooms.commit(records, machine)

    async def tell(fact: object) -> None:
        del fact

    runner = Runner(_Said(), machine.outputs, commit, tell)
    runs = _missing(Path(file).read_bytes(), chains)
    for number, run in enumerate(runs):
        machine.receive(run)
        # Some come alone, some in twos, as off a link.
        if number % 3:
            await runner.flush()
        if number % _OWN_EVERY == 0:
            _say("id", (await room.send(f"own {os.urandom(20).hex()}")).id)
    await runner.flush()


def _missing(data: bytes, chains: Chains) -> Iterator[Run]:
    """The runs of a feed that bring something new."""
    start = 0
    while start < len(data):
        stop = start + 4 + int.from_bytes(data[start : start + 4], "big")
        run = decode(data[start + 4 : stop])
        assert isinstance(run, Run)
        last = parse_header(run.headers[-1])
        assert last is not None
        if last.seq > chains.seq(chain_id(last.room, last.device, last.incarnation)):
            yield run
        start = stop


# -- a disk that fills up --------------------------------------------------------------------------


async def fill(home: str, filler: str, file: str) -> None:
    """Write, or take a feed if there is one, until the disk is full; make room, and go on."""
    async with Node.open(home, online=False) as node:
        (room,) = await _rooms(node)
        try:
            if file:
                await _receive(node, room, file)
            else:
                while True:
                    _say("id", (await room.send(os.urandom(100).hex())).id)
        except Error as error:
            _say("error", error.code)
        Path(filler).unlink()
        if file:
            await _receive(node, room, file)
        _say("id", (await room.send("there is room again")).id)


# -- what is there -------------------------------------------------------------------------------


async def check(home: str) -> None:
    """Say what is on disk, once it has been found sound in every respect."""
    async with Node.open(home, online=False) as node:
        (room,) = await _rooms(node)
        chains = _chains(node, room)
        entries, effs = await node._parts.database.read(lambda tx: _all(tx, room.key))
        fresh = Chains(room.key, chains.members)
        for chain, found in groupby(entries, lambda entry: entry.chain):
            _retake(fresh, list(found))
            _say("have", chain.hex(), fresh.seq(chain))
        assert fresh.digest() == chains.digest(), "heads and entries differ"
        placed = Timeline(_Nothing()).insert(map(journal.timeline_node, entries))
        assert effs == {node.id: node.eff for node in placed}, "the order is another one"
        shown = [message async for message in room.history(last=None)]
        here = {id_text(one.id) for one in entries if one.header.kind == MESSAGE and one.body}
        there = {message.id for message in shown if not message.deleted}
        assert there == here, "what is shown and what has a body differ"
        for message in shown[:: max(1, len(shown) // _SOUGHT)]:
            if not message.deleted:
                assert message.id in await _searched(room, f'"{message.text}"'), "not in the index"
        await _searched(room, "none")
        words = await node._parts.database.read(lambda tx: tx.execute(_WORDS).fetchall())
        texts = sorted(message.text for message in shown if not message.deleted)
        assert texts == sorted(row[0] for row in words), "the index has other texts"
        for message in shown:
            _say("id", message.id)
            if message.edited:
                _say("edited", message.id)
            if message.deleted:
                _say("deleted", message.id)


def _all(tx: Connection, room: bytes) -> tuple[list[Entry], dict[bytes, int]]:
    assert tx.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert tx.execute("PRAGMA cipher_integrity_check").fetchall() == []
    entries = [
        entry
        for head in journal.heads(tx, room)
        for entry in journal.run(tx, head.chain, 0, head.seq, _WHOLE, _WHOLE)
    ]
    return entries, dict(tx.execute("SELECT id, eff FROM entries WHERE room = ?", (room,)))


def _retake(chains: Chains, entries: Sequence[Entry]) -> None:
    """Verify a chain as if it came from a stranger."""
    run: list[Entry] = []
    for entry in entries:
        run.append(entry)
        if entry.signature is not None:
            raws, bodies = [one.raw for one in run], [one.body for one in run]
            assert isinstance(chains.accept(raws, bodies, entry.signature), Accepted)
            run.clear()
    assert not run, "the newest entry has no signature"


class _Nothing:
    """No entries yet (`timeline.Web`)."""

    def nodes(self, ids: Sequence[bytes]) -> dict[bytes, Place]:
        del ids
        return {}

    def followers(self, ids: Sequence[bytes]) -> dict[bytes, list[bytes]]:
        del ids
        return {}

    def witnesses(self, id_: bytes, count: int) -> list[bytes]:
        del id_, count
        return []


# -- the program ---------------------------------------------------------------------------------


async def _rooms(node: Node) -> list[Room]:
    return [await node.room(row.room) for row in await node.rooms()]


async def _searched(room: Room, words: str) -> set[str]:
    return {message.id async for message in room.history(search=words)}


def _chains(node: Node, room: Room) -> Chains:
    chains = node._parts.rooms.get(room.key)
    assert chains is not None
    return chains


def _machine(chains: Chains) -> Reconcile:
    machine = Reconcile(_TRANSCRIPT, os.urandom, 0.0)
    machine.share(chains)
    return machine


_MODES: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
    "write": write,
    "feed": feed,
    "receive": receive,
    "fill": fill,
    "check": check,
}


def main() -> None:
    for line in sys.stdin:
        mode, *arguments = json.loads(line)
        child = os.fork()
        if not child:
            code = 1
            try:
                _say("pid", os.getpid())
                asyncio.run(_MODES[mode](*arguments))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        _say("died", os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
