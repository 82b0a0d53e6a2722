import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from p2pchat import config
from p2pchat.node.node import Node
from signaling.server.app import Server, Settings
from tests.node.people import WAIT_S, friends, person


async def test_status_says_by_what_friends_can_find_us(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server.open(Settings(port=0)))
        chosen = config.load(
            None,
            {},
            (
                'net.interfaces=["lo"]',
                "dht.enabled=false",
                f"mailbox.url=http://127.0.0.1:{server.port}",
            ),
        )
        async with Node.open(tmp_path / "Ann", config=chosen, name="Ann") as ann:
            before = await ann.status()
            assert (before.lan, before.dht, before.mailbox) == (True, None, "idle")
            await ann.invite()
            async with asyncio.timeout(WAIT_S):
                while (await ann.status()).mailbox != "connected":
                    await asyncio.sleep(0.01)  # another server: there is no event to wait on
            await stack.aclose()
            async with asyncio.timeout(WAIT_S):
                while (await ann.status()).mailbox != "away":
                    await asyncio.sleep(0.01)  # as before


async def test_status_counts_what_there_is(tmp_path: Path) -> None:
    async with friends(tmp_path) as (ann, _):
        await (await ann.room("Bob")).send("hello")
        status = await ann.status()
        assert (status.running, status.connected, status.contacts, status.rooms) == (True, 1, 1, 1)
        assert status.entries >= 1
    async with person(tmp_path, "Ann", online=False) as ann:
        status = await ann.status()
        assert (status.running, status.connected, status.contacts) == (False, 0, 1)
        assert (status.lan, status.dht, status.mailbox, status.visible) == (
            False,
            None,
            None,
            False,
        )
