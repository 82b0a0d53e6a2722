"""From description to open and to closed, over 127.0.0.1."""

import asyncio
import gc
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import aioice.stun
import pytest

from p2pchat.errors import Usage
from p2pchat.net import transport as transport_module
from p2pchat.net.link import Link
from p2pchat.net.servers import parse_relay
from p2pchat.net.transport import ConnectFailed, Settings, Transport
from signaling.sdp import Candidate

Pair = tuple[Transport, Transport]


class Listener(asyncio.DatagramProtocol):
    """A UDP port that counts, and never answers."""

    def __init__(self) -> None:
        self.sources: list[int] = []
        self.heard = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.port: int = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        del data
        self.sources.append(addr[1])
        self.heard.set()

    async def more(self, count: int) -> None:
        while len(self.sources) < count:
            self.heard.clear()
            await asyncio.wait_for(self.heard.wait(), 10)


async def listen() -> Listener:
    _, listener = await asyncio.get_running_loop().create_datagram_endpoint(
        Listener, local_addr=("127.0.0.1", 0)
    )
    return listener


async def test_both_ends_see_the_same_certificates_and_secret(pair: Pair) -> None:
    near, far = pair
    assert near.fingerprints == far.fingerprints[::-1]
    assert near.fingerprints[0] == near.description.fingerprint
    assert len(near.exporter) == 32
    assert near.exporter == far.exporter


async def test_two_connections_share_neither_certificate_nor_secret(
    pair: Pair, loopback: Settings
) -> None:
    other = await Transport.offering(loopback)
    assert other.description.fingerprint != pair[0].description.fingerprint
    await other.aclose()


async def test_a_path_over_loopback_is_direct_and_on_this_host(pair: Pair) -> None:
    for end in pair:
        assert (end.path, end.same_host) == ("direct", True)


async def test_descriptions_have_the_roles_of_offer_and_answer(pair: Pair) -> None:
    assert [end.description.role for end in pair] == ["actpass", "active"]
    assert {c.kind for end in pair for c in end.description.candidates} == {"host"}


async def test_gathering_without_stun_asks_nobody_and_takes_no_time(loopback: Settings) -> None:
    started = time.monotonic()
    offer = await Transport.offering(loopback)
    assert time.monotonic() - started < 3  # the library's own gives up after 5
    assert _connection(offer).stun_server is None
    await offer.aclose()


async def test_a_dead_stun_server_costs_half_a_second_and_is_left_out() -> None:
    dead = await listen()
    settings = Settings(stun=(f"stun:127.0.0.1:{dead.port}",), interfaces=("lo",))
    started = time.monotonic()
    offer = await Transport.offering(settings)
    assert time.monotonic() - started < 4  # likewise
    assert dead.sources
    assert _connection(offer).stun_server is None
    await offer.aclose()


async def test_a_turn_server_gets_its_credentials(loopback: Settings) -> None:
    relay = parse_relay("turn:me:pass:word@127.0.0.1:3479")
    connection = _connection(Transport(loopback, None, relay))
    assert connection.turn_server == ("127.0.0.1", 3479)
    assert (connection.turn_username, connection.turn_password) == ("me", "pass:word")


@pytest.mark.parametrize(
    "settings", [Settings(stun=("stun.example.org",)), Settings(turn=("http://example.org",))]
)
async def test_a_malformed_server_is_a_malformed_setting(settings: Settings) -> None:
    with pytest.raises(Usage) as refused:
        await Transport.offering(settings)
    assert refused.value.code == "config-malformed"


async def test_an_interface_that_is_not_there_offers_no_address() -> None:
    offer = await Transport.offering(Settings(interfaces=("nosuch0",)))
    assert offer.description.candidates == ()
    await offer.aclose()


async def test_an_offer_that_nobody_answers_dies_at_ice(loopback: Settings) -> None:
    offer = await Transport.offering(loopback)
    with pytest.raises(ConnectFailed) as failed:
        await offer.opened(0.05)
    assert failed.value.stage == "ice"
    await offer.aclose()


