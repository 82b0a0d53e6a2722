"""One peer connection with its two channels, from description to open (docs/protocol.md, 5)."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal

from p2pchat.errors import Usage
from p2pchat.net import aiortc_compat
from p2pchat.net.aiortc_compat import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from p2pchat.net.channel import Channel
from p2pchat.net.servers import Relay, Servers
from signaling import sdp
from signaling.sdp import Description

__all__ = ["BULK", "LIVE", "ConnectFailed", "Settings", "Transport"]

_log = logging.getLogger(__name__)
LIVE, BULK = 0, 1
_KEEP_ALIVE_S = 15.0
"""Half of the 30 s after which the shortest-lived NATs in use forget a UDP binding (RFC 4787)."""
_STAGES = {
    "ice": "no path to the peer was found",
    "dtls": "the encryption handshake got no answer",
    "sctp": "the data channels did not open",
}


class ConnectFailed(Exception):
    """No open channels. `stage`: where it stopped, ice, dtls or sctp."""

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


@dataclass(frozen=True, slots=True)
class Settings:
    """`stun`, `turn`: URLs (empty: none). `interfaces`: names (empty: all).

    TURN: `turn:user:password@host:port`, the first that answers is used. `servers`: what is known
    of them, for all connections with these settings.
    """

    stun: tuple[str, ...] = ()
    interfaces: tuple[str, ...] = ()
    turn: tuple[str, ...] = ()
    servers: Servers = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "servers", Servers(self.stun, self.turn))


class Transport:
    """Made by `offering` or `answering`; close it with `aclose`, whatever happened."""

    def __init__(self, settings: Settings, stun_url: str | None, relay: Relay | None) -> None:
        aiortc_compat.install()
        self._settings = settings
        self._pc = _connection(stun_url, relay)
        self._changed = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None
        self.ended = False
        self.abused = ""
        self.on_closed: Callable[[], None] | None = None
        # Negotiated, and with handlers before anything can arrive: messages sent right after an
        # in-band open are lost when a handler comes late (aiortc#1194).
        self.live = Channel(self._channel("live", LIVE), self._abuse, cut=False)
        self.bulk = Channel(self._channel("bulk", BULK), self._abuse, cut=True)
        aiortc_compat.guard(self._pc, (LIVE, BULK), self._abuse)
        aiortc_compat.hasten(self._pc)
        aiortc_compat.prefer_direct(self._pc)
        self._pc.on("connectionstatechange", self._on_state)

    @classmethod
    async def offering(cls, settings: Settings) -> "Transport":
        """A fresh offer, candidates gathered. Raises Usage on a malformed STUN or TURN URL."""
        transport = cls(settings, *await _live(settings))
        try:
            await transport._describe(await transport._pc.createOffer())
        except BaseException:
            await transport.aclose()
            raise
        return transport

    @classmethod
    async def answering(cls, settings: Settings, offer: Description) -> "Transport":
        """The answer to an offer. Raises ConnectFailed if the offer cannot be used."""
        transport = cls(settings, *await _live(settings))
        try:
            await transport._accept(offer, "offer")
            await transport._describe(await transport._pc.createAnswer())
        except BaseException:
            await transport.aclose()
            raise
        return transport

    @property
    def description(self) -> Description:
        """Our own side."""
        return sdp.parse(self._pc.localDescription.sdp)

    async def accept(self, answer: Description) -> None:
        """Take the answer to our offer. Raises ConnectFailed."""
        await self._accept(answer, "answer")

    async def opened(self, timeout_s: float) -> None:
        """Until both channels are open. Raises ConnectFailed, naming the stage that was reached."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.keep_alive()
        except TimeoutError:
            raise self._failure() from None
        if self.ended:
            raise self._failure()

    async def keep_alive(self) -> None:
        """Keep our place reachable until the channels are open, or never will be.

        For an offer whose answer a person has yet to paste. `opened` does the same while it waits.
        """
        while not self.ended and not (self.live.is_open and self.bulk.is_open):
            self._changed.clear()
            try:
                async with asyncio.timeout(_KEEP_ALIVE_S):
                    await self._changed.wait()
            except TimeoutError:
                aiortc_compat.keep_bindings(self._pc)
                aiortc_compat.check_again(self._pc)

    @property
    def fingerprints(self) -> tuple[bytes, bytes]:
        """SHA-256 of our own and of the peer's certificate, 32 bytes each, once opened."""
        return aiortc_compat.fingerprints(self._pc)

    @property
    def exporter(self) -> bytes:
        """32 bytes that only the two ends of this connection know, once opened."""
        return aiortc_compat.exporter(self._pc)

    @property
    def path(self) -> Literal["direct", "relayed"]:
        pair = aiortc_compat.selected_pair(self._pc)
        relayed = pair is not None and "relay" in (pair[0].type, pair[1].type)
        return "relayed" if relayed else "direct"

    @property
    def local_address(self) -> str | None:
        """The address of this machine that the path begins at, if it is not by a relay."""
        pair = aiortc_compat.selected_pair(self._pc)
        return None if pair is None or pair[0].type == "relay" else str(pair[0].host)

    @property
    def same_host(self) -> bool:
        """Whether the peer is on this machine."""
        pair = aiortc_compat.selected_pair(self._pc)
        if pair is None:
            return False
        remote: str = pair[1].host
        return ip_address(remote).is_loopback or remote == pair[0].host

    async def drained(self, timeout_s: float) -> None:
        """Until the peer has acknowledged all that was sent, or the time is up."""
        await aiortc_compat.drained(self._pc, timeout_s)

    async def aclose(self) -> None:
        """Close; the peer sees it at once. May be called again, and cancelled."""
        if self._closing is None:
            # A task, since aiortc's close, once cancelled half way, never ends when called again.
            # It is bounded, and whoever closes waits for it.
            self._closing = asyncio.get_running_loop().create_task(aiortc_compat.close(self._pc))
        await asyncio.shield(self._closing)
        self._end()

    async def _describe(self, description: RTCSessionDescription) -> None:
        # aioice asks for the addresses deep below, in this very task.
        token = aiortc_compat.interfaces.set(self._settings.interfaces)
        try:
            await self._pc.setLocalDescription(description)
        finally:
            aiortc_compat.interfaces.reset(token)

    async def _accept(self, description: Description, kind: Literal["offer", "answer"]) -> None:
        text = sdp.render(description, offer=kind == "offer")
        try:
            await self._pc.setRemoteDescription(RTCSessionDescription(sdp=text, type=kind))
        except Exception as error:  # aiortc raises what it likes on a description it dislikes
            raise ConnectFailed("ice", f"the peer's description was not usable: {error}") from error

    def _channel(self, label: str, id_: int) -> RTCDataChannel:
        channel = self._pc.createDataChannel(label, negotiated=True, id=id_)
        channel.on("open", self._changed.set)
        channel.on("close", self._end)
        return channel

    def _on_state(self) -> None:
        if self._pc.connectionState in ("failed", "closed"):
            self._end()

    def _end(self) -> None:
        self.ended = True
        self._changed.set()
        if self.on_closed is not None:
            self.on_closed()

    def _abuse(self, why: str) -> None:
        if not self.abused:
            _log.warning("a peer broke the transport's rules: %s", why)
            self.abused = why
        self._end()

    def _failure(self) -> ConnectFailed:
        stage = aiortc_compat.stage(self._pc)
        if self.abused:
            return ConnectFailed(stage, f"the peer broke the rules: {self.abused}")
        return ConnectFailed(stage, _STAGES[stage])


async def _live(settings: Settings) -> tuple[str | None, Relay | None]:
    try:
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(settings.servers.stun())
            relaying = tasks.create_task(settings.servers.turn())
    except* ValueError as group:
        raise _malformed(str(group.exceptions[0])) from group
    stun_url, relay = asked.result(), relaying.result()
    if stun_url is None and settings.stun:
        _log.info("no STUN server answered; going on without")
    if relay is None and settings.turn:
        _log.info("no TURN server answered; going on without")
    return stun_url, relay


def _connection(stun_url: str | None, relay: Relay | None) -> RTCPeerConnection:
    servers = [RTCIceServer(urls=stun_url)] if stun_url is not None else []
    if relay is not None:
        servers.append(
            RTCIceServer(urls=relay.url, username=relay.username, credential=relay.password)
        )
    # Always a list: without one aiortc asks a server of Google's.
    return RTCPeerConnection(RTCConfiguration(iceServers=servers))


def _malformed(message: str) -> Usage:
    return Usage(
        "config-malformed",
        message,
        "write stun:host:port in net.stun, turn:user:password@host:port in net.turn",
    )
