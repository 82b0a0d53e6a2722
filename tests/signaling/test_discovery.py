import asyncio
import os
import time
from ipaddress import IPv4Interface

import ifaddr
import pytest
import zeroconf
from zeroconf.asyncio import AsyncZeroconf

from signaling.carriers import discovery
from signaling.carriers.discovery import Discovery, interfaces_of
from signaling.carriers.lan import LanCarrier
from tests.signaling.neighbours import announced

LOOPBACK = IPv4Interface("127.0.0.1/8")
HOME = IPv4Interface("192.168.1.20/24")
CAMPUS = IPv4Interface("128.30.5.6/16")


class Watcher:
    """A discovery on loopback, and what it tells."""

    def __init__(self) -> None:
        self.found: asyncio.Queue[str] = asyncio.Queue()
        self.lost: asyncio.Queue[str] = asyncio.Queue()
        self.discovery = Discovery(
            ["lo"],
            os.urandom,
            connected=lambda _reader, writer: writer.close(),
            found=self.found.put_nowait,
            lost=self.lost.put_nowait,
        )

    async def __aenter__(self) -> "Watcher":
        await self.discovery.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.discovery.stop()


async def test_an_announcement_is_found_and_resolved_within_a_second() -> None:
    said = {"v": "1", "n": "ab" * 16}
    async with asyncio.timeout(10), Watcher() as watcher:
        begun = time.monotonic()
        async with announced(4_242, said):
            name = await watcher.found.get()
            neighbour = await watcher.discovery.resolve(name)
            assert time.monotonic() - begun < 1
        assert neighbour.nonce == b"\xab" * 16
        assert (neighbour.addresses, neighbour.port) == (("127.0.0.1",), 4_242)


async def test_a_goodbye_is_told() -> None:
    async with asyncio.timeout(10), Watcher() as watcher, Watcher() as other:
        other.discovery.announce()
        async with asyncio.TaskGroup() as tasks:
            advertising = tasks.create_task(other.discovery.advertise())
            name = await watcher.found.get()
            advertising.cancel()
        await other.discovery.stop()
        assert await watcher.lost.get() == name


async def test_nobody_is_seen_before_it_wants_to_be() -> None:
    async with asyncio.timeout(10), Watcher() as watcher, Watcher() as shy, Watcher() as bold:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(one.discovery.advertise()) for one in (shy, bold)]
            bold.discovery.announce()
            await watcher.found.get()
            for task in running:
                task.cancel()
        assert watcher.found.empty()
        assert bold.found.empty()  # not itself either
        assert not shy.discovery._own_names


async def test_name_host_and_nonce_change_with_the_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "_NONCE_S", 0.5)
    async with asyncio.timeout(20), Watcher() as watcher, Watcher() as other:
        other.discovery.announce()
        async with asyncio.TaskGroup() as tasks:
            advertising = tasks.create_task(other.discovery.advertise())
            first = await watcher.found.get()
            before = await watcher.discovery.resolve(first)
            second = await watcher.found.get()
            after = await watcher.discovery.resolve(second)
            assert await watcher.lost.get() == first
            advertising.cancel()
        assert first != second
        assert before.nonce != after.nonce
        assert before.port == after.port
        assert other.found.empty()


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"v": "1"},
        {"v": "1", "n": ""},
        {"v": "1", "n": "ab" * 15},
        {"v": "1", "n": "ab" * 17},
        {"v": "1", "n": "zz" * 16},
        {"v": "1", "n": b"\xff" * 32},
        {"v": "2", "n": "ab" * 16},
        {"n": "ab" * 16},
    ],
)
async def test_an_announcement_that_is_not_ours_is_refused(said: dict[str, str | bytes]) -> None:
    async with asyncio.timeout(10), Watcher() as watcher, announced(4_242, said):
        with pytest.raises(ValueError, match=r".*"):
            await watcher.discovery.resolve(await watcher.found.get())


async def test_odd_names_are_resolved_or_refused() -> None:
    said = {"v": "1", "n": "ab" * 16}
    async with asyncio.timeout(10), Watcher() as watcher:
        for label in ("x" * 63, "a b\u202e\U0001f600", "%s%n'\"<>"):
            async with announced(1, said, label=label):
                name = await watcher.found.get()
                assert (await watcher.discovery.resolve(name)).port == 1
        for name in ("", "nothing", "." + discovery.SERVICE, "x" * 300 + "." + discovery.SERVICE):
            with pytest.raises((OSError, ValueError)):
                await watcher.discovery.resolve(name)


async def test_only_loopback_is_connected_to_where_only_loopback_is_meant() -> None:
    said = {"v": "1", "n": "ab" * 16}
    addresses = ("198.51.100.9", "192.168.1.1", "127.0.0.1", "224.0.0.251")
    async with (
        asyncio.timeout(10),
        Watcher() as watcher,
        announced(4_242, said, addresses=addresses),
    ):
        neighbour = await watcher.discovery.resolve(await watcher.found.get())
        assert neighbour.addresses == ("127.0.0.1",)


