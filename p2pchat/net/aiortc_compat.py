"""Every private name of aiortc and aioice that we lean on, each with its reason and its test.

Versions are pinned to tested minors in pyproject.toml; `tests/net/test_aiortc_compat.py` fails
loudly when a name is gone or has changed its meaning.
"""

import asyncio
import contextvars
import hashlib
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

import aioice.ice
import aiortc.rtcsctptransport as sctp_module
import ifaddr
from aiortc import RTCPeerConnection
from cryptography.hazmat.primitives.serialization import Encoding

__all__ = [
    "drained",
    "exporter",
    "fingerprints",
    "guard",
    "host_addresses",
    "install",
    "interfaces",
    "selected_pair",
    "stage",
]

RTO_INITIAL_S = 1.0
RTO_MIN_S = 0.2
RTO_MAX_S = 0.4
_ADDRESSES_MAX = 8
"""More only multiply the checks; a laptop with a VPN and IPv6 has five."""
_MISORDERED_MAX = 4_096
"""Honest senders were seen to cause 457 without loss; a hostile one rescans them per chunk."""
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
    processes reach each other over that.
    """
    chosen = interfaces.get()
    found: list[str] = []
    for adapter in ifaddr.get_adapters():
        if chosen and adapter.name not in chosen:
            continue
        if not chosen and str(adapter.name).startswith(_SKIPPED):
            continue
        for ip in adapter.ips:
            if isinstance(ip.ip, str):
                usable, address = use_ipv4, ip.ip
            else:
                # A scoped (link-local) address means nothing on the other side.
                usable, address = use_ipv6 and ip.ip[2] == 0, ip.ip[0]
            if usable and (chosen or not ip_address(address).is_loopback):
                found.append(address)
    if not found and not chosen and use_ipv4:
        found = ["127.0.0.1"]
    return found[:_ADDRESSES_MAX]


def guard(pc: RTCPeerConnection, streams: Sequence[int], abuse: Callable[[str], None]) -> None:
    """Watch what aiortc does not: streams nobody opened, an overrun window, endless gaps.

    aiortc enforces neither its receive window nor its message size, accepts any number of channels
    opened in band, and asserts on a second DCEP open; all of that is refused here, before it costs.
    `abuse` is called once, synchronously; chunks that follow are dropped.
    """
    sctp: Any = pc.sctp
    receive_chunk, receive_message = sctp._receive_data_chunk, sctp._data_channel_receive
    abused = False

    def stop(why: str) -> None:
        nonlocal abused
        if not abused:
            abused = True
            abuse(why)

    async def guarded_chunk(chunk: Any) -> None:
        if abused:
            return
        if chunk.stream_id not in streams:
            stop("a stream that nobody opened")
        elif sctp._advertised_rwnd < 0:
            stop("more than the window allows")
        elif len(sctp._sack_misordered) > _MISORDERED_MAX:
            stop("too many gaps")
        else:
            await receive_chunk(chunk)

    async def guarded_message(stream_id: int, pp_id: int, data: bytes) -> None:
        # Text could hold invalid UTF-8, which ends aiortc's DTLS task; DCEP could open channels.
        if pp_id not in (sctp_module.WEBRTC_BINARY, sctp_module.WEBRTC_BINARY_EMPTY):
            stop("not a binary message")
        elif not abused:
            await receive_message(stream_id, pp_id, data)

    update_rto = sctp._update_rto

    def capped_rto(measured: float) -> None:
        update_rto(measured)
        # A ceiling below the round trip would resend everything, so it rises with it.
        wanted = sctp._srtt + 4 * sctp._rttvar
        sctp._rto = max(RTO_MIN_S, min(wanted, max(RTO_MAX_S, 2 * sctp._srtt)))

    sctp._receive_data_chunk = guarded_chunk
    sctp._data_channel_receive = guarded_message
    sctp._update_rto = capped_rto


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


async def drained(pc: RTCPeerConnection, timeout_s: float) -> None:
    """Wait until the peer has acknowledged what was sent, or the time is up.

    aiortc has no event for it, and `close` throws away what is queued: a last word would be lost.
    """
    sctp: Any = pc.sctp
    deadline = asyncio.get_running_loop().time() + timeout_s
    while (
        sctp._sent_queue or sctp._outbound_queue or sctp._data_channel_queue
    ) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.005)


def _dtls(pc: RTCPeerConnection) -> Any:
    assert pc.sctp is not None
    return pc.sctp.transport
