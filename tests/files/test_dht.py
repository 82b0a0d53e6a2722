"""The worker's DHT, through its pipe, in a DHT of our own on loopback."""

import asyncio
import hashlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import libtorrent as lt
import pytest
from nacl.signing import SigningKey

from p2pchat.files.dht import Dht
from p2pchat.files.session import FileSession
from signaling.dhtnode import DhtUnavailable, Item
from tests.harness.dht import own_dht

_WAIT_S = 20


@pytest.fixture
def bootstrap() -> Iterator[list[tuple[str, int]]]:
    """Of each test its own: whoever has gone stays for long in the tables of others."""
    with own_dht() as ends:
        yield [(end.split(":")[0], int(end.split(":")[1])) for end in ends]


@asynccontextmanager
async def _session(state: Path, bootstrap: Sequence[tuple[str, int]]) -> AsyncIterator[FileSession]:
    async with FileSession.open(
        "127.0.0.1:0", "", lambda: None, rtc=False, restart_s=0.05
    ) as session:
        session.join_dht("127.0.0.1:0", bootstrap, state, local=True)
        yield session


@asynccontextmanager
async def _dht(state: Path, bootstrap: Sequence[tuple[str, int]]) -> AsyncIterator[Dht]:
    async with _session(state, bootstrap) as session, asyncio.timeout(_WAIT_S):
        await session.dht.ready()
        yield session.dht


def _key(seed: bytes) -> bytes:
    return bytes(SigningKey(seed).verify_key)


async def _got(dht: Dht, key: bytes, newer_than: int) -> Item:
    """Asked again as its users do: on a busy machine the nodes that have it may answer too late."""
    while (item := await dht.get(key, newer_than)) is None:
        pass
    return item


async def test_what_one_puts_another_gets(tmp_path: Path, bootstrap: list[tuple[str, int]]) -> None:
    seed = os.urandom(32)
    async with _dht(tmp_path / "a", bootstrap[:1]) as one, _dht(tmp_path / "b", bootstrap) as two:
        assert await two.get(_key(seed), -1) is None
        assert await one.put(seed, b"first") > 0
        assert await _got(two, _key(seed), -1) == Item(b"first", 1)
        assert await one.put(seed, b"second" * 100) > 0
        begun = time.monotonic()
        assert await _got(two, _key(seed), 1) == Item(b"second" * 100, 2)
        print(f"a get takes {(time.monotonic() - begun) * 1000:.1f} ms")
        # Nothing newer than that.
        assert await two.get(_key(seed), 2) is None


async def test_one_node_is_a_dht(tmp_path: Path) -> None:
    seed = os.urandom(32)
    with own_dht(nodes=1) as ends:
        start = [("127.0.0.10", int(ends[0].split(":")[1]))]
        async with _dht(tmp_path / "a", start) as one, _dht(tmp_path / "b", start) as two:
            assert await one.put(seed, b"x") > 0
            assert await _got(two, _key(seed), -1) == Item(b"x", 1)


async def test_many_gets_at_once_are_each_answered(
    tmp_path: Path, bootstrap: list[tuple[str, int]]
) -> None:
    seeds = [os.urandom(32) for _ in range(20)]
    async with _dht(tmp_path / "a", bootstrap) as dht:
        for seed in seeds:
            await dht.put(seed, seed)
        twice = [_key(seed) for seed in seeds] * 2
        found = await asyncio.gather(*(_got(dht, key, -1) for key in twice))
    assert found == [Item(seed, 1) for seed in seeds] * 2


async def test_the_nodes_met_are_remembered(
    tmp_path: Path, bootstrap: list[tuple[str, int]]
) -> None:
    state = tmp_path / "dht"
    seed = os.urandom(32)
    async with _dht(state, bootstrap[:1]) as dht:
        await dht.put(seed, b"x")
    assert len(state.read_text().splitlines()) >= 4
    remembered = state.read_text().splitlines()[0]
    async with _dht(state, []) as again:
        assert await _got(again, _key(seed), -1) == Item(b"x", 1)
    assert state.read_text().splitlines()[0] == remembered
    assert remembered.startswith("port ")


