import asyncio
import os
import socket
import time
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address
from random import Random

import pytest
import zeroconf
from hypothesis import given
from hypothesis import strategies as st
from zeroconf import ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

from signaling.carriers import discovery
from signaling.carriers.discovery import Discovery
from signaling.carriers.lan import LanCarrier
from tests.signaling.neighbours import announced

LOOPBACK = IPv4Interface("127.0.0.1/8")
MDNS = ("224.0.0.251", 5_353)


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


def announce(watcher: Watcher, label: object) -> str:
    """A name comes up; nothing else of it is there."""
    name = f"{label}.{discovery.SERVICE}"
    state = zeroconf.ServiceStateChange.Added
    watcher.discovery._changed(None, "", name, state)  # type: ignore[arg-type]
    return name


async def test_a_flood_of_announcements_is_bounded_and_pushes_out_no_friend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery, "NEIGHBOURS_MAX", 3)
    watcher = Watcher()
    friend = announce(watcher, "friend")
    watcher.discovery.keep(friend)
    for n in range(50):
        announce(watcher, n)
    assert len(watcher.discovery._known) == 3
    assert friend in watcher.discovery._known
    assert watcher.discovery.ignored["surplus"] == 48
    assert watcher.found.qsize() - watcher.lost.qsize() == 3


async def test_friends_alone_can_fill_it_and_strangers_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery, "NEIGHBOURS_MAX", 2)
    watcher = Watcher()
    for n in range(2):
        watcher.discovery.keep(announce(watcher, n))
    announce(watcher, "stranger")
    assert watcher.lost.empty()
    assert watcher.discovery.ignored["surplus"] == 1


async def test_a_cache_full_of_rubbish_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "_WATCH_S", 0.05)
    async with asyncio.timeout(20), Watcher() as watcher, asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watcher.discovery.watch())
        monkeypatch.setattr(discovery, "_CACHED_MAX", 2)
        async with announced(1, {"v": "1", "n": "ab" * 16}):
            while not watcher.discovery.ignored["flood"]:
                await watcher.found.get()
        watching.cancel()


async def test_a_machine_that_slept_looks_anew() -> None:
    async with asyncio.timeout(20), Watcher() as watcher, Watcher() as sleeper:
        sleeper.discovery.announce()
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(sleeper.discovery.advertise()),
                tasks.create_task(sleeper.discovery.watch()),
            ]
            first = await watcher.found.get()
            sleeper.discovery.moved()
            assert await watcher.lost.get() == first
            assert await watcher.found.get() != first
            for task in running:
                task.cancel()


ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@given(st.binary(max_size=400), st.lists(ADDRESSES, max_size=20), st.integers(0, 65_535))
def test_no_record_makes_us_raise_or_leave_our_networks(
    text: bytes, addresses: list[IPv4Address | IPv6Address], port: int
) -> None:
    own = [IPv4Interface("192.168.1.20/24"), IPv6Interface("fe80::1%3/64"), LOOPBACK]
    good = b"\x03v=1\x22n=" + b"ab" * 16
    for said in (text, good, good + text, text + good):
        info = ServiceInfo(
            discovery.SERVICE,
            f"x.{discovery.SERVICE}",
            port=port,
            properties=said,
            addresses=[address.packed for address in addresses],
        )
        neighbour = discovery._read(info, own)
        assert (neighbour is not None) or said != good or port == 0
        if neighbour is not None:
            assert len(neighbour.nonce) == 16
            assert len(neighbour.addresses) <= 8
            assert all(
                not ip_address(one).is_global and not ip_address(one).is_multicast
                for one in neighbour.addresses
            )


async def test_rubbish_on_the_mdns_port_stops_nothing() -> None:
    random = Random(7)
    whole = bytes.fromhex(
        "000084000000000100000000085f70327063686174045f746370056c6f63616c00000c00010000"
        "1194000a0778787878787878c00c"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        async with asyncio.timeout(20), Watcher() as watcher:
            for n in range(300):
                changed = bytearray(whole if n % 2 else random.randbytes(random.randrange(1_400)))
                for _ in range(3):
                    if changed:
                        changed[random.randrange(len(changed))] = random.randrange(256)
                sender.sendto(bytes(changed[: random.randrange(len(changed) + 1)]), MDNS)
            async with announced(4_242, {"v": "1", "n": "ab" * 16}, label="honest"):
                while await watcher.found.get() != f"honest.{discovery.SERVICE}":
                    pass
                neighbour = await watcher.discovery.resolve(f"honest.{discovery.SERVICE}")
    assert neighbour.port == 4_242


async def test_a_goodbye_from_a_stranger_is_nothing() -> None:
    watcher = Watcher()
    state = zeroconf.ServiceStateChange.Removed
    watcher.discovery._changed(None, "", f"x.{discovery.SERVICE}", state)  # type: ignore[arg-type]
    assert watcher.lost.empty()


async def test_a_machine_that_moves_is_found_on_its_new_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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
            mover.discovery.moved()
            assert await watcher.lost.get() == first
            second = await watcher.found.get()
            assert (await watcher.discovery.resolve(second)).addresses == ("127.0.0.1",)
            for task in running:
                task.cancel()


async def test_a_network_that_comes_back_is_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asyncio.timeout(20), Watcher() as watcher, Watcher() as mover:
        mover.discovery.announce()
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(mover.discovery.advertise()),
                tasks.create_task(mover.discovery.watch()),
            ]
            first = await watcher.found.get()
            monkeypatch.setattr(discovery, "interfaces_of", lambda _names: [])
            mover.discovery.moved()
            assert await watcher.lost.get() == first
            monkeypatch.setattr(discovery, "interfaces_of", lambda _names: [LOOPBACK])
            mover.discovery.moved()
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
