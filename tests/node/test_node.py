"""The library whole: a profile is opened, and what needs a network says so."""

from pathlib import Path

import pytest

from p2pchat import errors
from tests.node.people import person


async def test_a_profile_is_open_once_at_a_time(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", online=False):
        with pytest.raises(errors.Busy) as caught:
            async with person(tmp_path, "Ann", online=False):
                pass
    assert caught.value.code == "home-in-use"


async def test_a_node_without_a_network_says_so_when_asked_for_it(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", online=False) as node:
        with pytest.raises(errors.Error) as caught:
            await node.invite()
        assert caught.value.code == "not-running"
        status = await node.status()
        assert (status.running, status.connected, node.online(), node.sync_rows()) == (
            False,
            0,
            set(),
            [],
        )
