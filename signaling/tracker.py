"""A WebTorrent tracker: who takes part in which swarm, and whose offer goes to whom. No I/O.

    client says              the machine does
    announce, with offers    seats it; each offer goes to one other peer of the swarm, by chance
    answer                   goes to the peer whose offer it answers
    event stopped, or leaves frees its seat
    scrape                   counts

As bittorrent-tracker does it, with bounds. A peer id belongs to the source that seated it for as
long as that is there: else a stranger could have another's answers. Two peers that are complete
have nothing for each other, and get no offers of each other's.

Several instances share their seats: what one says (`Share`) the others take by `hear`. An offer or
answer for a peer that sits elsewhere is forwarded to whoever has it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from signaling import announce
from signaling.announce import ID_BYTES, Announce, Answer, Fields, Scrape
from signaling.rate import Deadlines, Rate

__all__ = [
    "INTERVAL_S",
    "Bounds",
    "Close",
    "Output",
    "Pause",
    "Peer",
    "Share",
    "Tell",
    "Tracker",
]

INTERVAL_S = 120
_SEAT_S = 2.5 * INTERVAL_S
"""A seat not announced for so long is free: one lost announce is forgiven."""
_FLOOD = 4429


@dataclass(frozen=True, slots=True)
class Bounds:
    swarms_each: int = 512
    """Per connection: a client has one to a tracker for all its torrents."""
    seats: int = 200_000
    messages_burst: float = 512.0
    messages_per_s: float = 50.0
    """Per source."""


@dataclass(slots=True, eq=False)
class Peer:
    """One connection; it may have several seats."""

    source: str
    seats: set[tuple[bytes, bytes]] = field(default_factory=set)

    @property
    def busy(self) -> bool:
        return bool(self.seats)


@dataclass(frozen=True, slots=True)
class Tell:
    peer: Peer
    fields: Fields


@dataclass(frozen=True, slots=True)
class Share:
    """For the other instances."""

    message: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Take nothing from this peer for so long."""

    peer: Peer
    seconds: float


@dataclass(frozen=True, slots=True)
class Close:
    peer: Peer
    code: int


Output = Tell | Share | Pause | Close


@dataclass(slots=True)
class _Seat:
    """`peer` is None where it sits at another instance."""

    peer: Peer | None
    source: str
    complete: bool


@dataclass(slots=True)
class _Swarm:
    """`order`: the peer ids in a list, so that choosing some by chance costs no walk."""

    seats: dict[bytes, _Seat] = field(default_factory=dict)
    order: list[bytes] = field(default_factory=list)
    places: dict[bytes, int] = field(default_factory=dict)
    complete: int = 0

    def put(self, peer_id: bytes, seat: _Seat) -> None:
        before = self.seats.get(peer_id)
        if before is None:
            self.places[peer_id] = len(self.order)
            self.order.append(peer_id)
        else:
            self.complete -= before.complete
        self.seats[peer_id] = seat
        self.complete += seat.complete

    def free(self, peer_id: bytes) -> _Seat | None:
        seat = self.seats.pop(peer_id, None)
        if seat is not None:
            self.complete -= seat.complete
            place, last = self.places.pop(peer_id), self.order.pop()
            if last != peer_id:
                self.order[place], self.places[last] = last, place
        return seat

    @property
    def incomplete(self) -> int:
        return len(self.seats) - self.complete


_Id = Annotated[bytes, msgspec.Meta(min_length=ID_BYTES, max_length=ID_BYTES)]


class _Seated(msgspec.Struct, frozen=True, array_like=True, tag=1):
    instance: bytes
    info_hash: _Id
    peer_id: _Id
    source: str
    complete: bool


class _Freed(msgspec.Struct, frozen=True, array_like=True, tag=2):
    instance: bytes
    info_hash: _Id
    peer_id: _Id


