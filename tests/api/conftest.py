"""A node with no network, served on its socket."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from p2pchat import Node
from p2pchat.api.client import Client
from p2pchat.api.server import serve
from p2pchat.config import load


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    config = load(None, {}, [])
    async with Node.open(tmp_path / "home", config=config, name="Ann", online=False) as opened:
        yield opened


@pytest.fixture
async def client(node: Node) -> AsyncIterator[Client]:
    async with serve(node, asyncio.Event()), Client.open(node.profile.socket_path) as opened:
        yield opened
