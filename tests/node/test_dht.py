import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pchat import config, events
from p2pchat.errors import Usage
from p2pchat.node.dht import listen_interfaces, parse_bootstrap
from p2pchat.node.node import Node
from tests.harness.dht import own_dht
from tests.node.people import WAIT_S, heard

_RECONNECT_S = 60


@pytest.fixture
def bootstrap() -> Iterator[list[str]]:
    with own_dht() as ends:
        yield ends


def _config(bootstrap: list[str], *more: str) -> config.Config:
    alone = ('net.interfaces=["lo"]', "lan.enabled=false", f"dht.bootstrap={bootstrap!r}")
    return config.load(None, {}, (*alone, *more))


async def test_contacts_meet_again_over_the_dht_alone(tmp_path: Path, bootstrap: list[str]) -> None:
    settings = _config(bootstrap)
    async with Node.open(tmp_path / "ann", config=settings, name="Ann") as ann:
        async with Node.open(tmp_path / "bob", config=settings, name="Bob") as bob:
            await bob.join((await ann.invite()).blob, timeout=WAIT_S)
        # Bob is back with what he remembers, and Ann was there all the time.
        with ann.events() as feed:
            async with Node.open(tmp_path / "bob", config=_config([]), name="Bob"):
                async with asyncio.timeout(_RECONNECT_S):
                    back = await heard(feed, events.Peer, state="connected")
                assert (back.name, back.via) == ("Bob", "dht")


async def test_with_no_node_to_start_from_there_is_no_carrier(tmp_path: Path) -> None:
    async with Node.open(tmp_path / "ann", config=_config([]), name="Ann") as ann:
        assert [carrier.name for carrier in ann.online_parts.peers.carriers] == []
    off = _config(["127.0.0.99:1"], "dht.enabled=false")
    async with Node.open(tmp_path / "ann", config=off) as ann:
        assert [carrier.name for carrier in ann.online_parts.peers.carriers] == []


async def test_a_dht_that_cannot_be_reached_does_not_delay_the_lan(tmp_path: Path) -> None:
    settings = _config(["127.0.0.99:1"], "lan.enabled=true")
    async with (
        Node.open(tmp_path / "ann", config=settings, name="Ann") as ann,
        Node.open(tmp_path / "bob", config=settings, name="Bob") as bob,
    ):
        # Well within the 2 s after which a join asks for a paste.
        await bob.join((await ann.invite()).blob, timeout=2)
        assert [peer.via for peer in await bob.peers()] == ["lan"]


def test_nodes_to_start_from_are_named_by_host_and_port() -> None:
    assert parse_bootstrap(["router.example:6881", "[2001:db8::1]:1", "127.0.0.1:65535"]) == [
        ("router.example", 6881),
        ("2001:db8::1", 1),
        ("127.0.0.1", 65_535),
    ]


@pytest.mark.parametrize(
    "entry", ["", "router.example", "router.example:", ":1", "a:0", "a:65536", "a:²"]
)
def test_what_is_no_host_and_port_is_said_so(entry: str) -> None:
    with pytest.raises(Usage, match=r"dht\.bootstrap") as raised:
        parse_bootstrap([entry])
    assert raised.value.code == "config-malformed"


def test_it_listens_where_the_settings_say() -> None:
    assert listen_interfaces([]) == "0.0.0.0:0,[::]:0"
    assert listen_interfaces(["lo"]) == "127.0.0.1:0"
    assert listen_interfaces(["lo", "eth0"]) == "127.0.0.1:0,eth0:0"
