"""Each private name of aiortc and aioice, and each thing that a hostile peer does below framing."""

import asyncio
import contextlib
import inspect
import os
import socket
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any

import aioice.ice
import aioice.stun
import aioice.turn
import aiortc.rtcdtlstransport as dtls_module
import aiortc.rtcsctptransport as sctp_module
import ifaddr
import pytest
from aiortc.rtcsctptransport import (
    DataChunk,
    ForwardTsnChunk,
    InitChunk,
    SackChunk,
    serialize_packet,
    tsn_plus_one,
)
from google_crc32c import value as crc32c

from p2pchat.net import aiortc_compat
from p2pchat.net.channel import ChannelClosed
from p2pchat.net.link import Link
from p2pchat.net.transport import Transport

Pair = tuple[Transport, Transport]


def sctp_of(transport: Transport) -> Any:
    return transport._pc.sctp


# -- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "_advertised_rwnd", "_data_channel_queue", "_data_channel_receive", "_handle_data",
        "_inbound_streams", "_last_sacked_tsn", "_outbound_queue", "_receive_data_chunk",
        "_receive_forward_tsn_chunk", "_receive_sack_chunk", "_rto", "_rttvar", "_sack_duplicates",
        "_sack_misordered", "_sack_needed", "_send_sack", "_sent_queue", "_srtt", "_update_rto",
    ],
)  # fmt: skip
async def test_the_sctp_transport_has_the_name_we_wrap(pair: Pair, name: str) -> None:
    assert hasattr(sctp_of(pair[0]), name)


@pytest.mark.parametrize("name", ["_check_list", "_check_list_done", "_nominated", "_protocols"])
async def test_the_ice_connection_has_the_name_we_read(pair: Pair, name: str) -> None:
    assert hasattr(sctp_of(pair[0]).transport.transport._connection, name)


async def test_the_dtls_transport_has_the_names_we_wrap(pair: Pair) -> None:
    dtls = sctp_of(pair[0]).transport
    for name in ("_recv_next", "_send_data", "_RTCDtlsTransport__handshake_done"):
        assert hasattr(dtls, name)
    assert hasattr(dtls.transport, "_recv")
    assert dtls._RTCDtlsTransport__handshake_done
    source = inspect.getsource(dtls_module.RTCDtlsTransport._recv_next)
    assert source.count("self.transport._recv()") == 2
    assert "self._remote_max_message_size" in inspect.getsource(
        sctp_module.RTCSctpTransport._data_channel_send
    )


def test_aioice_asks_for_addresses_through_the_name_we_replace() -> None:
    aiortc_compat.install()
    assert aioice.ice.get_host_addresses is aiortc_compat.host_addresses
    source = inspect.getsource(aioice.ice.Connection.gather_candidates)
    assert "get_host_addresses(" in source
    assert aioice.ice.CandidatePair.State.FAILED
    assert inspect.signature(aioice.ice.Connection.check_start_task)


def test_the_guarded_methods_are_called_on_the_instance() -> None:
    # An instance attribute only shadows what is looked up on `self`.
    handle = inspect.getsource(sctp_module.RTCSctpTransport._receive_chunk)
    for name in ("_receive_data_chunk", "_receive_sack_chunk", "_receive_forward_tsn_chunk"):
        assert f"self.{name}(chunk)" in handle
    assert "self._data_channel_receive(" in inspect.getsource(sctp_module.RTCSctpTransport._receive)
    assert "self._update_rto(" in inspect.getsource(
        sctp_module.RTCSctpTransport._receive_sack_chunk
    )


# -- retransmission ------------------------------------------------------------------------------


async def test_lost_packets_are_sent_again_within_400_ms(pair: Pair) -> None:
    sctp = sctp_of(pair[0])
    assert (sctp_module.SCTP_RTO_MIN, sctp_module.SCTP_RTO_MAX) == (0.2, 0.4)
    for measured in (0.001, 0.001, 3.0, 0.001, 0.001):  # a lost SACK looks like a slow path
        sctp._srtt = sctp._rttvar = None
        sctp._update_rto(0.01)
        sctp._update_rto(min(measured, 0.3))
        assert 0.2 <= sctp._rto <= 0.4


async def test_on_a_slow_path_the_ceiling_rises_with_the_round_trip(pair: Pair) -> None:
    sctp = sctp_of(pair[0])
    for _ in range(50):
        sctp._update_rto(0.9)
    assert sctp._rto >= 0.9


# -- acknowledgement -----------------------------------------------------------------------------


