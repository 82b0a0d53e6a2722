import asyncio
from pathlib import Path

import msgspec
import pytest

from p2pchat import errors, events
from p2pchat.api.client import Client, NotRunning
from p2pchat.api.routes.asking import RoomRequest


async def test_an_answer_is_events(client: Client) -> None:
    identity = await client.one("identity")
    assert isinstance(identity, events.Identity)
    assert identity.name == "Ann"
    assert await client.answers()


async def test_an_error_comes_out_as_it_was_raised(client: Client) -> None:
    with pytest.raises(errors.BadInput) as caught:
        await client.one("members", RoomRequest(room="nobody"))
    assert caught.value.code == "room-unknown"
    assert caught.value.hint


async def test_nobody_there_is_said(tmp_path: Path) -> None:
    async with Client.open(tmp_path / "no.sock") as client:
        assert not await client.answers()
        with pytest.raises(NotRunning):
            await client.one("identity")


async def _answered(tmp_path: Path, *parts: bytes) -> list[events.Event]:
    """What a client makes of these bytes, each sent by itself."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    path = tmp_path / "api.sock"
    async with await asyncio.start_unix_server(serve, path), Client.open(path) as client:
        return [event async for event in client.ask("identity")]


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n"
_DONE = msgspec.json.encode(events.Done(ok=True, exit=0))


async def test_lines_may_come_in_pieces(tmp_path: Path) -> None:
    note = events.Note(text="first")
    line = msgspec.json.encode(note)
    parts = _HEAD, line[:9], line[9:] + b"\n" + line, b"\n" + _DONE[:3], _DONE[3:] + b"\n"
    assert await _answered(tmp_path, *parts) == [note, note]


@pytest.mark.parametrize(
    "parts",
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",),
        (b"SSH-2.0-something\r\n\r\n",),
        (_HEAD, _DONE),
        (_HEAD, *[b"x" * 1_000_000] * 6),
        (),
    ],
    ids=["refused", "no HTTP", "cut off", "a line without end", "nothing"],
)
async def test_what_is_no_node_is_not_believed(tmp_path: Path, parts: tuple[bytes, ...]) -> None:
    with pytest.raises(NotRunning):
        await asyncio.wait_for(_answered(tmp_path, *parts), 10)
