import asyncio
import struct
from collections.abc import Callable

import pytest

from signaling.carriers import lan_lines
from signaling.carriers.lan_lines import StreamLine
from signaling.carriers.lines import Line
from signaling.pairing import FRAME_MAX
from tests.signaling.neighbours import announced, lan

WAIT_S = 10.0


class Talker:
    """Says one thing, and keeps what it hears on each line."""

    def __init__(self, says: bytes) -> None:
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self._says = says

    async def __call__(self, line: Line) -> None:
        await line.send(self._says)
        self.heard.put_nowait(await line.receive())

    async def hears(self) -> bytes:
        async with asyncio.timeout(WAIT_S):
            return await self.heard.get()


async def test_who_calls_a_nameplate_talks_with_who_listens_there() -> None:
    host, guest = Talker(b"hello"), Talker(b"hi")
    async with lan() as one, lan() as other:
        one.lines.listen(4, host)
        other.lines.call(4, guest)
        assert await guest.hears() == b"hello"
        assert await host.hears() == b"hi"


async def test_a_call_finds_neighbours_that_were_there_before() -> None:
    first, second = Talker(b"hello"), Talker(b"hello")
    async with lan() as one, lan() as other:
        one.lines.listen(4, first)
        other.lines.call(4, second)
        await second.hears()
        guest = Talker(b"again")
        other.lines.call(4, guest)
        assert await guest.hears() == b"hello"


async def test_another_nameplate_and_a_closed_one_get_no_line() -> None:
    host, guest, here = Talker(b"?"), Talker(b"?"), Talker(b"here")
    async with lan() as one, lan() as other:
        one.lines.listen(4, host).close()
        one.lines.listen(5, here)
        other.lines.call(4, guest)
        reached = Talker(b"!")
        other.lines.call(5, reached)
        assert await reached.hears() == b"here"
        assert guest.heard.empty()
        assert host.heard.empty()


async def test_a_fault_of_one_talk_leaves_the_carrier_working(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fault(line: Line) -> None:
        raise RuntimeError

    host, guest = Talker(b"hello"), Talker(b"hi")
    async with lan() as one, lan() as other:
        one.lines.listen(4, fault)
        one.lines.listen(5, host)
        other.lines.call(4, fault)
        other.lines.call(5, guest)
        assert await guest.hears() == b"hello"
    assert "talking" in caplog.text or "neighbour" in caplog.text


async def test_a_line_outlives_the_goodbye_of_its_neighbour() -> None:
    said, answer = asyncio.Event(), asyncio.Event()

    async def host(line: Line) -> None:
        said.set()
        await answer.wait()
        await line.send(b"the last word")

    guest = asyncio.Queue[bytes]()

    async def listens(line: Line) -> None:
        guest.put_nowait(await line.receive())

    async with asyncio.timeout(WAIT_S), lan() as one, lan() as other:
        one.lines.listen(4, host)
        call = other.lines.call(4, listens)
        await said.wait()
        (name,) = call.pursuits
        other.lines.lost(name)
        answer.set()
        assert await guest.get() == b"the last word"
        assert not call.pursuits


async def test_a_neighbour_that_dawdles_is_left_after_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lan_lines, "_CALL_S", 0.2)
    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        left.set()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with announced(port, {"v": "1", "n": "00" * 16}), lan() as one:
        one.lines.call(4, Talker(b"hi"))
        async with asyncio.timeout(WAIT_S):
            await left.wait()
    server.close()


def received(data: bytes) -> bytes | str:
    async def run() -> bytes | str:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        writer: Callable[[], None] = lambda: None  # noqa: E731  (never written to)
        try:
            return await StreamLine(reader, writer).receive()  # type: ignore[arg-type]
        except (ValueError, EOFError) as error:
            return type(error).__name__

    return asyncio.run(run())


def test_frames_are_bounded() -> None:
    assert received(struct.pack("!H", 2) + b"abc") == b"ab"
    assert received(struct.pack("!H", 0)) == "ValueError"
    assert received(struct.pack("!H", FRAME_MAX + 1) + bytes(FRAME_MAX + 1)) == "ValueError"
    assert received(struct.pack("!H", 3) + b"ab") == "IncompleteReadError"