@pytest.fixture
def sacks(pair: Pair) -> list[SackChunk]:
    """What the far end acknowledges from now on."""
    far = sctp_of(pair[1])
    send, said = far._send_chunk, []

    async def counted(chunk: Any) -> None:
        if isinstance(chunk, SackChunk):
            said.append(chunk)
        await send(chunk)

    far._send_chunk = counted
    return said


async def test_two_packets_are_acknowledged_by_one_sack(pair: Pair, sacks: list[SackChunk]) -> None:
    near, far = pair
    got = asyncio.Event()
    far.bulk.attach(lambda frame: got.set())
    # 16,384 bytes of a message are 14 packets.
    for _ in range(20):
        await near.bulk.send(bytes(16_383))
    await near.drained(10)
    assert got.is_set()
    packets = 20 * 14
    assert packets // 2 <= len(sacks) < packets * 0.8
    assert not sctp_of(near)._sent_queue


async def test_a_packet_alone_is_acknowledged_before_its_sender_gives_up(
    pair: Pair, sacks: list[SackChunk]
) -> None:
    near, _ = pair
    await near.drained(1)
    sacks.clear()
    started = time.monotonic()
    await near.live.send(b"one")
    await near.drained(5)
    assert len(sacks) == 1
    assert time.monotonic() - started < 1
    assert aiortc_compat._SACK_S < aiortc_compat.RTO_MIN_S / 2


async def test_a_gap_a_duplicate_and_a_closed_gap_are_told_at_once(
    pair: Pair, sacks: list[SackChunk]
) -> None:
    near, far = pair
    await near.drained(1)
    attacker, victim = Attacker(near), sctp_of(far)
    first, second = (attacker.chunk(b"x", flags=3) for _ in range(2))
    sacks.clear()
    for chunk, gaps in ((second, 1), (second, 1), (first, 0), (first, 0)):
        before = len(sacks)
        victim._sack_needed = False
        await victim._receive_chunk(chunk)
        assert victim._sack_needed
        await victim._send_sack()
        assert len(sacks) == before + 1
        assert len(sacks[-1].gaps) == gaps


def test_a_sack_is_asked_for_once_a_packet_and_through_the_name_we_replace() -> None:
    source = inspect.getsource(sctp_module.RTCSctpTransport._handle_data)
    assert source.count("self._sack_needed") == source.count("self._send_sack()") == 1
    built = inspect.getsource(sctp_module.RTCSctpTransport._send_sack)
    assert "self._sack_needed = False" in built
    assert "self._sack_duplicates.clear()" in built


# -- addresses -----------------------------------------------------------------------------------


def adapter(name: str, *addresses: str, scope: int = 0) -> SimpleNamespace:
    ips = [
        SimpleNamespace(ip=a if ip_address(a).version == 4 else (a, 0, scope)) for a in addresses
    ]
    return SimpleNamespace(name=name, ips=ips)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    def addresses(*adapters: SimpleNamespace, chosen: tuple[str, ...] = ()) -> list[str]:
        monkeypatch.setattr(ifaddr, "get_adapters", lambda: list(adapters))
        token = aiortc_compat.interfaces.set(chosen)
        try:
            return aiortc_compat.host_addresses(True, True)
        finally:
            aiortc_compat.interfaces.reset(token)

    return addresses


LO = adapter("lo", "127.0.0.1", "::1")


def test_loopback_is_offered_only_where_there_is_nothing_else(
    machine: Callable[..., list[str]],
) -> None:
    assert machine(LO) == ["127.0.0.1"]
    assert machine(LO, adapter("eth0", "192.0.2.1")) == ["192.0.2.1"]


def test_chosen_interfaces_are_the_only_ones(machine: Callable[..., list[str]]) -> None:
    adapters = (LO, adapter("eth0", "192.0.2.1"), adapter("docker0", "172.17.0.1"))
    assert machine(*adapters, chosen=("lo",)) == ["127.0.0.1", "::1"]
    assert machine(*adapters, chosen=("docker0",)) == ["172.17.0.1"]
    assert machine(*adapters, chosen=("wlan0",)) == []


def test_addresses_of_no_use_to_a_peer_are_left_out(machine: Callable[..., list[str]]) -> None:
    found = machine(
        adapter("docker0", "172.17.0.1"),
        adapter("veth1", "10.9.9.9"),
        adapter("eth0", "fe80::1", scope=2),
        adapter("eth1", "2001:db8::1"),
    )
    assert found == ["2001:db8::1"]


