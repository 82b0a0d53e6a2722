"""A WebTorrent tracker on loopback, for our own libtorrent alone.

libtorrent announces its WebRTC offers here; each goes, as a `Signal`, to one peer that `node` has
named, and what peers answer or offer comes back in. So files cross the same NATs as messages, with
no tracker elsewhere. The words are those of any WebTorrent tracker: `signaling.announce`.
"""

import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from signaling import announce
from signaling.announce import ID_BYTES, MESSAGE_MAX, SDP_MAX, Announce, Answer

__all__ = ["Signal", "Swarms", "Tracker"]

_log = logging.getLogger(__name__)
_CANDIDATES_MAX = 16
"""Each makes libtorrent send checks to an address that a peer has chosen."""
_OFFERS_KEPT = 16
_OFFERS_HELD = 16
_OFFER_S = 25.0
"""How long an unused offer is good for: libtorrent gives up on it after 30 s."""
_ANSWER_S = 20.0
"""An offer not answered for so long is lost, and its peer gets the next one."""
_AGAIN_S = 3.0
"""Both ends of a new link tell each other of a swarm at once; that is one occasion, not two."""
_HANDED_MAX = 1_024
_OFFERS_TAKEN, _TAKEN_S = 32, 60.0
"""From one peer; each offer costs libtorrent a PeerConnection."""
_QUEUE_MAX = 256
_ANNOUNCE_S, _ANNOUNCE_SOON_S = 60, 5


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


@dataclass(slots=True)
class _Seat:
    """A peer of a swarm. `offered`: when; None if it still waits for an offer."""

    offered: float | None = None
    answered: bool = False


