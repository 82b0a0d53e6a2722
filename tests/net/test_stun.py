"""Choosing a live STUN server; every server here is a socket of ours on 127.0.0.1."""

import asyncio
import struct
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.net.stun import first_alive, mapped_address, parse_url

COOKIE = 0x2112A442


def response(request: bytes, port: int) -> bytes:
    mapped = struct.pack("!BBHL", 0, 1, port ^ (COOKIE >> 16), 0x7F000001 ^ COOKIE)
    attribute = struct.pack("!HH", 0x0020, len(mapped)) + mapped
    return struct.pack("!HHL", 0x0101, len(attribute), COOKIE) + request[8:20] + attribute


class Server(asyncio.DatagramProtocol):
    def __init__(self, answer: Callable[[bytes, int], bytes | None]) -> None:
        self._answer = answer
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.DatagramTransport = transport  # type: ignore[assignment]
        self.url = f"stun:127.0.0.1:{transport.get_extra_info('sockname')[1]}"

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        answer = self._answer(data, addr[1])
        if answer is not None:
            self.transport.sendto(answer, addr)


async def serve(answer: Callable[[bytes, int], bytes | None]) -> Server:
    _, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Server(answer), local_addr=("127.0.0.1", 0)
    )
    return server


async def test_the_live_one_of_many_dead_servers_is_found_with_our_address() -> None:
    dead = [await serve(lambda _data, _port: None) for _ in range(3)]
    live = await serve(response)
    found = await first_alive([*(server.url for server in dead), live.url], timeout_s=5)
    assert found is not None
    assert (found.url, found.address) == (live.url, "127.0.0.1")
    assert found.port > 0
    assert [server.asked for server in dead] == [1, 1, 1]


async def test_dead_servers_cost_no_more_than_the_timeout() -> None:
    dead = await serve(lambda _data, _port: None)
    started = time.monotonic()
    assert await first_alive([dead.url, "stun:127.0.0.1:1"], timeout_s=0.2) is None
    assert time.monotonic() - started < 5


async def test_no_servers_cost_nothing() -> None:
    assert await first_alive([]) is None


async def test_an_answer_to_another_request_is_not_believed() -> None:
    liar = await serve(lambda data, port: response(data[:8] + bytes(12), port))
    assert await first_alive([liar.url], timeout_s=0.2) is None
    assert liar.asked == 1


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("stun:stun.example.org", ("stun.example.org", 3478)),
        ("stun:10.0.0.1:19302", ("10.0.0.1", 19302)),
        ("stun:[fd00::1]:3479", ("fd00::1", 3479)),
        ("stun:[fd00::1]", ("fd00::1", 3478)),
    ],
)
def test_urls_are_host_and_port(url: str, place: tuple[str, int]) -> None:
    assert parse_url(url) == place


@pytest.mark.parametrize(
    "url", ["", "stun", "stun:", "http://x", "stun:h:0", "stun:h:65536", "stun:h:²", "stun:[::1"]
)
def test_what_is_no_stun_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"stun|usable|bracket|''"):
        parse_url(url)


@given(st.binary(max_size=80))
def test_any_bytes_of_a_server_are_read_or_ignored(data: bytes) -> None:
    head = struct.pack("!HHL", 0x0101, len(data), COOKIE) + bytes(12)
    for datagram in (data, head + data):
        mapped = mapped_address(datagram, bytes(12))
        assert mapped is None or 0 <= mapped[1] < 65_536
