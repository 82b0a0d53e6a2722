import asyncio
import os
from pathlib import Path

import pytest

from p2pchat import errors, events
from p2pchat.node.node import Node
from tests.node.people import WAIT_S, friends, person


async def _fetch(node: Node, target: str, dest: Path) -> list[events.Transfer]:
    async with asyncio.timeout(WAIT_S):
        return [event async for event in node.get(target, dest=dest, timeout=WAIT_S)]


async def test_a_file_goes_over_loopback_between_two_on_one_machine(tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(os.urandom(2_000_000))
    async with friends(tmp_path) as (ann, bob):
        share = await ann.share([source], room="Bob")
        rows = await _fetch(bob, share.magnet, tmp_path / "down")
        assert rows[-1].state == "complete"
        assert Path(rows[-1].path or "").read_bytes() == source.read_bytes()
        carried = {kind for row in rows for kind in row.transports or {}}
        assert carried <= {"tcp"}
        # By the id that the room knows, and not over what is there.
        again = await _fetch(bob, share.id[:12], tmp_path / "down")
        assert Path(again[-1].path or "").name == "source (1).bin"


async def test_shares_are_there_again_after_a_restart(tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(os.urandom(100_000))
    async with person(tmp_path, "Ann") as ann:
        share = await ann.share([source])
    source.unlink()
    async with person(tmp_path, "Ann") as ann:
        (row,) = await ann.files()
        assert (row.id, row.name) == (share.id, "source.bin")
        await ann.unshare(share.id)
        assert await ann.files() == []
        assert list(ann.profile.files_path.iterdir()) == []


async def test_a_lost_connection_of_a_download_is_made_again(tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(os.urandom(2_000_000))
    async with friends(tmp_path) as (ann, bob):
        share = await ann.share([source])
        fetching = asyncio.get_running_loop().create_task(
            _fetch(bob, share.magnet, tmp_path / "down")
        )
        # Its libtorrent dies; the node starts it again, and the two meet again.
        process = None
        while process is None:
            await asyncio.sleep(0)
            process = ann.online_parts.shares._session._process
        process.kill()
        assert (await fetching)[-1].state == "complete"


async def test_a_wrong_key_opens_nothing(tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(os.urandom(10_000))
    async with friends(tmp_path) as (ann, bob):
        share = await ann.share([source])
        wrong = share.magnet.split("x.p2pkey=")[0] + "x.p2pkey=" + 43 * "A"
        with pytest.raises(errors.BadInput) as caught:
            await _fetch(bob, wrong, tmp_path / "down")
        assert caught.value.code == "share-damaged"
        assert list((tmp_path / "down").iterdir()) == []


async def test_what_cannot_be_shared_leaves_nothing_behind(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann") as ann:
        with pytest.raises(errors.BadInput) as caught:
            await ann.share([tmp_path / "missing"])
        assert caught.value.code == "file-missing"
        assert await ann.files() == []
        assert not list(ann.profile.files_path.glob("*"))
