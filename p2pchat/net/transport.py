"""One peer connection with its two channels, from description to open (docs/protocol.md, 5)."""

import asyncio
import contextvars
import logging
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)

from p2pchat.net import aiortc_compat
from signaling import sdp
from signaling.sdp import Description

__all__ = ["BULK", "LIVE", "ConnectFailed", "Settings", "Transport"]

_log = logging.getLogger(__name__)
LIVE, BULK = 0, 1
_STAGES = {
    "ice": "no path to the peer was found",
    "dtls": "the encryption handshake got no answer",
    "sctp": "the data channels did not open",
}


class ConnectFailed(Exception):
    """No open channels. `stage` is ice, dtls or sctp."""

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


@dataclass(frozen=True, slots=True)
class Settings:
    """`stun`, `turn`: URLs (empty: none). `interfaces`: names (empty: all)."""

    stun: tuple[str, ...] = ()
    interfaces: tuple[str, ...] = ()


class Transport:
    """Made by `offering` or `answering`; close it with `aclose`, whatever happened."""

    def __init__(self, settings: Settings) -> None:
        aiortc_compat.install()
        # Always a list: without one aiortc asks a server of Google's.
        servers = [RTCIceServer(urls=list(settings.stun))] if settings.stun else []
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self._settings = settings
        self._changed = asyncio.Event()
        self._ended = False
        self.abused = ""
        self.on_closed: Callable[[], None] | None = None
        # Negotiated, and with handlers before anything can arrive: messages sent right after an
        # in-band open are lost when a handler comes late (aiortc#1194).
        self.live = self._channel("live", LIVE)
        self.bulk = self._channel("bulk", BULK)
        aiortc_compat.guard(self._pc, (LIVE, BULK), self._abuse)
        self._pc.on("connectionstatechange", self._on_state)

    @classmethod
    async def offering(cls, settings: Settings) -> "Transport":
        """A fresh offer, candidates gathered."""
        transport = cls(settings)
        try:
            await transport._describe(await transport._pc.createOffer())
        except BaseException:
            await transport.aclose()
            raise
        return transport

    @classmethod
    async def answering(cls, settings: Settings, offer: Description) -> "Transport":
        """The answer to an offer. Raises ConnectFailed if the offer cannot be used."""
        transport = cls(settings)
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
                while not (self.live.readyState == self.bulk.readyState == "open"):
                    if self._ended:
                        raise self._failure()
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise self._failure() from None

    @property
    def fingerprints(self) -> tuple[bytes, bytes]:
        return aiortc_compat.fingerprints(self._pc)

    @property
    def exporter(self) -> bytes:
        return aiortc_compat.exporter(self._pc)

    @property
    def path(self) -> Literal["direct", "relayed"]:
        pair = aiortc_compat.selected_pair(self._pc)
        relayed = pair is not None and "relay" in (pair[0].type, pair[1].type)
        return "relayed" if relayed else "direct"

    @property
    def same_host(self) -> bool:
        """Whether the peer is on this machine."""
        pair = aiortc_compat.selected_pair(self._pc)
        if pair is None:
            return False
        remote: str = pair[1].host
        return ip_address(remote).is_loopback or remote == pair[0].host

    async def drained(self, timeout_s: float) -> None:
        await aiortc_compat.drained(self._pc, timeout_s)

    async def aclose(self) -> None:
        """Close; the peer sees it at once. May be called again."""
        await self._pc.close()
        self._end()

    async def _describe(self, description: RTCSessionDescription) -> None:
        # In a context of its own, since aioice asks for the addresses deep below.
        context = contextvars.copy_context()
        context.run(aiortc_compat.interfaces.set, self._settings.interfaces)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pc.setLocalDescription(description), context=context)

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
        self._ended = True
        self._changed.set()
        if self.on_closed is not None:
            self.on_closed()

    def _abuse(self, why: str) -> None:
        _log.warning("a peer broke the transport's rules: %s", why)
        self.abused = why
        self._end()

    def _failure(self) -> ConnectFailed:
        stage = aiortc_compat.stage(self._pc)
        return ConnectFailed(stage, _STAGES[stage])
