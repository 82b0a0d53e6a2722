"""On a full disk a profile is read as it is, and nothing of that opening stays."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from p2pchat.api.client import Client
from p2pchat.api.routes.messages import SendRequest
from p2pchat.api.server import serve
from p2pchat.errors import Error
from p2pchat.node.node import Node
from p2pchat.store.database import Database, disk_full
from tests.harness.mounts import needs_mounts, with_mounts
from tests.node.people import acquaint, person

_open = Database.open


async def _full(path: Path, key: bytes, *, only_read: bool = False) -> Database:
    if not only_read:
        raise disk_full()
    return await _open(path, key, only_read=True)


def _files(home: Path) -> dict[str, bytes]:
    kept = ("journal.db", "generation", "key")
    return {name: (home / name).read_bytes() for name in kept}


async def _texts(node: Node, **options: Any) -> list[str]:
    return [row.text async for row in (await node.room("Bob")).history(**options)]


async def test_what_is_there_is_read_and_found_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await acquaint(tmp_path, "Ann", "Bob")
    async with person(tmp_path, "Ann", online=False) as ann:
        await (await ann.room("Bob")).send("hello there")
    home = tmp_path / "Ann"
    before = _files(home)
    with monkeypatch.context() as patch:
        patch.setattr(Database, "open", _full)
        async with Node.open(home, online=False, only_read=True) as ann:
            assert ann.only_read
            assert await _texts(ann) == ["hello there"]
            assert await _texts(ann, search="hello") == ["hello there"]
            journal = [one async for one in ann.doctor() if one.check == "journal"]
            assert [one.ok for one in journal] == [True]
            said = SendRequest(room="Bob", text="lost")
            async with serve(ann, asyncio.Event()), Client.open(ann.profile.socket_path) as client:
                assert [row async for row in client.ask("rooms")]
                with pytest.raises(Error) as raised:
                    [row async for row in client.ask("messages", said)]
                assert raised.value.code == "disk-full"
        for online, only_read in ((False, False), (True, True)):
            with pytest.raises(Error) as raised:
                async with Node.open(home, online=online, only_read=only_read):
                    pass
            assert raised.value.code == "disk-full"
    assert _files(home) == before
    async with person(tmp_path, "Ann", online=False) as ann:
        assert not ann.only_read
        await (await ann.room("Bob")).send("goes on")
        assert await _texts(ann) == ["hello there", "goes on"]


_ON_A_FULL_DISK = """
import asyncio, subprocess, sys
from pathlib import Path
from p2pchat.errors import Error
from p2pchat.node.node import Node

async def main():
    disk = Path(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], check=True)
    async with Node.open(disk / "home", name="Ann", online=False) as node:
        await (await node.create_room("mine")).send("hello")
    subprocess.run(["dd", "if=/dev/zero", f"of={disk}/full", "bs=4k"], capture_output=True)
    try:
        async with Node.open(disk / "home", online=False):
            pass
    except Error as error:
        print(error.code)
    async with Node.open(disk / "home", online=False, only_read=True) as node:
        async for row in (await node.room("mine")).history(search="hello"):
            print(row.text)
    (disk / "full").unlink()
    async with Node.open(disk / "home", online=False, only_read=True) as node:
        print(node.only_read)

asyncio.run(main())
"""


@needs_mounts
def test_a_disk_without_a_byte_left_can_be_read(tmp_path: Path) -> None:
    done = with_mounts(_ON_A_FULL_DISK, tmp_path)
    assert done.stdout.split() == ["disk-full", "hello", "False"], done.stderr