def test_a_link_local_address_is_offered_where_there_is_no_other(
    machine: Callable[..., list[str]],
) -> None:
    link = adapter("eth0", "fe80::1", scope=2)
    assert machine(link) == ["fe80::1%2"]
    assert machine(link, adapter("eth1", "192.0.2.1")) == ["192.0.2.1"]
    assert machine(LO, link, chosen=("lo",)) == ["127.0.0.1", "::1"]


def test_many_addresses_are_cut_to_eight(machine: Callable[..., list[str]]) -> None:
    assert len(machine(adapter("eth0", *(f"192.0.2.{n}" for n in range(1, 40))))) == 8


# -- a hostile peer ------------------------------------------------------------------------------


class Attacker:
    """Writes chunks that no honest stack would, from one end of a real connection."""

    def __init__(self, transport: Transport) -> None:
        self.sctp = sctp_of(transport)
        # Stock aiortc again on this end: what the victim acknowledges was never sent by its book.
        for name in ("_handle_data", "_receive_sack_chunk"):
            delattr(self.sctp, name)

    def chunk(
        self, data: bytes, *, flags: int = 0, stream: int = 0, skip: int = 0, protocol: int = 53
    ) -> DataChunk:
        chunk = DataChunk(flags=flags)
        for _ in range(skip + 1):
            chunk.tsn = self.sctp._local_tsn
            self.sctp._local_tsn = tsn_plus_one(self.sctp._local_tsn)
        chunk.stream_id, chunk.protocol, chunk.user_data = stream, protocol, data
        return chunk

    async def send(self, chunk: Any) -> None:
        await self.sctp._send_chunk(chunk)

    async def send_many(self, data: bytes, *, flags: int = 0, skip: int = 0) -> None:
        """A packet full: by ones it takes so long that the victim takes us for dead."""
        await self.send_raw(*(self.chunk(data, flags=flags, skip=skip) for _ in range(40)))

    async def send_raw(self, *chunks: Any) -> None:
        head = serialize_packet(5000, 5000, self.sctp._remote_verification_tag, chunks[0])
        body = head[12:] + b"".join(bytes(chunk) for chunk in chunks[1:])
        blank = head[:8] + bytes(4) + body
        checksum = crc32c(blank).to_bytes(4, "little")
        await self.sctp.transport._send_data(head[:8] + checksum + body)


async def pour(attack: Callable[[], Awaitable[None]], until: Callable[[], bool]) -> None:
    """Repeat an attack until it was noticed; a guard that is gone runs into the bound."""
    for _ in range(6_000):
        if until():
            return
        try:
            await attack()
        except ConnectionError:
            return
        await asyncio.sleep(0)


@asynccontextmanager
async def victim_of(
    pair: Pair, *, told: bool = True
) -> AsyncIterator[tuple[Attacker, Transport, Link]]:
    near, far = pair
    link = Link(far)
    noticed = asyncio.Event()
    near.on_closed = noticed.set
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(link.run())
        yield Attacker(near), far, link
        # The attacker learns of it at once, though it never asked.
        async with asyncio.timeout(10):
            assert await link.closed() == "bad-frame"
            await running
            if told:
                await noticed.wait()


async def test_a_message_without_end_is_cut_off_at_the_window(pair: Pair) -> None:
    async with victim_of(pair) as (attacker, victim, _):
        await attacker.send(attacker.chunk(bytes(1_000), flags=2))
        await pour(lambda: attacker.send(attacker.chunk(bytes(1_160))), lambda: bool(victim.abused))
        assert "window" in victim.abused or "pieces" in victim.abused
        assert sctp_of(victim)._advertised_rwnd > -4_096


async def test_crumbs_of_a_message_without_end_are_cut_off(pair: Pair) -> None:
    tracemalloc.start()
    async with victim_of(pair) as (attacker, victim, _):
        await attacker.send(attacker.chunk(b"x", flags=2))
        await pour(lambda: attacker.send_many(b"x"), lambda: bool(victim.abused))
        assert "pieces" in victim.abused
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


async def test_empty_fragments_which_cost_no_window_are_refused(pair: Pair) -> None:
    async with victim_of(pair) as (attacker, victim, _):
        await attacker.send(attacker.chunk(b"", flags=2))
        await pour(lambda: attacker.send(attacker.chunk(b"")), lambda: bool(victim.abused))
        assert victim.abused == "a chunk with nothing in it"


async def test_endless_gaps_are_refused(pair: Pair) -> None:
    # aiortc reads 1,500 bytes of a datagram: a SACK of so many gaps chokes the attacker's own end.
    async with victim_of(pair, told=False) as (attacker, victim, _):
        await pour(lambda: attacker.send_many(b"x", flags=3, skip=1), lambda: bool(victim.abused))
        assert victim.abused == "too many gaps"


