"""Choosing servers that answer; all of them are sockets of ours on 127.0.0.1."""

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from p2pchat.net import servers as module
from p2pchat.net.servers import Relay, Servers, parse_relay

COOKIE = 0x2112A442
ME = Relay("turn", "127.0.0.1", 3478, "udp", "me", "pass:word")


class Server(asyncio.DatagramProtocol):
    """Answers a Binding request with an address, anything else with an error; or is `deaf`."""

    def __init__(self, *, deaf: bool) -> None:
        self.asked: list[int] = []
        self._deaf = deaf

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self.port: int = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        method = int.from_bytes(data[:2], "big")
        self.asked.append(method)
        if self._deaf:
            return
        body = struct.pack("!HHBBHL", 0x0020, 8, 0, 1, addr[1] ^ (COOKIE >> 16), COOKIE)
        kind = method | 0x0100 if method == 1 else method | 0x0110
        self._transport.sendto(
            struct.pack("!HHL", kind, len(body), COOKIE) + data[8:20] + body, addr
        )


async def serve(*, deaf: bool = False) -> Server:
    _, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Server(deaf=deaf), local_addr=("127.0.0.1", 0)
    )
    return server


@pytest.mark.parametrize(
    ("url", "relay"),
    [
        ("turn:me:pass:word@127.0.0.1", ME),
        ("turn:me:p@ss@a.example:3479", Relay("turn", "a.example", 3479, "udp", "me", "p@ss")),
        ("turn:me:x@a:1?transport=tcp", Relay("turn", "a", 1, "tcp", "me", "x")),
        ("turns:me:x@a", Relay("turns", "a", 5349, "tcp", "me", "x")),
        ("turns:me:x@a:443?transport=tcp", Relay("turns", "a", 443, "tcp", "me", "x")),
    ],
)  # fmt: skip
def test_a_relay_is_named_with_its_user_and_password(url: str, relay: Relay) -> None:
    assert parse_relay(url) == relay
    assert "pass" not in relay.url


@pytest.mark.parametrize(
    "url",
    [
        "", "turn", "turn:a:1", "turn:secret@a:1", "http:me:secret@a:1", "turn:me:secret@",
        "turn:me:secret@a:0", "turn:me:secret@a:1?transport=sctp",
        "turns:me:secret@a?transport=udp",
    ],
)  # fmt: skip
def test_what_is_no_relay_is_said_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="host") as caught:
        parse_relay(url)
    assert "secret" not in str(caught.value)


async def test_a_live_stun_server_is_found_among_dead_ones_and_by_name() -> None:
    deaf, live = await serve(deaf=True), await serve()
    servers = Servers([f"stun:127.0.0.1:{deaf.port}", f"stun:localhost:{live.port}"], ())
    assert await servers.stun() == f"stun:127.0.0.1:{live.port}"
    assert deaf.asked == live.asked == [1]


async def test_what_was_found_holds_for_a_while_and_so_does_that_there_is_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live, deaf = await serve(), await serve(deaf=True)
    found = Servers([f"stun:127.0.0.1:{live.port}"], ())
    none = Servers([f"stun:127.0.0.1:{deaf.port}"], ())
    for servers, server in ((found, live), (none, deaf)):
        assert await servers.stun() == await servers.stun()
        assert len(server.asked) == 1
    monkeypatch.setattr(module, "_now", lambda: asyncio.get_running_loop().time() + 30)
    await found.stun()
    await none.stun()
    assert (len(live.asked), len(deaf.asked)) == (1, 2)


async def test_of_several_relays_the_first_that_answers_is_taken() -> None:
    deaf, live = await serve(deaf=True), await serve()
    listening = socket.create_server(("127.0.0.1", 0))
    tcp = f"turn:me:x@127.0.0.1:{listening.getsockname()[1]}?transport=tcp"
    udp = f"turn:me:x@127.0.0.1:{live.port}"
    dead = f"turn:me:x@127.0.0.1:{deaf.port}"
    for urls, wanted in (((dead, udp, tcp), udp), ((dead, tcp, udp), tcp), ((dead,), None)):
        relay = await Servers((), urls).turn()
        assert relay == (parse_relay(wanted) if wanted else None)
    assert set(live.asked) == {3}
    listening.close()


async def test_no_servers_ask_nobody() -> None:
    assert await Servers((), ()).stun() is None
    assert await Servers((), ()).turn() is None


async def test_a_resolver_that_hangs_is_asked_once_and_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    released = threading.Event()

    def hang(host: str, *_: object) -> None:
        asked.append(host)
        released.wait(30)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(module, "_PROBE_S", 0.1)
    monkeypatch.setattr(module, "_NONE_S", 0.0)
    servers = Servers(["stun:hangs.example"], ())
    started = time.monotonic()
    for _ in range(3):
        assert await servers.stun() is None
    assert asked == ["hangs.example"]
    assert time.monotonic() - started < 5
    released.set()


async def test_a_name_that_leads_nowhere_and_one_of_ipv6_alone_are_left_out() -> None:
    resolve: Callable[[str], Any] = Servers((), ())._resolve
    assert await resolve("nowhere.invalid..") is None
    assert await resolve("::1") is None
    assert await resolve("127.0.0.5") == "127.0.0.5"
