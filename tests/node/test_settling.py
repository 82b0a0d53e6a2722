"""What one late entry moves is moved by turns of the store, over a restart, too."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

from p2pchat.core.chain import Chains
from p2pchat.core.clock import stamp
from p2pchat.core.entry import DEVICE, EDIT, MESSAGE, EditBody, Entry, MessageBody
from p2pchat.core.identity import Identity
from p2pchat.node import prologue
from p2pchat.store import journal, unsettled
from p2pchat.store.database import Connection
from tests.node.desk import NOW, Desk, open_desk

_MANY = 1_200


def _said(ann: Identity, bob: Identity, room: bytes) -> tuple[list[Entry], list[Entry]]:
    """What Bob held back at the end of a log, and a log by him that hangs on it: many messages, and
    two edits of one."""
    chains, written = Chains(room, frozenset((ann.person, bob.person))), list[Entry]()

    def own(
        kind: int, body: object, epoch: bytes = b"", after: tuple[bytes, ...] | None = None
    ) -> Entry:
        entry = chains.write(
            bob,
            bytes([len(written) > 2]) * 8,
            time=stamp(NOW + 60 * (len(written) == 2)),
            kind=kind,
            body=body,  # type: ignore[arg-type]
            random=os.urandom,
            epoch=epoch,
            after=after or (),
        )
        written.append(entry)
        return entry

    list(prologue.direct(chains, own, bob, [ann.certificate], os.urandom, began=False))
    epoch = chains.writing_epoch() or b""
    late = own(MESSAGE, MessageBody("held back"), epoch)
    own(DEVICE, bob.certificate, after=(late.id,))
    first, *_ = [own(MESSAGE, MessageBody(str(number)), epoch) for number in range(_MANY)]
    for number in range(2):
        own(EDIT, EditBody(first.id, f"edit {number}"), epoch)
    return written[:3], written[3:]


async def _take(desk: Desk, *runs: list[Entry]) -> None:
    for run in runs:
        for start in range(0, len(run), 200):
            await desk.take(run[start : start + 200])


async def _places(desk: Desk, entries: list[Entry]) -> list[int]:
    def read(tx: Connection) -> dict[bytes, int]:
        tx.memory.clear()
        return journal.places(tx, [entry.id for entry in entries])

    found = await desk.database.read(read)
    return [found[entry.id] for entry in entries]


async def _at_rest(desk: Desk) -> None:
    async with asyncio.timeout(30):
        while await desk.database.write(unsettled.any_):
            pass


@pytest.mark.parametrize("restarted", [False, True])
async def test_the_order_comes_to_rest_while_others_write(
    tmp_path: Path, ann: Identity, bob: Identity, *, restarted: bool
) -> None:
    key = os.urandom(32)
    async with (
        open_desk(tmp_path / "far", ann, bob) as expected,
        open_desk(tmp_path / "ann", ann, bob, key=key) as desk,
    ):
        held, many = _said(ann, bob, desk.room)
        epoch, late = held[:-1], held[-1:]
        await _take(expected, epoch, late, many)
        await _take(desk, epoch, many)
        busy = threading.Event()
        if restarted:
            # It ends before the first turn.
            desk.rooms.settling.wake = lambda: None  # type: ignore[method-assign]
            await desk.take(late)
        else:
            held_up = desk.database.submit(lambda _: busy.wait(10))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(desk.take(late))
                await asyncio.sleep(0)
                tasks.create_task(desk.say("in between"))
                await asyncio.sleep(0)
                busy.set()
            assert await desk.database.write(unsettled.any_), "it waited for no more than a turn"
            await held_up
            await _at_rest(desk)
            own = [entry for entries in desk.own() for entry in entries]
            await _take(expected, own)
            await _at_rest(expected)
            found = [*held, *many, *own]
            assert await _places(desk, found) == await _places(expected, found)
    if restarted:
        async with open_desk(tmp_path / "ann", ann, bob, key=key) as desk:
            await _at_rest(desk)
            assert (await desk.texts())[:2] == ["held back", "edit 1"]
            assert await desk.database.read(lambda tx: journal.settle(tx) is None)
