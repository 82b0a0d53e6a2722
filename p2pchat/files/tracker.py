"""A WebTorrent tracker on loopback, for our own libtorrent alone.

libtorrent announces its WebRTC offers here; each goes, as a `Signal`, to one peer that `node` has
named, and what peers answer or offer comes back in. So files cross the same NATs as messages, with
no tracker elsewhere. (bittorrent-tracker's WebSocket protocol: JSON, binary strings as latin-1.)
"""

import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import WSMsgType, web

__all__ = ["Signal", "Swarms", "Tracker"]

_log = logging.getLogger(__name__)
_SDP_MAX = 8_192
_OFFERS_KEPT = 16
_OFFER_S = 45.0
"""How long an unused offer is good for: libtorrent gives up on it after 120 s."""
_ANNOUNCE_S = 60
_MESSAGE_MAX = 256 * 1024


@dataclass(frozen=True, slots=True)
class Signal:
    """`kind` is offer or answer; `peer` a token of the node's, 20 bytes."""

    peer: bytes
    info_hash: bytes
    kind: str
    offer_id: bytes
    sdp: str


@dataclass(slots=True)
class _Offer:
    offer_id: bytes
    sdp: str
    made: float


class Swarms:
    """Which offer goes to whom; no I/O.

    `Signal`s that leave are drained from `signals`; what is for libtorrent from `messages`.
    """

    def __init__(self) -> None:
        self._wanted: dict[bytes, dict[bytes, bool]] = {}
        self._fresh: dict[bytes, deque[_Offer]] = {}
        self.signals: deque[Signal] = deque()
        self.messages: deque[tuple[bytes, dict[str, object]]] = deque()

    def add(self, info_hash: bytes, peer: bytes, now: float) -> bool:
        """Offer to `peer` in this swarm. Whether libtorrent has to make a fresh offer first."""
        peers = self._wanted.setdefault(info_hash, {})
        if peers.get(peer):
            return False
        peers[peer] = False
        self._hand_out(info_hash, now)
        return not peers[peer]

    def drop(self, peer: bytes) -> None:
        for peers in self._wanted.values():
            peers.pop(peer, None)

    def again(self, info_hash: bytes, peer: bytes, now: float) -> bool:
        """The offer to `peer` came to nothing: as `add`."""
        self._wanted.get(info_hash, {}).pop(peer, None)
        return self.add(info_hash, peer, now)

    def announced(self, message: dict[str, object], now: float) -> bytes | None:
        """Take a message of libtorrent's; the info-hash to answer an announce for."""
        info_hash = _binary(message.get("info_hash"))
        if message.get("action") != "announce" or len(info_hash) != 20:
            return None
        answer = message.get("answer")
        if isinstance(answer, dict):
            sdp, offer_id = answer.get("sdp"), _binary(message.get("offer_id"))
            peer = _binary(message.get("to_peer_id"))
            if isinstance(sdp, str) and len(offer_id) == 20 and len(sdp) <= _SDP_MAX:
                self.signals.append(Signal(peer, info_hash, "answer", offer_id, sdp))
            return None
        fresh = self._fresh.setdefault(info_hash, deque(maxlen=_OFFERS_KEPT))
        offers = message.get("offers")
        for item in offers if isinstance(offers, list) else []:
            offer = item.get("offer") if isinstance(item, dict) else None
            sdp = offer.get("sdp") if isinstance(offer, dict) else None
            offer_id = _binary(item.get("offer_id")) if isinstance(item, dict) else b""
            if isinstance(sdp, str) and len(offer_id) == 20 and len(sdp) <= _SDP_MAX:
                fresh.append(_Offer(offer_id, sdp, now))
        self._hand_out(info_hash, now)
        return info_hash

    def deliver(self, signal: Signal) -> None:
        """A peer's offer or answer, for libtorrent."""
        if len(signal.offer_id) != 20 or len(signal.sdp) > _SDP_MAX:
            return
        self.messages.append(
            (
                signal.info_hash,
                {
                    "action": "announce",
                    "info_hash": signal.info_hash.decode("latin-1"),
                    "peer_id": signal.peer.decode("latin-1"),
                    "offer_id": signal.offer_id.decode("latin-1"),
                    signal.kind: {"type": signal.kind, "sdp": signal.sdp},
                },
            )
        )

    def _hand_out(self, info_hash: bytes, now: float) -> None:
        fresh = self._fresh.get(info_hash, deque())
        while fresh and now - fresh[0].made > _OFFER_S:
            fresh.popleft()
        peers = self._wanted.get(info_hash, {})
        for peer, offered in peers.items():
            if not offered and fresh:
                offer = fresh.popleft()
                peers[peer] = True
                self.signals.append(Signal(peer, info_hash, "offer", offer.offer_id, offer.sdp))


class Tracker:
    """The WebSocket around `Swarms`. `on_signal` is called for each signal that leaves."""

    def __init__(
        self, on_signal: Callable[[Signal], None], token: str, clock: Callable[[], float]
    ) -> None:
        self._on_signal = on_signal
        self._token = token
        self._clock = clock
        self._socket: web.WebSocketResponse | None = None
        self.swarms = Swarms()
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, on_signal: Callable[[Signal], None], token: str, clock: Callable[[], float]
    ) -> AsyncIterator["Tracker"]:
        """Listen on loopback. `token` keeps other users of this machine out."""
        tracker = cls(on_signal, token, clock)
        app = web.Application()
        app.router.add_get("/announce", tracker._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            tracker.url = f"ws://127.0.0.1:{port}/announce?token={token}"
            yield tracker
        finally:
            if tracker._socket is not None:
                await tracker._socket.close()
            await runner.cleanup()

    async def flush(self) -> None:
        """Send on what `swarms` has for either side."""
        while self.swarms.signals:
            self._on_signal(self.swarms.signals.popleft())
        while self.swarms.messages:
            _, message = self.swarms.messages.popleft()
            if self._socket is not None and not self._socket.closed:
                await self._socket.send_str(json.dumps(message))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("token") != self._token:
            raise web.HTTPForbidden
        socket = web.WebSocketResponse(max_msg_size=_MESSAGE_MAX)
        await socket.prepare(request)
        self._socket = socket
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            try:
                fields = json.loads(message.data)
            except ValueError:
                continue
            if not isinstance(fields, dict):
                continue
            info_hash = self.swarms.announced(fields, self._clock())
            if info_hash is not None:
                await socket.send_str(
                    json.dumps(
                        {
                            "action": "announce",
                            "info_hash": info_hash.decode("latin-1"),
                            "interval": _ANNOUNCE_S,
                            "complete": 0,
                            "incomplete": 0,
                        }
                    )
                )
            await self.flush()
        if self._socket is socket:
            self._socket = None
        return socket


def _binary(value: object) -> bytes:
    """A latin-1 string as the bytes it stands for; empty if it is none."""
    if not isinstance(value, str):
        return b""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return b""