async def test_a_certificate_other_than_the_promised_one_dies_at_dtls(loopback: Settings) -> None:
    offer = await Transport.offering(loopback)
    forged = replace(offer.description, fingerprint=bytes(32))
    answer = await Transport.answering(loopback, forged)
    await offer.accept(answer.description)
    with pytest.raises(ConnectFailed) as failed:
        await answer.opened(20)
    assert failed.value.stage == "dtls"
    await answer.aclose()
    await offer.aclose()


async def test_an_answer_that_aiortc_cannot_use_is_a_failed_connection(loopback: Settings) -> None:
    offer = await Transport.offering(loopback)
    answer = await Transport.answering(loopback, offer.description)
    with pytest.raises(ConnectFailed, match="not usable"):
        await answer.accept(offer.description)
    await answer.aclose()
    await offer.aclose()


async def test_waiting_ends_when_the_transport_is_closed(loopback: Settings) -> None:
    offer = await Transport.offering(loopback)
    waiting = asyncio.gather(offer.opened(60), return_exceptions=True)
    await asyncio.sleep(0)
    await offer.aclose()
    (outcome,) = await waiting
    assert isinstance(outcome, ConnectFailed)


async def test_a_close_that_was_cancelled_can_be_waited_for_again(pair: Pair) -> None:
    near, far = pair
    async with asyncio.TaskGroup() as tasks:
        closing = tasks.create_task(near.aclose())
        await asyncio.sleep(0)
        closing.cancel()
    async with asyncio.timeout(5):
        await near.aclose()
        await near.aclose()
    with pytest.raises(ConnectFailed):
        await far.opened(5)


async def test_a_frame_right_behind_the_handshake_is_not_lost(loopback: Settings) -> None:
    # The channel opens, and the frame arrives, before whoever waits in `opened` has run again.
    for _ in range(5):
        offer = await Transport.offering(loopback)
        answer = await Transport.answering(loopback, offer.description)
        far_channel: Any = answer.live._channel
        far_channel.on("open", lambda channel=far_channel: channel.send(b"first"))
        await offer.accept(answer.description)
        await asyncio.gather(offer.opened(20), answer.opened(20))
        link = Link(offer)
        async with asyncio.timeout(5):
            assert await link.receive() == b"first"
        await offer.aclose()
        await answer.aclose()


async def test_a_waiting_offer_keeps_its_nat_binding(
    loopback: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_module, "_KEEP_ALIVE_S", 0.02)
    server = await listen()
    offer = await Transport.offering(loopback)
    _connection(offer).stun_server = ("127.0.0.1", server.port)
    ours = [c.port for c in offer.description.candidates if c.address == "127.0.0.1"]
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(offer.keep_alive())
        await server.more(3)
        keeping.cancel()
    assert set(server.sources) == set(ours)
    await offer.aclose()


async def test_checks_that_gave_up_are_started_anew(
    loopback: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_module, "_KEEP_ALIVE_S", 0.02)
    monkeypatch.setattr(aioice.stun, "RETRY_MAX", 0)
    monkeypatch.setattr(aioice.stun, "RETRY_RTO", 0.01)
    silent = await listen()
    offer = await Transport.offering(loopback)
    elsewhere = replace(
        offer.description, candidates=(Candidate("host", "127.0.0.1", silent.port),)
    )
    answer = await Transport.answering(loopback, elsewhere)
    waiting = asyncio.gather(answer.opened(30), return_exceptions=True)
    # One check without retransmissions; more come only from starting it again.
    await silent.more(4)
    await answer.aclose()
    await waiting
    await offer.aclose()


async def test_connections_leave_no_sockets_and_no_tasks_behind(loopback: Settings) -> None:
    async def once() -> None:
        offer = await Transport.offering(loopback)
        answer = await Transport.answering(loopback, offer.description)
        await offer.accept(answer.description)
        await asyncio.gather(offer.opened(20), answer.opened(20))
        await offer.aclose()
        await answer.aclose()

    def held() -> tuple[int, int]:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir())), len(asyncio.all_tasks())

    await once()
    before = held()
    for _ in range(8):
        await once()
    # aiortc's own tasks end a turn or two after close has returned.
    async with asyncio.timeout(5):
        while held() > before:
            await asyncio.sleep(0)
    assert held() <= before


def _connection(transport: Transport) -> Any:
    sctp = transport._pc.sctp
    assert sctp is not None
    ice: Any = sctp.transport.transport
    return ice._connection