@pytest.mark.parametrize(
    "damage", [b"\xff\xfe\x00", b"127.0.0.1\n127.0.0.1 99999999\n::1 x\n", b"1 " * 100_000]
)
async def test_damage_to_what_is_remembered_does_no_harm(
    tmp_path: Path, bootstrap: list[tuple[str, int]], damage: bytes
) -> None:
    (tmp_path / "dht").write_bytes(damage)
    async with _dht(tmp_path / "dht", bootstrap) as dht:
        assert dht.nodes


async def test_a_killed_worker_joins_again_and_what_was_asked_fails(
    tmp_path: Path, bootstrap: list[tuple[str, int]]
) -> None:
    seed = os.urandom(32)
    async with _session(tmp_path / "dht", bootstrap) as session, asyncio.timeout(_WAIT_S):
        dht = session.dht
        await dht.ready()
        await dht.put(seed, b"x")
        process = session._process
        assert process is not None
        os.kill(process.pid, signal.SIGSTOP)
        asked = asyncio.gather(dht.get(_key(seed), -1), return_exceptions=True)
        await asyncio.sleep(0)
        os.kill(process.pid, signal.SIGKILL)
        assert isinstance((await asked)[0], DhtUnavailable)
        await dht.ready()
        assert await _got(dht, _key(seed), -1) == Item(b"x", 1)


async def test_with_nobody_there_it_is_not_ready_and_says_so(tmp_path: Path) -> None:
    async with _session(tmp_path / "dht", [("127.0.0.99", 1)]) as session:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await session.dht.ready()
        with pytest.raises(DhtUnavailable):
            await session.dht.get(bytes(32), -1)
        with pytest.raises(DhtUnavailable):
            await session.dht.put(bytes(32), b"x")
    assert not (tmp_path / "dht").exists()


async def test_a_value_that_is_no_string_is_told_as_an_empty_one(
    tmp_path: Path, bootstrap: list[tuple[str, int]]
) -> None:
    """Anybody with the key may put any bencoded value; the bindings of libtorrent only strings."""
    async with _session(tmp_path / "a", bootstrap) as session, asyncio.timeout(_WAIT_S):
        await session.dht.ready()
        end = bootstrap[0]
        seed = os.urandom(32)
        await asyncio.to_thread(_put_raw, end, seed, b"d1:xi1ee", 5)
        found = None
        while found is None:  # it stands at one node, which a look may miss on a busy machine
            found = await session.dht.get(_key(seed), -1)
        assert found == Item(b"", 5)


def _put_raw(end: tuple[str, int], seed: bytes, value: bytes, seq: int) -> None:
    """BEP 44 by hand: ask for a token, then put."""
    target_key = _key(seed)
    target = lt.sha1_hash(hashlib.sha1(target_key).digest()).to_bytes()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(5)
        udp.bind(("127.0.0.1", 0))
        me = os.urandom(20)

        def ask(message: dict[bytes, object]) -> dict[bytes, object]:
            udp.sendto(lt.bencode(message), end)
            while True:
                answer = lt.bdecode(udp.recv(4096))
                if answer.get(b"y") in (b"r", b"e"):
                    return answer

        got = ask({b"t": b"g", b"y": b"q", b"q": b"get", b"a": {b"id": me, b"target": target}})
        signed = b"3:seqi%de1:v" % seq + value
        put = {
            b"id": me,
            b"k": target_key,
            b"seq": seq,
            b"sig": SigningKey(seed).sign(signed).signature,
            b"token": got[b"r"][b"token"],  # type: ignore[index]
            b"v": lt.bdecode(value),
        }
        stored = ask({b"t": b"p", b"y": b"q", b"q": b"put", b"a": put})
        assert stored[b"y"] == b"r", stored