@pytest.mark.parametrize(
    ("own", "address", "reachable"),
    [
        ([HOME, LOOPBACK], "192.168.1.99", True),
        ([HOME, LOOPBACK], "10.9.8.7", True),
        ([HOME, LOOPBACK], "127.0.0.1", True),
        ([HOME], "127.0.0.1", False),
        ([HOME, LOOPBACK], "8.8.8.8", False),
        ([HOME, LOOPBACK], "128.30.99.1", False),
        ([CAMPUS, LOOPBACK], "128.30.99.1", True),
        ([HOME, LOOPBACK], "224.0.0.1", False),
        ([HOME, LOOPBACK], "0.0.0.0", False),
        ([LOOPBACK], "192.168.1.1", False),
        ([], "127.0.0.1", False),
    ],
)
def test_an_announcement_cannot_send_us_to_the_internet(
    own: list[IPv4Interface], address: str, reachable: bool
) -> None:
    assert discovery._Binding(own).reachable(address) is reachable


async def test_a_flood_of_announcements_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "NEIGHBOURS_MAX", 2)
    watcher = Watcher()
    for n in range(10):
        state = zeroconf.ServiceStateChange.Added
        watcher.discovery._changed(None, "", f"{n}.{discovery.SERVICE}", state)  # type: ignore[arg-type]
    assert watcher.found.qsize() == 2


async def test_a_goodbye_from_a_stranger_is_nothing() -> None:
    watcher = Watcher()
    state = zeroconf.ServiceStateChange.Removed
    watcher.discovery._changed(None, "", f"x.{discovery.SERVICE}", state)  # type: ignore[arg-type]
    assert watcher.lost.empty()


async def test_a_machine_that_moves_is_found_on_its_new_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery, "_WATCH_S", 0.05)
    async with asyncio.timeout(20), Watcher() as watcher, Watcher() as mover:
        mover.discovery.announce()
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(mover.discovery.advertise()),
                tasks.create_task(mover.discovery.watch()),
            ]
            first = await watcher.found.get()
            moved = [IPv4Interface("127.0.0.1/16")]
            monkeypatch.setattr(discovery, "interfaces_of", lambda _names: moved)
            assert await watcher.lost.get() == first
            second = await watcher.found.get()
            assert (await watcher.discovery.resolve(second)).addresses == ("127.0.0.1",)
            for task in running:
                task.cancel()


async def test_a_network_that_comes_back_is_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "_WATCH_S", 0.05)
    async with asyncio.timeout(20), Watcher() as watcher, Watcher() as mover:
        mover.discovery.announce()
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(mover.discovery.advertise()),
                tasks.create_task(mover.discovery.watch()),
            ]
            first = await watcher.found.get()
            monkeypatch.setattr(discovery, "interfaces_of", lambda _names: [])
            assert await watcher.lost.get() == first
            monkeypatch.setattr(discovery, "interfaces_of", lambda _names: [LOOPBACK])
            assert await watcher.found.get() != first
            for task in running:
                task.cancel()


async def test_without_multicast_on_the_network_loopback_still_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, asked = AsyncZeroconf, []

    def refuse(*, interfaces: list[str], ip_version: zeroconf.IPVersion) -> object:
        asked.append(interfaces)
        if interfaces != ["127.0.0.1"]:
            raise OSError("no such device")
        return real(interfaces=interfaces, ip_version=ip_version)

    own = [IPv4Interface("127.0.0.2/8"), LOOPBACK]
    # Both addresses are loopback in truth, so that nothing leaves this machine.
    monkeypatch.setattr(IPv4Interface, "is_loopback", property(lambda one: one == LOOPBACK))
    monkeypatch.setattr(discovery, "interfaces_of", lambda _names: own)
    monkeypatch.setattr(discovery, "AsyncZeroconf", refuse)
    async with asyncio.timeout(10), Watcher():
        assert asked == [["127.0.0.2", "127.0.0.1"], ["127.0.0.1"]]


async def test_an_interface_that_is_not_there_is_said_so() -> None:
    with pytest.raises(OSError, match="no interface"):
        async with LanCarrier.open(["nothing0"], random=os.urandom, wall=time.time):
            pass


def test_without_a_name_loopback_comes_last_but_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    ip = ifaddr.IP("192.168.1.20", 24, "eth0")
    adapter = ifaddr.Adapter("eth0", "eth0", [ip], index=1)
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: [adapter])
    assert interfaces_of([]) == [HOME, LOOPBACK]
    assert interfaces_of(["eth0"]) == [HOME]
    assert interfaces_of(["lo"]) == []
