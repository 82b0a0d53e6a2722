"""The one door to aiortc and aioice, and every private name of theirs that we lean on.

Nothing else in p2pchat imports these two: they are slow to load, and their insides change. Versions
are pinned to tested minors in pyproject.toml; `tests/net/test_aiortc_compat.py` fails loudly when a
name is gone or has changed its meaning.
"""

import asyncio
import contextlib
import contextvars
import hashlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from ipaddress import ip_address
from typing import Any, cast

import aioice.ice
import aioice.stun
import aiortc.rtcdtlstransport as dtls_module
import aiortc.rtcsctptransport as sctp_module
import ifaddr
from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidStateError
from aiortc.utils import uint32_gt
from cryptography.hazmat.primitives.serialization import Encoding

__all__ = [
    "InvalidStateError",
    "RTCConfiguration",
    "RTCDataChannel",
    "RTCIceServer",
    "RTCPeerConnection",
    "RTCSessionDescription",
    "check_again",
    "close",
    "drained",
    "exporter",
    "fingerprints",
    "guard",
    "hasten",
    "host_addresses",
    "install",
    "interfaces",
    "keep_bindings",
    "prefer_direct",
    "selected_pair",
    "stage",
]

_log = logging.getLogger(__name__)
_SSL_ERROR: type[Exception] = cast("Any", dtls_module).SSL.Error

RTO_INITIAL_S = 1.0
RTO_MIN_S = 0.2
RTO_MAX_S = 0.4
_ADDRESSES_MAX = 8
"""More only multiply the checks; a laptop with a VPN and IPv6 has five."""
_MISORDERED_MAX = 2_048
"""Chunks beyond a gap. Honest senders were seen to cause 457, and messages written close together
share their frames; aiortc sorts them all per chunk, and cannot tell of many more in a SACK."""
_PIECES_MAX = 1_024
"""Chunks of messages that are not whole yet; an honest 64 KiB takes 57, and aiortc rescans all."""
_SACK_PACKETS = 2
_SACK_S = 0.02
"""RFC 9260 6.2 has 200 ms, which is our least RTO: the sender would give up before. Not longer than
a person's next key, since `drained` waits for it."""
RELAY_AFTER_S = 1.2
"""Direct checks are sent at 0, 0.5 and 1.5 s (RFC 8489 6.2.1), and the second one arrives."""
_EXPORTER = b"EXPORTER-p2pchat-1"
_SKIPPED = ("docker", "veth", "br-", "virbr")

interfaces: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar(
    "interfaces", default=()
)
"""Names of the interfaces that the peer connection made in this context may use; empty: all."""


def install() -> None:
    """Set what is global in these libraries. May be called again."""
    # RFC 9260 16 recommends 1 s for both the initial and the least RTO; with aiortc's 1..60 s a
    # message behind 20% loss came up to 4.3 s late (aiortc never restarts T3 on fast retransmit).
    sctp_module.SCTP_RTO_INITIAL = RTO_INITIAL_S
    constants: Any = sctp_module  # its types say int
    constants.SCTP_RTO_MIN = RTO_MIN_S
    constants.SCTP_RTO_MAX = RTO_MAX_S
    # aioice has no interface filter (aioice#2), and skips loopback: without a network it would
    # offer nothing at all, and two people on one machine could not meet.
    aioice.ice.get_host_addresses = host_addresses


def host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:  # noqa: FBT001  (aioice's form)
    """Addresses to offer: those of the chosen interfaces; loopback if chosen, or if all else fails.

    A path to somebody on this very machine is needed only then: with any other interface two
    processes reach each other over that. A link-local address is offered where there is no other:
    its scope means nothing on the other side, which has to be on the same link, and it may tell the
    hardware's number.
    """
    chosen = interfaces.get()
    found: list[str] = []
    local: list[str] = []
    for adapter in ifaddr.get_adapters():
        if chosen and adapter.name not in chosen:
            continue
        if not chosen and str(adapter.name).startswith(_SKIPPED):
            continue
        for ip in adapter.ips:
            if isinstance(ip.ip, str):
                usable, address = use_ipv4, ip.ip
            else:
                usable, address = use_ipv6 and ip.ip[2] == 0, ip.ip[0]
                if use_ipv6 and ip.ip[2]:
                    local.append(f"{address}%{ip.ip[2]}")
            if usable and (chosen or not ip_address(address).is_loopback):
                found.append(address)
    if not found:
        found = local
    if not found and not chosen and use_ipv4:
        found = ["127.0.0.1"]
    return found[:_ADDRESSES_MAX]