async def test_three_hundred_streams_are_none(pair: Pair) -> None:
    async with victim_of(pair) as (attacker, victim, _):
        for number in range(2, 302):
            await attacker.send(attacker.chunk(b"x", flags=3, stream=number))
        async with asyncio.timeout(5):
            while not victim.abused:
                await asyncio.sleep(0)
        assert victim.abused == "a stream that nobody opened"
        assert set(sctp_of(victim)._inbound_streams) <= {0, 1}


@pytest.mark.parametrize(
    ("protocol", "data"),
    [
        (sctp_module.WEBRTC_STRING, b"text"),
        (sctp_module.WEBRTC_STRING, b"\xff\xfe"),
        (sctp_module.WEBRTC_DCEP, b"\x03\x00" + bytes(10)),
        (sctp_module.WEBRTC_DCEP, b"\x02"),
        (1_234, b"x"),
    ],
    ids=["text", "text that is no UTF-8", "open in band", "ack in band", "unknown protocol"],
)
async def test_what_is_no_binary_message_ends_the_link(
    pair: Pair, protocol: int, data: bytes
) -> None:
    async with victim_of(pair) as (attacker, victim, _):
        await attacker.send(attacker.chunk(data, flags=3, protocol=protocol))
        async with asyncio.timeout(5):
            while not victim.abused:
                await asyncio.sleep(0)
        assert victim.abused == "not a binary message"


async def test_an_acknowledgement_of_millions_does_not_hold_up_the_loop(pair: Pair) -> None:
    async with victim_of(pair) as (attacker, victim, _):
        sack = SackChunk()
        sack.cumulative_tsn = sctp_of(victim)._last_sacked_tsn
        sack.advertised_rwnd = 1 << 20
        sack.gaps = [(1, 65_535)] * 280
        await attacker.send(sack)
        started = time.process_time()
        async with asyncio.timeout(10):
            while not victim.abused:
                await asyncio.sleep(0)
        assert time.process_time() - started < 0.5
        assert victim.abused == "an acknowledgement of what was never sent"


async def test_skipping_ahead_on_a_reliable_channel_is_refused(pair: Pair) -> None:
    async with victim_of(pair) as (attacker, victim, _):
        forward = ForwardTsnChunk()
        forward.cumulative_tsn = tsn_plus_one(attacker.sctp._local_tsn)
        forward.streams = [(number, 0) for number in range(280)]
        await attacker.send(forward)
        async with asyncio.timeout(5):
            while not victim.abused:
                await asyncio.sleep(0)
        assert set(sctp_of(victim)._inbound_streams) <= {0, 1}


async def test_a_packet_that_breaks_the_parser_ends_the_link_on_both_sides(pair: Pair) -> None:
    async with victim_of(pair) as (attacker, victim, _):
        # An INIT must travel alone: aiortc asserts it.
        await attacker.send_raw(InitChunk(), InitChunk())
        async with asyncio.timeout(5):
            while not victim.abused:
                await asyncio.sleep(0)
        assert victim.abused == "a malformed packet"


async def test_random_packets_end_the_link_or_leave_it(pair: Pair) -> None:
    near, far = pair
    attacker = Attacker(near)
    for _ in range(300):
        body = bytes([os.urandom(1)[0] % 16, 0, 0, 44]) + os.urandom(40)
        head = serialize_packet(5000, 5000, attacker.sctp._remote_verification_tag, SackChunk())
        blank = head[:8] + bytes(4) + body
        checksum = crc32c(blank).to_bytes(4, "little")
        try:
            await attacker.sctp.transport._send_data(head[:8] + checksum + body)
        except ConnectionError:
            break
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await far.aclose()


async def test_an_empty_datagram_of_a_stranger_is_nothing(pair: Pair) -> None:
    near, far = pair
    got = asyncio.Event()
    near.live.attach(lambda frame: got.set())
    place = sctp_of(near).transport.transport._connection._nominated[1].local_addr
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"", place)
    await asyncio.sleep(0)
    await far.live.send(b"still there")
    async with asyncio.timeout(5):
        await got.wait()
    assert sctp_of(near).transport.state == "connected"