class Swarms:
    """Which offer goes to whom; no I/O.

    `Signal`s that leave are drained from `signals`; what is for libtorrent from `messages`; the
    info-hashes that libtorrent has to announce before it takes more offers, from `starved`.
    `addresses`: the only ones of ours that offers and answers may name; None: all of them.
    """

    def __init__(self, addresses: Collection[str] | None = None) -> None:
        self._addresses = addresses
        self._seats: dict[bytes, dict[bytes, _Seat]] = {}
        self._fresh: dict[bytes, deque[_Offer]] = {}
        self._handed: dict[tuple[bytes, bytes], bytes] = {}
        # How many more offers libtorrent will look at; those for which it has to announce first.
        self._quota: dict[bytes, int] = {}
        self._held: dict[bytes, deque[dict[str, object]]] = {}
        self._taken: dict[bytes, int] = {}
        self._taken_since = 0.0
        self.signals: deque[Signal] = deque(maxlen=_QUEUE_MAX)
        self.messages: deque[tuple[bytes, dict[str, object]]] = deque(maxlen=_QUEUE_MAX)
        self.starved: deque[bytes] = deque(maxlen=_QUEUE_MAX)

    def add(self, info_hash: bytes, peer: bytes, now: float) -> bool:
        """Offer to `peer` in this swarm. Whether libtorrent has to make a fresh offer first."""
        seat = self._seats.setdefault(info_hash, {}).setdefault(peer, _Seat())
        if seat.offered is None:
            self._hand_out(info_hash, now)
        return seat.offered is None

    def drop(self, peer: bytes) -> None:
        """The link to `peer` is gone."""
        for seats in self._seats.values():
            seats.pop(peer, None)
        self._handed = {key: whose for key, whose in self._handed.items() if whose != peer}
        # What it has taken stays counted: dropping a link must not buy new offers.

    def forget(self, info_hash: bytes) -> None:
        """We no longer take part in this swarm."""
        self._seats.pop(info_hash, None)
        self._fresh.pop(info_hash, None)
        self._held.pop(info_hash, None)
        self._quota.pop(info_hash, None)
        self._handed = {key: peer for key, peer in self._handed.items() if key[0] != info_hash}

    def again(self, info_hash: bytes, peer: bytes, now: float) -> bool:
        """The offer to `peer` came to nothing: as `add`."""
        seat = self._seats.get(info_hash, {}).get(peer)
        if seat is not None and seat.offered is not None:
            if now - seat.offered < _AGAIN_S:
                return False
            seat.offered, seat.answered = None, False
        return self.add(info_hash, peer, now)

    def waiting(self, info_hash: bytes) -> bool:
        """Whether somebody in this swarm still needs an offer."""
        return any(seat.offered is None for seat in self._seats.get(info_hash, {}).values())

    def announced(self, message: dict[str, object], now: float) -> bytes | None:
        """Take a message of libtorrent's; the info-hash to answer an announce for."""
        said = announce.read(message)
        if isinstance(said, Answer):
            sdp = _tidy(said.sdp, self._addresses)
            if sdp:
                self.signals.append(
                    Signal(said.to_peer_id, said.info_hash, "answer", said.offer_id, sdp)
                )
        if not isinstance(said, Announce):
            return None
        info_hash = said.info_hash
        fresh = self._fresh.setdefault(info_hash, deque(maxlen=_OFFERS_KEPT))
        begun = said.event in ("started", "stopped")
        if begun:
            # libtorrent has dropped all connections of this torrent, and what it had offered.
            fresh.clear()
        for seat in self._seats.get(info_hash, {}).values():
            unanswered = seat.offered is not None and not seat.answered
            if begun or (unanswered and now - (seat.offered or 0.0) > _ANSWER_S):
                seat.offered, seat.answered = None, False
        for offer in said.offers:
            sdp = _tidy(offer.sdp, self._addresses)
            if sdp:
                fresh.append(_Offer(offer.offer_id, sdp, now))
        self._hand_out(info_hash, now)
        self._quota[info_hash] = said.wanted
        self._let_in(info_hash)
        return info_hash

    def deliver(self, signal: Signal) -> None:
        """A peer's offer or answer, for libtorrent. What no honest peer sends is left out."""
        key = signal.info_hash, signal.offer_id
        sdp = _tidy(signal.sdp, None)
        if len(signal.offer_id) != ID_BYTES or len(signal.info_hash) != ID_BYTES or not sdp:
            return
        if signal.kind == "answer":
            # Once, and only from whom the offer went to.
            if self._handed.get(key) != signal.peer:
                return
            del self._handed[key]
            seat = self._seats.get(signal.info_hash, {}).get(signal.peer)
            if seat is not None:
                seat.answered = True
        elif signal.kind == "offer":
            taken = self._taken.get(signal.peer, 0)
            if taken >= _OFFERS_TAKEN:
                return
            self._taken[signal.peer] = taken + 1
        else:
            return
        if signal.kind == "answer":
            answer = Answer(signal.info_hash, signal.peer, b"", signal.offer_id, sdp)
            self.messages.append((signal.info_hash, announce.answer_for(answer)))
        else:
            offer = announce.Offer(signal.offer_id, sdp)
            message = announce.offer_for(signal.info_hash, signal.peer, offer)
            held = self._held.setdefault(signal.info_hash, deque(maxlen=_OFFERS_HELD))
            held.append(message)
            self._let_in(signal.info_hash)
            if held:
                self.starved.append(signal.info_hash)

    def _let_in(self, info_hash: bytes) -> None:
        """libtorrent (2.1.1) drops the offers beyond as many as its last announce has asked for."""
        held = self._held.get(info_hash)
        while held and self._quota.get(info_hash, 0) > 0:
            self._quota[info_hash] -= 1
            self.messages.append((info_hash, held.popleft()))

    def renew(self, now: float) -> None:
        """Time has passed: whoever has offered much may offer again."""
        if now - self._taken_since >= _TAKEN_S:
            self._taken_since = now
            self._taken.clear()

    def _hand_out(self, info_hash: bytes, now: float) -> None:
        fresh = self._fresh.get(info_hash, deque())
        while fresh and now - fresh[0].made > _OFFER_S:
            fresh.popleft()
        for peer, seat in self._seats.get(info_hash, {}).items():
            if seat.offered is None and fresh:
                offer = fresh.popleft()
                seat.offered = now
                self._handed[info_hash, offer.offer_id] = peer
                if len(self._handed) > _HANDED_MAX:
                    self._handed.pop(next(iter(self._handed)))
                self.signals.append(Signal(peer, info_hash, "offer", offer.offer_id, offer.sdp))


