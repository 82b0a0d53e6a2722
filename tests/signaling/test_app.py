"""The server over real sockets: what a client may do, and what it may not."""

import asyncio
import json
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path

import aiohttp
import libtorrent as lt
import pytest

from signaling import mailbox, tracker
from signaling.mailbox import Item, Operation, Put, Watch
from signaling.rate import Admission
from signaling.server.app import Server, Settings

NAME = bytes(16)
SDP = "v=0\r\n"


@asynccontextmanager
async def serving(**settings: object) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    async with (
        asyncio.timeout(30),
        Server.open(Settings(port=0, **settings)) as server,  # type: ignore[arg-type]
        aiohttp.ClientSession() as client,
    ):
        yield f"http://127.0.0.1:{server.port}", client


class Talk:
    """A client of the mailbox."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def say(self, *operations: Operation) -> None:
        await self.socket.send_bytes(mailbox.encode(operations))

    async def items(self) -> list[Item]:
        return mailbox.decode_items(await self.socket.receive_bytes())

    async def closed(self) -> int | None:
        message = await self.socket.receive()
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED), message
        return self.socket.close_code


async def talk(url: str, client: aiohttp.ClientSession) -> Talk:
    return Talk(await client.ws_connect(f"{url}/mailbox"))


async def metrics(url: str, client: aiohttp.ClientSession) -> dict[str, float]:
    async with client.get(f"{url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    rows = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name.removeprefix("p2pchat_signal_"): float(value) for name, _, value in rows}


async def test_what_one_puts_the_other_hears_and_when_it_leaves_too() -> None:
    async with serving() as (url, client):
        ann, bob = await talk(url, client), await talk(url, client)
        await ann.say(Put(NAME, 60, True, b"here"), Put(NAME, 60, False, b"left"))
        await bob.say(Watch(NAME))
        items = await bob.items()
        while len(items) < 2:
            items += await bob.items()
        assert items == [Item(NAME, 60, b"here"), Item(NAME, 60, b"left")]
        await ann.socket.close()
        assert await bob.items() == [Item(NAME, 0, b"here")]
        figures = await metrics(url, client)
        assert figures["mailbox_clients"] == 1
        assert figures["mailbox_puts_total"] == 2
        assert figures["mailbox_items"] == 1
        assert figures["resident_memory_bytes"] > 10_000_000


async def test_garbage_ends_the_client_and_harms_no_other() -> None:
    async with serving() as (url, client):
        good = await talk(url, client)
        bad = await talk(url, client)
        await bad.socket.send_bytes(os.urandom(100))
        assert await bad.closed() == mailbox.BAD
        text = await talk(url, client)
        await text.socket.send_str("hello")
        assert await text.closed() == mailbox.BAD
        large = await talk(url, client)
        await large.socket.send_bytes(bytes(mailbox.MESSAGE_MAX + 1))
        assert await large.closed() in (mailbox.BAD, 1009)
        await good.say(Put(NAME, 60, False, b"x"), Watch(NAME))
        assert (await good.items())[0] == Item(NAME, 60, b"x")


async def test_who_floods_is_slowed_and_then_closed() -> None:
    bounds = mailbox.Bounds(operations_burst=10, operations_per_s=100)
    async with serving(mailbox_bounds=bounds) as (url, client):
        flood = await talk(url, client)
        await flood.say(*[Watch(NAME)] * 15)
        began = time.monotonic()
        await flood.say(Put(NAME, 60, False, b"x"))
        assert await flood.items() == [Item(NAME, 60, b"x")]
        assert time.monotonic() - began > 0.03
        await flood.say(*[Watch(NAME)] * 64)
        while (message := await flood.socket.receive()).type is aiohttp.WSMsgType.BINARY:
            pass
        assert flood.socket.close_code == mailbox.FLOOD, message


async def test_connections_are_bounded() -> None:
    async with serving(clients=4, clients_each=3) as (url, client):
        standing = [await talk(url, client) for _ in range(3)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await talk(url, client)
        assert len(standing) == 3
        assert caught.value.status == 429
        assert (await metrics(url, client))['refused_total{status="429"}'] == 1


async def test_proxies_that_are_named_are_believed_and_others_are_not() -> None:
    async def third(url: str, client: aiohttp.ClientSession) -> None:
        standing = [
            await client.ws_connect(
                f"{url}/mailbox", headers={"X-Forwarded-For": f"203.0.113.9, 192.0.2.{number}"}
            )
            for number in range(3)
        ]
        assert len(standing) == 3

    async with serving(clients_each=2) as (url, client):
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await third(url, client)
    behind = {"clients_each": 2, "proxies": (ip_network("127.0.0.0/8"),)}
    async with serving(**behind) as (url, client):
        await third(url, client)


async def test_a_client_that_does_not_read_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    from signaling.server import app

    monkeypatch.setattr(app, "_SEND_S", 0.2)
    bounds = mailbox.Bounds(operations_burst=1e9)
    async with serving(mailbox_bounds=bounds) as (url, client):
        port = int(url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(
            b"GET /mailbox HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        payload = mailbox.encode([Watch(NAME)])
        writer.write(bytes((0x82, 0x80 | len(payload), 0, 0, 0, 0)) + payload)
        loud = await talk(url, client)
        while (await metrics(url, client))["mailbox_watched_names"] == 0:
            await asyncio.sleep(0.01)
        while (await metrics(url, client))["mailbox_clients"] == 2:
            await loud.say(*[Put(NAME, 60, False, os.urandom(1_000)) for _ in range(60)])
        del reader
        writer.close()


async def test_who_does_nothing_is_closed_and_who_waits_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from signaling.server import app

    monkeypatch.setattr(app, "_IDLE_S", 0.1)
    monkeypatch.setattr(app, "_REQUEST_S", 0.1)
    monkeypatch.setattr(app, "_SWEEP_S", 0.02)
    async with serving() as (url, client):
        waits, idle = await talk(url, client), await talk(url, client)
        await waits.say(Watch(NAME))
        seeder, lurker = [await client.ws_connect(f"{url}/announce") for _ in range(2)]
        await seeder.send_str(_announce("A"))
        silent, _ = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        assert await idle.closed() == 4408
        assert (await lurker.receive()).data == 4408
        assert await silent.read() == b""
        await waits.say(Put(NAME, 60, False, b"x"))
        assert await waits.items() == [Item(NAME, 60, b"x")]
        assert (await seeder.receive_json())["incomplete"] == 1


async def test_what_is_no_websocket_is_told_so() -> None:
    async with serving() as (url, client):
        for path, status in (("mailbox", 426), ("announce", 426), ("nothing", 404)):
            async with client.get(f"{url}/{path}") as answer:
                assert answer.status == status
        async with client.get(f"{url}/health") as answer:
            assert await answer.json() == {"ok": True}


async def test_all_is_given_back_when_clients_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Admission, "BURST", 1e9)
    async with serving() as (url, client):
        for _ in range(50):
            visitor = await talk(url, client)
            await visitor.say(Watch(os.urandom(16)), Put(os.urandom(16), 60, True, b"x"))
            await visitor.socket.close()
        while (figures := await metrics(url, client))["connections"]:
            await asyncio.sleep(0.01)
        assert figures["mailbox_watched_names"] == figures["mailbox_items"] == 0


# -- tracker ---------------------------------------------------------------------------------------


def _announce(peer_id: str, *offers: str) -> str:
    listed = [{"offer_id": o * 20, "offer": {"type": "offer", "sdp": SDP}} for o in offers]
    fields = {"action": "announce", "info_hash": "h" * 20, "peer_id": peer_id * 20, "left": 1}
    return json.dumps({**fields, "offers": listed, "numwant": len(offers)})


def _answer(peer_id: str, to: str, offer: str) -> str:
    return json.dumps(
        {
            **json.loads(_announce(peer_id)),
            "to_peer_id": to * 20,
            "offer_id": offer * 20,
            "answer": {"type": "answer", "sdp": SDP},
        }
    )


async def test_offers_and_answers_pass_between_websockets() -> None:
    async with serving() as (url, client):
        ann = await client.ws_connect(f"{url}/announce")
        bob = await client.ws_connect(f"{url}/announce")
        await ann.send_str(_announce("A"))
        assert (await ann.receive_json())["incomplete"] == 1
        # Some clients send their JSON in binary frames.
        await bob.send_bytes(_announce("B", "1").encode())
        assert (await bob.receive_json())["incomplete"] == 2
        assert (await ann.receive_json())["peer_id"] == "B" * 20
        await ann.send_str(_answer("A", "B", "1"))
        assert (await bob.receive_json())["answer"]["sdp"] == SDP
        await bob.send_str("{garbage")
        assert "failure reason" in await bob.receive_json()
        figures = await metrics(url, client)
        assert (figures["tracker_seats"], figures["tracker_answers_total"]) == (2, 1)


async def test_a_tracker_client_that_is_too_fast_is_slowed() -> None:
    bounds = tracker.Bounds(messages_burst=5, messages_per_s=100)
    async with serving(tracker_bounds=bounds) as (url, client):
        ann = await client.ws_connect(f"{url}/announce")
        began = time.monotonic()
        for _ in range(25):
            await ann.send_str(_announce("A"))
        for _ in range(25):
            await ann.receive_json()
        assert time.monotonic() - began > 0.15


async def test_two_libtorrents_swap_offer_and_answer_over_it(tmp_path: Path) -> None:
    (tmp_path / "seed").mkdir()
    (tmp_path / "fetch").mkdir()
    (tmp_path / "seed" / "file").write_bytes(os.urandom(100_000))
    async with serving() as (url, client):
        create = lt.create_torrent(
            [lt.create_file_entry("file", 100_000)], 0, lt.create_torrent.v1_only
        )
        create.add_tracker(url.replace("http", "ws") + "/announce")
        lt.set_piece_hashes(create, str(tmp_path / "seed"))
        info = lt.torrent_info(lt.bencode(create.generate()))
        sessions = []
        for name in ("seed", "fetch"):
            session = lt.session(
                {
                    "listen_interfaces": "127.0.0.1:0",
                    "enable_dht": False,
                    "enable_lsd": False,
                    "enable_upnp": False,
                    "enable_natpmp": False,
                    "dht_bootstrap_nodes": "",
                    "webtorrent_stun_server": "",
                    "min_websocket_announce_interval": 1,
                    "stop_tracker_timeout": 1,
                }
            )
            params = lt.add_torrent_params()
            params.ti, params.save_path = info, str(tmp_path / name)
            sessions.append((session, session.add_torrent(params)))
        while (await metrics(url, client))["tracker_seats"] < 2:
            await asyncio.sleep(0.1)
        # The first had nobody to offer to when it announced.
        while (await metrics(url, client))["tracker_answers_total"] < 1:
            await asyncio.sleep(1)
            for _, handle in sessions:
                handle.force_reannounce()


# -- several instances -----------------------------------------------------------------------------


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    if shutil.which("redis-server") is None or find_spec("redis") is None:
        pytest.skip("needs redis-server and the Python package redis")
    socket = tmp_path / "r"
    with subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", ""],
        stdout=subprocess.DEVNULL,
    ) as process:
        while not socket.exists():
            time.sleep(0.01)
        yield f"unix://{socket}"
        process.kill()


async def test_two_instances_on_one_redis_serve_one_community(redis: str) -> None:
    async with AsyncExitStack() as stack:
        one, client = await stack.enter_async_context(serving(state=redis))
        two, _ = await stack.enter_async_context(serving(state=redis))
        ann, bob = await talk(one, client), await talk(two, client)
        await bob.say(Watch(NAME))
        await ann.say(Put(NAME, 60, True, b"x"))
        # What is put just when a watch begins may be told twice: as lying there, and as new.
        assert Item(NAME, 60, b"x") in await bob.items()
        await ann.socket.close()
        async with asyncio.timeout(20):
            while Item(NAME, 0, b"x") not in await bob.items():
                continue
        here = await client.ws_connect(f"{one}/announce")
        there = await client.ws_connect(f"{two}/announce")
        await here.send_str(_announce("A"))
        await here.receive_json()
        while (await metrics(two, client))["tracker_seats"] < 1:
            await asyncio.sleep(0.01)
        await there.send_str(_announce("B", "1"))
        assert (await there.receive_json())["incomplete"] == 2
        assert (await here.receive_json())["peer_id"] == "B" * 20
        await here.send_str(_answer("A", "B", "1"))
        assert (await there.receive_json())["answer"]["sdp"] == SDP


async def test_a_redis_that_goes_away_closes_clients_and_health_tells(redis: str) -> None:
    async with serving(state=redis) as (url, client):
        ann = await talk(url, client)
        subprocess.run(
            ["redis-cli", "-s", redis.removeprefix("unix://"), "shutdown", "nosave"], check=False
        )
        await ann.say(Put(NAME, 60, True, b"x"))
        assert await ann.closed() == 4503
        async with client.get(f"{url}/health") as answer:
            assert answer.status == 503