def guard(pc: RTCPeerConnection, streams: Sequence[int], abuse: Callable[[str], None]) -> None:
    """Watch what aiortc does not, below our framing, where a proven peer could still starve us.

    aiortc enforces neither its receive window nor its message size, accepts any number of channels
    opened in band, asserts on a second open, keeps empty fragments for ever (they cost no window),
    and walks every number that a SACK claims: one packet can claim 19 million. All of that is
    refused here before it costs. `abuse` is called once, synchronously; what follows is dropped.
    """
    sctp: Any = pc.sctp
    handle_data = sctp._handle_data
    receive_chunk, receive_message = sctp._receive_data_chunk, sctp._data_channel_receive
    receive_sack = sctp._receive_sack_chunk
    abused = False

    def stop(why: str) -> None:
        nonlocal abused
        if not abused:
            abused = True
            abuse(why)

    async def guarded_data(data: bytes) -> None:
        if abused:
            return
        try:
            await handle_data(data)
        except ConnectionError:
            raise
        except Exception:  # noqa: BLE001  (aiortc raises what it likes on bytes it dislikes)
            # Past here it would end the DTLS task, and the peer would hear nothing of it.
            _log.debug("a packet that the SCTP stack choked on", exc_info=True)
            stop("a malformed packet")

    async def guarded_chunk(chunk: Any) -> None:
        if abused:
            return
        if chunk.stream_id not in streams:
            stop("a stream that nobody opened")
        elif not chunk.user_data:  # RFC 9260 3.3.10.9: No User Data is an error
            stop("a chunk with nothing in it")
        elif sctp._advertised_rwnd < 0:
            stop("more than the window allows")
        elif len(sctp._sack_misordered) > _MISORDERED_MAX:
            stop("too many gaps")
        elif _pieces(sctp) > _PIECES_MAX:
            stop("a message in too many pieces")
        else:
            await receive_chunk(chunk)

    async def guarded_message(stream_id: int, pp_id: int, data: bytes) -> None:
        # Text could hold invalid UTF-8, which ends aiortc's DTLS task; DCEP could open channels.
        if pp_id not in (sctp_module.WEBRTC_BINARY, sctp_module.WEBRTC_BINARY_EMPTY):
            stop("not a binary message")
        elif not abused:
            await receive_message(stream_id, pp_id, data)

    async def guarded_sack(chunk: Any) -> None:
        claimed = sum(last - first + 1 for first, last in chunk.gaps)
        stale = uint32_gt(sctp._last_sacked_tsn, chunk.cumulative_tsn)
        if abused or stale:
            return
        if claimed > len(sctp._sent_queue):
            stop("an acknowledgement of what was never sent")
        else:
            await receive_sack(chunk)

    async def no_forward(chunk: Any) -> None:
        del chunk
        # Our channels are reliable: nothing is ever given up (RFC 3758).
        stop("a forward TSN on reliable channels")

    update_rto = sctp._update_rto

    def capped_rto(measured: float) -> None:
        update_rto(measured)
        # A ceiling below the round trip would resend everything, so it rises with it.
        wanted = sctp._srtt + 4 * sctp._rttvar
        sctp._rto = max(RTO_MIN_S, min(wanted, max(RTO_MAX_S, 2 * sctp._srtt)))

    _end_like_others(sctp.transport)
    sctp._handle_data = guarded_data
    sctp._receive_data_chunk = guarded_chunk
    sctp._receive_sack_chunk = guarded_sack
    sctp._receive_forward_tsn_chunk = no_forward
    sctp._data_channel_receive = guarded_message
    sctp._update_rto = capped_rto


def _end_like_others(dtls: Any) -> None:
    """Let what OpenSSL raises at a write be a lost connection, as every caller expects.

    Who asks for another handshake and then says nothing makes every write fail (RFC 6347 4.2.8):
    aiortc raises that as it is, and its own way to the end of the connection would fail of it.
    """
    send_data = dtls._send_data

    async def send(data: bytes) -> None:
        try:
            await send_data(data)
        except _SSL_ERROR as error:
            raise ConnectionError("the DTLS connection takes no more") from error

    dtls._send_data = send


def hasten(pc: RTCPeerConnection) -> None:
    """Have done at once what aiortc and aioice leave to tasks, and acknowledged together what comes
    together."""
    sctp: Any = pc.sctp
    _acknowledge_late(sctp)
    _send_at_once(sctp)
    _receive_at_once(sctp.transport)