async def test_who_asks_for_a_handshake_and_says_no_more_is_a_lost_connection(pair: Pair) -> None:
    ends = {sctp_of(end).transport._role: end for end in pair}
    victim, hostile = ends["client"], sctp_of(ends["server"]).transport
    hostile.transport._connection.data_received = lambda data, component: None
    hostile._ssl.renegotiate()
    with contextlib.suppress(aiortc_compat._SSL_ERROR):
        hostile._ssl.do_handshake()
    await hostile._write_ssl()

    async def write_on() -> None:
        while True:
            await victim.live.send(b"x")
            await asyncio.sleep(0.001)

    async with asyncio.timeout(5):
        with pytest.raises(ChannelClosed):
            await write_on()
        await victim.aclose()


async def test_what_came_by_many_packets_in_one_turn_is_acknowledged_every_four(
    pair: Pair, sacks: list[SackChunk]
) -> None:
    near, far = pair
    await near.drained(1)
    attacker, victim = Attacker(near), sctp_of(far)
    sacks.clear()
    for _ in range(12):
        await victim._receive_chunk(attacker.chunk(b"x", flags=3))
        await victim._send_sack()
    assert len(sacks) == 3


# -- relays --------------------------------------------------------------------------------------


def connected_by(connection: SimpleNamespace) -> Any:
    """A peer connection, as far as ICE is asked of it."""
    ice = SimpleNamespace(_connection=connection)
    return SimpleNamespace(sctp=SimpleNamespace(transport=SimpleNamespace(transport=ice)))


def test_aioice_has_the_relay_and_the_check_that_we_reach_for() -> None:
    inside = inspect.getsource(aioice.turn.TurnTransport.__init__)
    assert "self.__inner_protocol" in inside
    for client in (aioice.turn.TurnClientUdpProtocol, aioice.turn.TurnClientTcpProtocol):
        assert inspect.signature(client._send)
    starting = inspect.getsource(aioice.ice.Connection.check_start_task)
    assert "self.check_start(pair)" in starting
    assert inspect.signature(aioice.ice.Connection.check_state)


@pytest.mark.parametrize("controlling", [True, False])
async def test_a_relayed_pair_waits_for_direct_ones_where_we_nominate(
    monkeypatch: pytest.MonkeyPatch, *, controlling: bool
) -> None:
    monkeypatch.setattr(aiortc_compat, "RELAY_AFTER_S", 0.1)
    checked: list[str] = []
    states: list[str] = []

    async def check_start(pair: Any) -> None:
        checked.append(pair.name)

    connection = SimpleNamespace(
        check_start=check_start,
        check_state=lambda pair, state: states.append(f"{pair.name} {state.name}"),
        ice_controlling=controlling,
    )
    aiortc_compat.prefer_direct(connected_by(connection))

    def pair(name: str, local: str, remote: str) -> SimpleNamespace:
        return SimpleNamespace(
            name=name,
            local_candidate=SimpleNamespace(type=local),
            remote_candidate=SimpleNamespace(type=remote),
        )

    await asyncio.gather(
        connection.check_start(pair("ours", "relay", "host")),
        connection.check_start(pair("theirs", "host", "relay")),
        connection.check_start(pair("direct", "host", "srflx")),
    )
    if controlling:
        assert checked[0] == "direct"
        assert sorted(checked) == ["direct", "ours", "theirs"]
        # As if begun: a waiting pair would be the one that aioice starts next, again and again.
        assert states == ["ours IN_PROGRESS", "theirs IN_PROGRESS"]
    else:
        assert checked == ["ours", "theirs", "direct"]


def test_the_way_to_a_relay_is_kept_open_too() -> None:
    sent: list[bytes] = []
    asked: list[tuple[str, int]] = []

    def protocol(kind: str, host: str, *, closing: bool = False) -> SimpleNamespace:
        client = SimpleNamespace(
            transport=SimpleNamespace(is_closing=lambda: closing), _send=sent.append
        )
        return SimpleNamespace(
            local_candidate=SimpleNamespace(type=kind, host=host),
            transport=SimpleNamespace(_TurnTransport__inner_protocol=client),
            send_stun=lambda _message, place: asked.append(place),
        )

    connection = SimpleNamespace(
        stun_server=("192.0.2.1", 3478),
        _protocols=[
            protocol("host", "192.168.1.2"),
            protocol("host", "2001:db8::1"),
            protocol("relay", "192.0.2.9"),
            protocol("relay", "192.0.2.9", closing=True),
        ],
    )
    aiortc_compat.keep_bindings(connected_by(connection))
    assert asked == [("192.0.2.1", 3478)]
    (request,) = sent
    assert aioice.stun.parse_message(request).message_method == aioice.stun.Method.BINDING
    connection.stun_server = None
    aiortc_compat.keep_bindings(connected_by(connection))
    assert (len(asked), len(sent)) == (1, 2)
