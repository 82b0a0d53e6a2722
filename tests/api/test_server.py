import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from p2pchat import Node, events
from p2pchat.api.client import Client
from p2pchat.api.routes import ROUTES
from p2pchat.api.server import TOKEN_FILE, serve
from p2pchat.config import load


async def _raw(path: Path, route: str, body: bytes) -> list[dict[str, object]]:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as http,
        http.post(f"http://p2pchat/v1/{route}", data=body) as response,
    ):
        return [json.loads(line) async for line in response.content]


async def test_every_answer_ends_with_done(node: Node, client: Client) -> None:
    del client
    path = node.profile.socket_path
    assert path.stat().st_mode & 0o777 == 0o600
    assert (await _raw(path, "peers", b""))[-1]["ok"] is True
    for route, body in (
        ("nonsense", b"{}"),
        ("members", b"{"),
        ("members", b"{}"),
        ("members", b'{"room": "x", "more": 1}'),
        ("messages", b'{"room": 5, "text": "x"}'),
        ("shares", b'{"paths": ["relative"]}'),
    ):
        *_, error, done = await _raw(path, route, body)
        assert error["code"] == "usage", route
        assert done == {"v": 1, "event": "done", "ok": False, "exit": 2}


async def test_down_asks_the_host_to_end(node: Node) -> None:
    stop = asyncio.Event()
    async with serve(node, stop):
        await _raw(node.profile.socket_path, "down", b"")
        assert stop.is_set()
    assert not node.profile.socket_path.exists()


async def test_tcp_wants_the_token_and_no_browser(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = load(None, {}, [f"api.port={port}"])
    async with (
        Node.open(tmp_path / "home", config=config, name="Ann", online=False) as node,
        serve(node, asyncio.Event()),
        aiohttp.ClientSession() as http,
    ):
        file = node.home / TOKEN_FILE
        assert file.stat().st_mode & 0o777 == 0o600
        bearer = {"Authorization": f"Bearer {file.read_text()}"}
        url = f"http://127.0.0.1:{port}/v1/identity"
        for headers, status in (
            (bearer, 200),
            ({}, 401),
            ({"Authorization": "Bearer wrong"}, 401),
            ({**bearer, "Origin": "http://evil.example"}, 403),
            ({**bearer, "Host": "evil.example"}, 403),
        ):
            async with http.post(url, headers=headers) as response:
                assert response.status == status, headers


async def test_a_stale_socket_is_replaced(node: Node) -> None:
    node.profile.socket_path.write_text("left behind")
    async with serve(node, asyncio.Event()), Client.open(node.profile.socket_path) as client:
        assert await client.answers()


class _Asked(msgspec.Struct):
    pass


@pytest.mark.parametrize("lines", [0, 1, 2])
async def test_who_goes_away_before_the_last_line_is_no_fault(
    node: Node,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    lines: int,
) -> None:
    asked, gone, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def told(_node: Node, _asked: _Asked) -> AsyncIterator[events.Event]:
        asked.set()
        await gone.wait()
        try:
            for _ in range(lines):
                yield events.Done(ok=True, exit=0)
        finally:
            ended.set()

    monkeypatch.setitem(ROUTES, "told", (_Asked, told))
    async with serve(node, asyncio.Event()):
        _, writer = await asyncio.open_unix_connection(str(node.profile.socket_path))
        writer.write(b"POST /v1/told HTTP/1.1\r\nHost: p2pchat\r\nContent-Length: 0\r\n\r\n")
        await asyncio.wait_for(asked.wait(), 10)
        # Within one turn of the loop: the server meets it as it writes, not as it reads.
        writer.transport.abort()
        await asyncio.sleep(0)
        gone.set()
        await asyncio.wait_for(ended.wait(), 10)
    assert [row for row in caplog.records if row.levelno >= logging.ERROR] == []