def _tidy(sdp: str, addresses: Collection[str] | None) -> str:
    """A description with few candidates, of UDP, at `addresses`; empty if it is none at all.

    `a=candidate:foundation component transport priority address port typ …` (RFC 8839, 5.1).
    """
    if len(sdp) > SDP_MAX:
        return ""
    lines, candidates = [], 0
    for line in sdp.splitlines():
        if line.startswith("a=candidate:"):
            fields = line.split()
            if len(fields) < 8 or fields[2].lower() != "udp" or candidates == _CANDIDATES_MAX:
                continue
            if addresses is not None and fields[7] == "host" and fields[4] not in addresses:
                continue
            candidates += 1
        lines.append(line + "\r\n")
    return "".join(lines)


class Tracker:
    """The WebSocket around `Swarms`. `on_signal` is called for each signal that leaves.

    `on_starved` is called with an info-hash for which libtorrent has to announce itself again.
    """

    def __init__(
        self,
        on_signal: Callable[[Signal], None],
        on_starved: Callable[[bytes], None],
        token: str,
        clock: Callable[[], float],
        addresses: Collection[str] | None,
    ) -> None:
        self._on_signal = on_signal
        self._on_starved = on_starved
        self._token = token
        self._clock = clock
        self._socket: web.WebSocketResponse | None = None
        self.swarms = Swarms(addresses)
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        on_signal: Callable[[Signal], None],
        on_starved: Callable[[bytes], None],
        token: str,
        clock: Callable[[], float],
        *,
        addresses: Collection[str] | None = None,
    ) -> AsyncIterator["Tracker"]:
        """Listen on loopback. `token` keeps other users of this machine out.

        `addresses`: the only ones of ours that may be told to peers; None: all of them, since
        libtorrent gathers candidates on every interface whatever it listens on.
        """
        tracker = cls(on_signal, on_starved, token, clock, addresses)
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

    async def deliver(self, signal: Signal) -> None:
        """A peer's offer or answer, on its way to libtorrent."""
        self.swarms.deliver(signal)
        await self.flush()

    async def flush(self) -> None:
        """Send on what `swarms` has for either side."""
        self.swarms.renew(self._clock())
        while self.swarms.signals:
            self._on_signal(self.swarms.signals.popleft())
        while self.swarms.messages:
            _, message = self.swarms.messages.popleft()
            await self._tell(message)
        while self.swarms.starved:
            self._on_starved(self.swarms.starved.popleft())

    async def _tell(self, message: dict[str, object]) -> None:
        if self._socket is not None and not self._socket.closed:
            try:
                await self._socket.send_str(json.dumps(message))
            except ConnectionError:
                # libtorrent died; it announces anew when it is back.
                _log.debug("libtorrent is not there to hear")

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("token") != self._token:
            raise web.HTTPForbidden
        socket = web.WebSocketResponse(max_msg_size=MESSAGE_MAX)
        await socket.prepare(request)
        self._socket = socket
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await self._hear(message.data)
        if self._socket is socket:
            self._socket = None
        return socket

    async def _hear(self, text: str) -> None:
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            return
        if not isinstance(fields, dict):
            return
        info_hash = self.swarms.announced(fields, self._clock())
        if info_hash is not None:
            # Who has all has nobody to look for.
            waiting = fields.get("left") != 0 and self.swarms.waiting(info_hash)
            interval_s = _ANNOUNCE_SOON_S if waiting else _ANNOUNCE_S
            await self._tell(announce.announced(info_hash, interval_s, 0, 0))
        await self.flush()
