from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from p2pchat.node.upkeep import keep_up
from signaling.carriers.surroundings import Change


async def _after(*found: Change) -> tuple[list[str], int, int]:
    """Whose links were doubted, how often all were sought and servers connected to anew."""
    doubted: list[str] = []
    sought = connected = 0

    def session(address: str | None) -> Any:
        return SimpleNamespace(local_address=address, doubt=lambda: doubted.append(str(address)))

    def retry() -> None:
        nonlocal sought
        sought += 1

    def reconnect() -> None:
        nonlocal connected
        connected += 1

    async def changes() -> AsyncIterator[Change]:
        for one in found:
            yield one

    sessions = [session("192.0.2.1"), session("192.0.2.2"), session(None)]
    peers: Any = SimpleNamespace(sessions=lambda: iter(sessions), retry=retry)
    await keep_up(changes(), peers, reconnect)
    return doubted, sought, connected


async def test_after_sleep_every_link_is_doubted() -> None:
    change = Change(slept=True, addresses=frozenset({"192.0.2.1", "192.0.2.2"}))
    assert await _after(change) == (["192.0.2.1", "192.0.2.2", "None"], 1, 1)


async def test_links_whose_address_is_gone_are_doubted_and_relayed_ones() -> None:
    change = Change(slept=False, addresses=frozenset({"192.0.2.1", "198.51.100.7"}))
    assert await _after(change) == (["192.0.2.2", "None"], 1, 1)
    assert await _after() == ([], 0, 0)