def _acknowledge_late(sctp: Any) -> None:
    """One SACK for two packets, or 20 ms after the first (RFC 9260 6.2).

    aiortc sends one for each packet (aiortc#36 is about what that costs), and its sender walks all
    that is in flight for each. At a gap, at a duplicate and when a gap has closed it goes at once,
    so that nothing is sent again later than before.
    """
    send_sack = sctp._send_sack
    loop = asyncio.get_running_loop()
    owed, gapped = 0, False
    timer: asyncio.Handle | None = None

    def acknowledge() -> None:
        nonlocal owed, gapped, timer
        if timer is not None:
            timer.cancel()
            timer = None
        owed, gapped = 0, bool(sctp._sack_misordered)
        if sctp.state != "closed":
            with contextlib.suppress(ConnectionError):  # it ended meanwhile
                _at_once(send_sack())

    async def late_sack() -> None:
        nonlocal owed, timer
        owed += 1
        sctp._sack_needed = False
        if gapped or sctp._sack_misordered or sctp._sack_duplicates:
            acknowledge()
        elif owed == _SACK_PACKETS:
            # Behind what the packets have brought: that somebody waits for.
            if timer is not None:
                timer.cancel()
            timer = loop.call_soon(acknowledge)
        elif owed == 2 * _SACK_PACKETS:
            # Many have come in one turn, as they do over TCP.
            acknowledge()
        elif timer is None:
            timer = loop.call_later(_SACK_S, acknowledge)

    sctp._send_sack = late_sack


def _send_at_once(sctp: Any) -> None:
    """Let what is sent leave before `send` returns, as far as the window is open.

    aiortc has a task do that one turn of the loop later, behind all else that is due by then.
    """

    def send(channel: Any, data: bytes) -> None:
        if 0 < sctp._remote_max_message_size < len(data):
            raise ValueError(f"the peer takes messages of {sctp._remote_max_message_size} bytes")
        channel._addBufferedAmount(len(data))
        sctp._data_channel_queue.append((channel, sctp_module.WEBRTC_BINARY, data))
        _at_once(sctp._data_channel_flush())

    sctp._data_channel_send = send


def _receive_at_once(dtls: Any) -> None:
    """Take a datagram in the turn of the loop that brings it.

    aioice puts it into a queue, from which a task of the DTLS transport's takes it one turn later:
    a fifth of what receiving cost. That task still does the handshake, and hears of the end.
    """
    ice, receive_next = dtls.transport, dtls._recv_next
    connection = ice._connection
    receive, data_received = ice._recv, connection.data_received
    given: list[bytes] = []

    async def received() -> bytes:
        return given.pop() if given else await receive()

    def take(data: bytes, component: int) -> None:
        if not data:
            return  # anybody may send it, and the DTLS transport would end of its first byte
        if not dtls._RTCDtlsTransport__handshake_done or not connection._queue.empty():
            data_received(data, component)
            return
        given.append(data)
        try:
            _at_once(receive_next())
        except Exception as error:  # noqa: BLE001  (as that task would end with it)
            if not isinstance(error, ConnectionError):
                _log.debug("a datagram that the DTLS transport choked on", exc_info=True)
            connection._queue.put_nowait(None)

    ice._recv = received
    connection.data_received = take


