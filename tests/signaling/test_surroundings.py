import asyncio
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace

import ifaddr
import pytest

from signaling.carriers import surroundings
from signaling.carriers.surroundings import Change, Surroundings


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the machine's one interface has; a test may change it."""
    found = ["192.0.2.1"]

    def adapters() -> list[SimpleNamespace]:
        ips = [SimpleNamespace(ip=one, network_prefix=24) for one in found]
        return [SimpleNamespace(name="eth0", ips=ips)]

    monkeypatch.setattr(ifaddr, "get_adapters", adapters)
    return found


def soon(noticing: AsyncIterator[Change]) -> asyncio.Task[Change]:
    async def found() -> Change:
        return await anext(noticing)

    return asyncio.get_running_loop().create_task(found())


async def test_another_address_is_noticed(addresses: list[str]) -> None:
    noticing = Surroundings([], look_s=0.01).changes()
    async with asyncio.timeout(20):
        found = soon(noticing)
        await asyncio.sleep(0.1)
        assert not found.done()
        addresses[:] = ["198.51.100.7"]
        assert await found == Change(
            slept=False, addresses=frozenset({"127.0.0.1", "198.51.100.7"})
        )
        addresses.clear()
        assert (await anext(noticing)).addresses == frozenset({"127.0.0.1"})


async def test_addresses_of_interfaces_that_are_not_used_do_not_count(addresses: list[str]) -> None:
    noticing = Surroundings(["wlan0"], look_s=0.01).changes()
    found = soon(noticing)
    addresses[:] = ["198.51.100.7"]
    await asyncio.sleep(0.1)
    assert not found.done()
    found.cancel()


@pytest.mark.usefixtures("addresses")
async def test_sleep_shows_by_a_clock_that_goes_on_meanwhile() -> None:
    asleep = 0.0
    noticing = Surroundings([], clock=lambda: time.monotonic() + asleep, look_s=0.01).changes()
    async with asyncio.timeout(20):
        found = soon(noticing)
        await asyncio.sleep(0.1)
        assert not found.done()
        asleep = 3_600.0
        assert (await found).slept


@pytest.mark.usefixtures("addresses")
async def test_a_stopped_process_has_slept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "_SLEPT_S", 0.5)
    noticing = Surroundings([], look_s=0.01).changes()
    found = soon(noticing)
    await asyncio.sleep(0.05)
    time.sleep(1.0)
    async with asyncio.timeout(20):
        assert (await found).slept


def test_the_clock_goes_on() -> None:
    assert surroundings._clock() <= surroundings._clock()
