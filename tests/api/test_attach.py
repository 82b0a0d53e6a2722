import asyncio
from pathlib import Path

import pytest

from p2pchat import Node, errors
from p2pchat.api.attach import attach, attached, host, running_process, settings
from p2pchat.api.client import NotRunning
from p2pchat.config import load


async def test_hosts_where_nobody_is_and_attaches_where_somebody_is(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with pytest.raises(NotRunning):
        async with attached(home):
            pass
    async with attach(home, name="Ann", online=False) as first:
        assert first.hosted
        assert first.created
        assert running_process(home) is not None
        async with attach(home, online=False) as second:
            assert not second.hosted
            assert await second.client.one("identity") == await first.client.one("identity")
    assert running_process(home) is None


async def test_a_profile_that_is_held_in_silence_is_in_use(tmp_path: Path) -> None:
    config = load(None, {})
    async with Node.open(tmp_path, config=config, name="Ann", online=False):
        with pytest.raises(errors.Busy) as caught:
            async with attach(tmp_path, online=False):
                pass
    assert caught.value.code == "home-in-use"


async def test_a_node_that_is_just_ending_is_waited_for(tmp_path: Path) -> None:
    ending = asyncio.Event()

    async def hold() -> None:
        async with Node.open(tmp_path, config=load(None, {}), name="Ann", online=False):
            ending.set()
            await asyncio.sleep(0.2)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(hold())
        await ending.wait()
        async with attach(tmp_path, online=False) as node:
            assert node.hosted


async def test_what_goes_wrong_inside_comes_out_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        async with host(tmp_path, settings(tmp_path, ()), "Ann", online=False):
            raise KeyError