class _Forward(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """`offer`: whether `sdp` is one; else it is an answer. `to` and `of` are peer ids."""

    instance: bytes
    info_hash: _Id
    to: _Id
    of: _Id
    offer_id: _Id
    offer: bool
    sdp: Annotated[str, msgspec.Meta(max_length=2 * announce.SDP_MAX)]


_shared = msgspec.msgpack.Decoder(_Seated | _Freed | _Forward)
_encode = msgspec.msgpack.Encoder().encode


class Tracker:
    """`choose(n)` is a random number below n. `instance` tells instances from each other."""

    def __init__(self, bounds: Bounds, choose: Callable[[int], int], instance: bytes) -> None:
        self._bounds = bounds
        self._choose = choose
        self._instance = instance
        self._swarms: dict[bytes, _Swarm] = {}
        self._messages: Rate[str] = Rate(bounds.messages_burst, bounds.messages_per_s)
        self._seats: Deadlines[tuple[bytes, bytes]] = Deadlines()
        self.announces = self.offers = self.answers = self.malformed = 0

    @property
    def swarms(self) -> int:
        return len(self._swarms)

    @property
    def seats(self) -> int:
        return len(self._seats)

    def receive(self, peer: Peer, message: str, now: float) -> list[Output]:
        wait_s = self._messages.take(peer.source, now)
        if wait_s is None:
            return [Close(peer, _FLOOD)]
        outputs: list[Output]
        match announce.parse(message):
            case Announce() as said if len(said.peer_id) == ID_BYTES:
                self.announces += 1
                outputs = self._announce(peer, said, now)
            case Answer() as said if (said.info_hash, said.peer_id) in peer.seats:
                self.answers += 1
                outputs = self._pass_on(
                    said.info_hash,
                    said.to_peer_id,
                    said.peer_id,
                    announce.Offer(said.offer_id, said.sdp),
                    offer=False,
                )
            case Scrape(info_hashes):
                counts = {info_hash: self._counts(info_hash) for info_hash in info_hashes}
                outputs = [Tell(peer, announce.scraped(counts, INTERVAL_S))]
            case _:
                self.malformed += 1
                outputs = [Tell(peer, announce.failed("this is no message for a tracker"))]
        return [*outputs, Pause(peer, wait_s)] if wait_s > 0 else outputs

    def leave(self, peer: Peer) -> list[Output]:
        outputs: list[Output] = []
        for info_hash, peer_id in list(peer.seats):
            outputs += self._free(info_hash, peer_id)
        return outputs

    # -- announcing ----------------------------------------------------------------------------

    def _announce(self, peer: Peer, said: Announce, now: float) -> list[Output]:
        info_hash, peer_id = said.info_hash, said.peer_id
        seat = self._seat(info_hash, peer_id)
        if seat is not None and seat.source != peer.source:
            return [Tell(peer, announce.failed("this peer id is taken", info_hash))]
        if said.event == "stopped":
            outputs = self._free(info_hash, peer_id) if seat is not None else []
            return [*outputs, self._counted(peer, info_hash)]
        if (info_hash, peer_id) not in peer.seats:
            if len(peer.seats) >= self._bounds.swarms_each:
                return [Tell(peer, announce.failed("too many torrents", info_hash))]
            if seat is None and len(self._seats) >= self._bounds.seats:
                return [Tell(peer, announce.failed("this tracker is full", info_hash))]
        if seat is not None and seat.peer is not None:
            # It has come back by another connection.
            seat.peer.seats.discard((info_hash, peer_id))
        complete = said.event == "completed" or said.left == 0
        self._sit(info_hash, peer_id, _Seat(peer, peer.source, complete), now)
        peer.seats.add((info_hash, peer_id))
        outputs = [
            Share(_encode(_Seated(self._instance, info_hash, peer_id, peer.source, complete))),
            self._counted(peer, info_hash),
        ]
        others = self._some(info_hash, peer_id, len(said.offers), complete=complete)
        for other, offer in zip(others, said.offers, strict=False):
            self.offers += 1
            outputs += self._pass_on(info_hash, other, peer_id, offer, offer=True)
        return outputs

    def _some(self, info_hash: bytes, own: bytes, count: int, *, complete: bool) -> Sequence[bytes]:
        """Peer ids of others, by chance: of all, a window from a place that chance picks."""
        swarm = self._swarms[info_hash]
        size = len(swarm.order)
        start, found = self._choose(size), list[bytes]()
        # A few more than asked for: among them are ourselves, and who is complete like us.
        for step in range(min(size, 4 * count + 8)):
            if len(found) == count:
                break
            other = swarm.order[(start + step) % size]
            if other != own and not (complete and swarm.seats[other].complete):
                found.append(other)
        return found

    def _pass_on(
        self, info_hash: bytes, to: bytes, of: bytes, said: announce.Offer, *, offer: bool
    ) -> list[Output]:
        """An offer, or an answer, of one peer for another."""
        seat = self._seat(info_hash, to)
        if seat is None:
            return []
        if seat.peer is not None:
            return [Tell(seat.peer, _told(info_hash, of, said, offer=offer))]
        forward = _Forward(self._instance, info_hash, to, of, said.offer_id, offer, said.sdp)
        return [Share(_encode(forward))]

    def _counted(self, peer: Peer, info_hash: bytes) -> Tell:
        return Tell(peer, announce.announced(info_hash, INTERVAL_S, *self._counts(info_hash)))

    def _counts(self, info_hash: bytes) -> tuple[int, int]:
        swarm = self._swarms.get(info_hash)
        return (swarm.complete, swarm.incomplete) if swarm else (0, 0)

    # -- seats ---------------------------------------------------------------------------------

    def _seat(self, info_hash: bytes, peer_id: bytes) -> _Seat | None:
        swarm = self._swarms.get(info_hash)
        return swarm.seats.get(peer_id) if swarm else None

    def _sit(self, info_hash: bytes, peer_id: bytes, seat: _Seat, now: float) -> None:
        self._swarms.setdefault(info_hash, _Swarm()).put(peer_id, seat)
        self._seats.set((info_hash, peer_id), now + _SEAT_S)

    def _free(self, info_hash: bytes, peer_id: bytes) -> list[Output]:
        swarm = self._swarms.get(info_hash)
        seat = swarm.free(peer_id) if swarm else None
        if swarm is None or seat is None:
            return []
        if not swarm.seats:
            del self._swarms[info_hash]
        self._seats.drop((info_hash, peer_id))
        if seat.peer is None:
            return []
        seat.peer.seats.discard((info_hash, peer_id))
        return [Share(_encode(_Freed(self._instance, info_hash, peer_id)))]

    # -- other instances -----------------------------------------------------------------------

    def hear(self, message: bytes, now: float) -> list[Output]:
        """What another instance (or this one: it hears itself) has shared."""
        try:
            said = _shared.decode(message)
        except (msgspec.DecodeError, RecursionError):
            return []
        if said.instance == self._instance:
            return []
        seat = self._seat(said.info_hash, said.to if isinstance(said, _Forward) else said.peer_id)
        match said:
            case _Seated(_, info_hash, peer_id, source, complete):
                if seat is not None and seat.peer is not None:
                    # It has gone there from here.
                    seat.peer.seats.discard((info_hash, peer_id))
                if seat is not None or len(self._seats) < self._bounds.seats:
                    self._sit(info_hash, peer_id, _Seat(None, source, complete), now)
            case _Freed(_, info_hash, peer_id):
                if seat is not None and seat.peer is None:
                    self._free(info_hash, peer_id)
            case _Forward(_, info_hash, _, of, offer_id, is_offer, sdp):
                if seat is not None and seat.peer is not None:
                    told = _told(info_hash, of, announce.Offer(offer_id, sdp), offer=is_offer)
                    return [Tell(seat.peer, told)]
        return []

    # -- time ----------------------------------------------------------------------------------

    def handle_timer(self, now: float) -> None:
        for info_hash, peer_id in list(self._seats.over(now)):
            self._free(info_hash, peer_id)

    def next_timer(self) -> float | None:
        return self._seats.next_timer()


def _told(info_hash: bytes, of: bytes, said: announce.Offer, *, offer: bool) -> Fields:
    if offer:
        return announce.offer_for(info_hash, of, said)
    return announce.answer_for(Answer(info_hash, of, b"", said.offer_id, said.sdp))