def _at_once(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run what is a coroutine in name only: it waits for nothing, so that it needs no task."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("aiortc waits where it did not")


def _pieces(sctp: Any) -> int:
    """Chunks held of messages that have no gap before them and are not whole."""
    held = sum(len(stream.reassembly) for stream in sctp._inbound_streams.values())
    return held - len(sctp._sack_misordered)


def fingerprints(pc: RTCPeerConnection) -> tuple[bytes, bytes]:
    """SHA-256 of our own and of the peer's certificate, as DTLS has them (not as SDP says)."""
    dtls: Any = _dtls(pc)
    own = dtls.getLocalParameters().fingerprints
    ours = next(print_.value for print_ in own if print_.algorithm == "sha-256")
    peer = dtls._ssl.get_peer_certificate(as_cryptography=True)
    return (
        bytes.fromhex(ours.replace(":", "")),
        hashlib.sha256(peer.public_bytes(Encoding.DER)).digest(),
    )


def exporter(pc: RTCPeerConnection) -> bytes:
    """32 bytes that both ends of this DTLS connection, and nobody else, can compute (RFC 5705)."""
    exported: bytes = _dtls(pc)._ssl.export_keying_material(_EXPORTER, 32)
    return exported


def selected_pair(pc: RTCPeerConnection) -> tuple[Any, Any] | None:
    """Local and remote candidate in use (aioice's `Candidate`)."""
    pair = _dtls(pc).transport._connection._nominated.get(1)
    return (pair.local_candidate, pair.remote_candidate) if pair else None


def stage(pc: RTCPeerConnection) -> str:
    """How far a connection that is not there yet has come: ice, dtls or sctp."""
    dtls = _dtls(pc)
    if dtls.transport.state not in ("completed", "connected"):
        return "ice"
    return "sctp" if dtls.state == "connected" else "dtls"


def check_again(pc: RTCPeerConnection) -> None:
    """Start anew the ICE checks that ran out of retransmissions (after 63 s, RFC 8445 14.3).

    Of a pasted invite, the inviter may take the reply minutes later: by then the guest's NAT has
    forgotten the holes that its checks had made, and only new checks make them again.
    """
    connection: Any = _dtls(pc).transport._connection
    if connection.remote_password is None or connection._check_list_done:
        return
    for pair in connection._check_list:
        if pair.state == aioice.ice.CandidatePair.State.FAILED:
            connection.check_start_task(pair)


def keep_bindings(pc: RTCPeerConnection) -> None:
    """Send one STUN request from each of our sockets, so that a NAT keeps their outer addresses.

    To the STUN server from those of host candidates, to the TURN server from those of relayed ones:
    aioice itself is silent there for 500 s, after which a NAT gives the socket another address, and
    the server takes us for a stranger (437). Answers are not waited for: aioice drops responses to
    what it did not ask.
    """
    connection: Any = _dtls(pc).transport._connection
    for protocol in list(connection._protocols):
        candidate = protocol.local_candidate
        request = aioice.stun.Message(
            message_method=aioice.stun.Method.BINDING,
            message_class=aioice.stun.Class.REQUEST,
        )
        if candidate.type == "relay":
            client = protocol.transport._TurnTransport__inner_protocol
            if not client.transport.is_closing():
                client._send(bytes(request))
        elif connection.stun_server is not None and ip_address(candidate.host).version == 4:
            # A literal address, since `servers` has looked the name up.
            protocol.send_stun(request, connection.stun_server)


def prefer_direct(pc: RTCPeerConnection) -> None:
    """Hold relayed pairs back until direct ones have had their chance.

    aioice nominates whatever succeeds first. Behind two NATs the first direct check of either side
    is lost, as the other has not made its hole yet, and is sent again after 0.5 s; a pair over a
    relay has succeeded by then, and all that follows would go the long way (RFC 8445 14.3 asks for
    pacing, B.1 for patience).
    """
    connection: Any = _dtls(pc).transport._connection
    check_start = connection.check_start
    begun: float | None = None

    async def patient(pair: Any) -> None:
        nonlocal begun
        loop = asyncio.get_running_loop()
        begun = loop.time() if begun is None else begun
        kinds = (pair.local_candidate.type, pair.remote_candidate.type)
        wait_s = begun + RELAY_AFTER_S - loop.time()
        if connection.ice_controlling and "relay" in kinds and wait_s > 0:
            # Not waiting in aioice's sense: it would start the same pair again and no other.
            connection.check_state(pair, aioice.ice.CandidatePair.State.IN_PROGRESS)
            await asyncio.sleep(wait_s)
        await check_start(pair)

    connection.check_start = patient


async def drained(pc: RTCPeerConnection, timeout_s: float) -> None:
    """Wait until the peer has acknowledged what was sent, or has ended it, or the time is up.

    aiortc has no event for it, and `close` throws away what is queued: a last word would be lost.
    """
    sctp: Any = pc.sctp
    deadline = asyncio.get_running_loop().time() + timeout_s
    while (
        # Who hears a goodbye may be gone before it acknowledges that.
        sctp.state == "connected"
        and (sctp._sent_queue or sctp._outbound_queue or sctp._data_channel_queue)
    ) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.005)


async def close(pc: RTCPeerConnection) -> None:
    """Close, and say so more than once: neither ABORT nor close_notify is ever sent again.

    On a path that loses one packet in five, a single pair would leave every 25th peer waiting for
    the heartbeat to run out.
    """
    sctp: Any = pc.sctp
    try:
        if sctp is not None and sctp.state == "connected":
            for _ in range(2):
                await sctp._abort()
    finally:
        await pc.close()


def _dtls(pc: RTCPeerConnection) -> Any:
    assert pc.sctp is not None
    return pc.sctp.transport
