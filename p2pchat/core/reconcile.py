"""Reconciliation of one link: two members bring each other up to date (docs/protocol.md, 7).

Rules. Equal digests end it. Where they differ, both tell their heads, each wants what the other has
beyond its own, and `have` follows each commit: it is the acknowledgement and the credit for more.
New entries are pushed at once to a peer that is known to be level with their chain; one that is not
is told the chain's head, and wants them. Everything in flight is forgotten with the link and asked
for again on the next: there is nothing to resume but the heads themselves.

    from peer  when                     what is done
    summary    digests equal            in sync; send level
    level      of our present digest    in sync
    level      of an older one          send summary again
    summary    they differ              send heads
    heads      peer is ahead in a chain want that range; if asked, send heads
    want       -                        emit Load for as much as the credit allows
    run        continues its chain      Persist, Send have
    run        beyond our head          want what is missing
    run        known                    Send have
    run        forged                   Close
    have       -                        credit returns; PeerHas tells what the peer has on disk
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from p2pchat.core.bounds import HEADS_MAX, OUTSTANDING_BYTES, WANTS_MAX
from p2pchat.core.chain import Accepted, Chains, Verdict
from p2pchat.core.entry import Entry, chain_id, parse_header
from p2pchat.core.identity import Random, mac
from p2pchat.core.machine import Close, Emit, Output, Persist, Send
from p2pchat.core.wire import Have, Heads, Level, Row, Run, Summary, Want, encode

__all__ = ["Append", "Load", "PeerHas", "Progress", "Reconcile"]

_SUMMARY_S = 60.0
_LIVE_BYTES = 32_768
"""Longer frames go with the bulk, so that they delay no short one; `live` takes 64 KiB at most."""


@dataclass(frozen=True, slots=True)
class Append:
    """Commit these new entries of one chain."""

    room: bytes
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """Read a run from the store, and give it to `loaded`."""

    room: bytes
    chain: bytes
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class PeerHas:
    """The peer has `chain` on disk up to `seq`; `before` is what it was known to have."""

    room: bytes
    chain: bytes
    before: int
    seq: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the two differ, in entries; `level` once both are 0 after a comparison."""

    room: bytes
    behind: int
    ahead: int
    compared: bool

    @property
    def level(self) -> bool:
        return self.compared and not self.behind and not self.ahead


@dataclass(slots=True)
class _Side:
    """What is known of the peer in one room."""

    chains: Chains
    tag: bytes
    peer: dict[bytes, int] = field(default_factory=dict)
    """chain -> seq that the peer has on disk"""
    sent: dict[bytes, int] = field(default_factory=dict)
    """chain -> seq up to which we have sent, acknowledged or not"""
    wanted: dict[bytes, int] = field(default_factory=dict)
    """chain -> last seq asked for"""
    compared: bool = False
    told: bytes = b""
    """digest of the heads that we told last"""
    minute: bytes = b""
    """digest of our heads a minute ago"""
    shown: Progress | None = None


class Reconcile:
    """One link's side of it. `rooms` is shared with the node, and with the other links."""

    def __init__(self, transcript: bytes, random: Random, now: float) -> None:
        self._transcript = transcript
        self._random = random
        self._sides: dict[bytes, _Side] = {}
        self._tags: dict[bytes, bytes] = {}
        self._outputs: deque[Output] = deque()
        self._serving: deque[Want] = deque()
        self._loading = False
        self._flight: deque[tuple[bytes, bytes, int, int]] = deque()
        self._outstanding = 0
        self._due = now + self._jittered()

    # -- what the node says --------------------------------------------------------------------

    def share(self, chains: Chains) -> None:
        """The peer is a member of this room: begin to compare it."""
        if chains.room not in self._sides:
            tag = mac(chains.room, b"p2pchat/1/room", self._transcript)[:16]
            self._sides[chains.room] = _Side(chains, tag)
            self._tags[tag] = chains.room
        self.compare(chains.room)

    def replace(self, chains: Mapping[bytes, Chains]) -> None:
        """The node has loaded these rooms anew."""
        for room, fresh in chains.items():
            if room in self._sides:
                self._sides[room].chains = fresh

    def compare(self, room: bytes) -> None:
        """Ask for a comparison now."""
        side = self._sides.get(room)
        if side is not None:
            side.compared = False
            self._summarise(side)
            self._show(side)

    def push(self, room: bytes, entries: Sequence[Entry]) -> None:
        """These entries of one chain are on our disk; the peer may want them at once."""
        side = self._sides.get(room)
        if side is None or not entries:
            return
        chain, first, last = entries[0].chain, entries[0].header.seq, entries[-1].header.seq
        if side.peer.get(chain, -1) >= last:
            return
        ready = max(side.peer.get(chain, -1), side.sent.get(chain, -1)) == first - 1
        if ready and self._outstanding < OUTSTANDING_BYTES and entries[-1].signature is not None:
            self._run(side, entries, pushed=True)
        elif chain not in {want.chain for want in self._serving}:
            # Not level, or too much on the way: tell where the chain stands; the peer wants it.
            self._send(Heads(side.tag, (self._row(side, chain),), reply=False))
        self._show(side)

    def loaded(self, want: Load, entries: Sequence[Entry]) -> None:
        """The answer to a Load: entries of its chain, the last with its signature."""
        self._loading = False
        side = self._sides.get(want.room)
        if side is not None and self._serving and self._serving[0].chain == want.chain:
            head = self._serving.popleft()
            if entries:
                self._run(side, entries, pushed=False)
                reached = entries[-1].header.seq
                if reached < head.last:
                    self._serving.appendleft(Want(head.tag, head.chain, reached + 1, head.last))
                elif reached < side.chains.seq(head.chain):
                    # Written while this was served, and so not pushed.
                    self._send(Heads(side.tag, (self._row(side, head.chain),), reply=False))
        self._serve()

    def peer_seq(self, room: bytes, chain: bytes) -> int:
        """Up to where the peer has told to have `chain` on disk, -1 if not at all."""
        side = self._sides.get(room)
        return side.peer.get(chain, -1) if side is not None else -1

    def progress(self) -> list[Progress]:
        return [self._progress(side) for side in self._sides.values()]

    # -- the machine ---------------------------------------------------------------------------

    def receive(self, frame: Summary | Heads | Want | Run | Have | Level) -> None:
        room = self._tags.get(frame.tag)
        if room is None:
            return
        side = self._sides[room]
        match frame:
            case Summary(_, digest):
                self._summary(side, digest)
            case Heads(_, rows, reply):
                self._heads(side, rows, reply=reply)
            case Want():
                if len(self._serving) >= WANTS_MAX:
                    self._outputs.append(Close("bad-frame"))
                    return
                self._serving.append(frame)
                self._serve()
            case Run():
                self._take(side, frame)
            case Have(_, rows):
                self._had(side, rows)
            case Level(_, digest):
                self._levelled(side, digest)
        self._show(side)

    def handle_timer(self, now: float) -> None:
        if now >= self._due:
            self._due = now + self._jittered()
            for side in self._sides.values():
                digest = side.chains.digest()
                if side.minute == digest:
                    # Nothing came for a minute: what was wanted may be asked for again.
                    side.wanted.clear()
                side.minute = digest
                self._summarise(side)

    def next_timer(self) -> float | None:
        return self._due

    def outputs(self) -> Iterator[Output]:
        while self._outputs:
            yield self._outputs.popleft()

    # -- frames --------------------------------------------------------------------------------

    def _summary(self, side: _Side, digest: bytes) -> None:
        if digest == side.chains.digest():
            self._level(side)
            # Says so, since the peer may wait for it.
            self._send(Level(side.tag, digest))
        elif side.told != side.chains.digest():
            self._tell(side, reply=True)
        else:
            # Our heads were told already and did not help: the peer has to tell its own.
            self._send(Heads(side.tag, (), reply=True))

    def _heads(self, side: _Side, rows: Sequence[Row], *, reply: bool) -> None:
        for row in rows:
            self._peer_has(side, row.chain, row.seq)
            self._want(side, row.chain, row.seq)
        side.compared = True
        if reply and (not rows or side.told != side.chains.digest()):
            self._tell(side, reply=not rows)

    def _levelled(self, side: _Side, digest: bytes) -> None:
        # By the digest it names, not by the order of answers: ours may have moved meanwhile.
        if digest == side.chains.digest():
            self._level(side)
        elif not side.compared:
            self.compare(side.chains.room)

    def _level(self, side: _Side) -> None:
        for chain, head in side.chains.heads.items():
            self._peer_has(side, chain, head.seq)
        side.compared = True

    def _want(self, side: _Side, chain: bytes, last: int) -> None:
        own = side.chains.seq(chain)
        asked = max(own, side.wanted.get(chain, -1))
        if last > asked and chain not in side.chains.forked:
            side.wanted[chain] = last
            self._send(Want(side.tag, chain, asked + 1, last))

    def _take(self, side: _Side, run: Run) -> None:
        chains = side.chains
        result = chains.accept(run.headers, run.bodies, run.signature)
        match result:
            case Accepted(entries):
                chain, seq = entries[0].chain, entries[-1].header.seq
                self._outputs.append(Persist(Append(chains.room, entries)))
                self._peer_has(side, chain, seq)
                if side.wanted.get(chain, -1) <= seq:
                    side.wanted.pop(chain, None)
                self._send(Have(side.tag, (self._row(side, chain),)))
            case Verdict.BAD:
                self._outputs.append(Close("bad-frame"))
            case Verdict.FORKED:
                pass
            case Verdict.KNOWN | Verdict.GAP:
                first, last = parse_header(run.headers[0]), parse_header(run.headers[-1])
                assert first is not None
                chain = chain_id(first.room, first.device, first.incarnation)
                if result is Verdict.KNOWN:
                    self._send(Have(side.tag, (self._row(side, chain),)))
                elif last is not None:
                    # A push that overtook the backlog: only what nobody asked for yet is wanted.
                    self._want(side, chain, last.seq)

    def _had(self, side: _Side, rows: Sequence[Row]) -> None:
        for row in rows:
            self._peer_has(side, row.chain, row.seq)
            keep: deque[tuple[bytes, bytes, int, int]] = deque()
            for item in self._flight:
                room, chain, last, size = item
                if room == side.chains.room and chain == row.chain and last <= row.seq:
                    self._outstanding -= size
                else:
                    keep.append(item)
            self._flight = keep
        self._serve()

    # -- parts ---------------------------------------------------------------------------------

    def _serve(self) -> None:
        while self._serving and not self._loading and self._outstanding < OUTSTANDING_BYTES:
            want = self._serving[0]
            room = self._tags.get(want.tag)
            side = self._sides[room] if room is not None else None
            if side is None or side.chains.seq(want.chain) < want.first:
                self._serving.popleft()
                continue
            self._loading = True
            load = Load(side.chains.room, want.chain, want.first, want.last)
            self._outputs.append(Emit(load))

    def _run(self, side: _Side, entries: Sequence[Entry], *, pushed: bool) -> None:
        last = entries[-1]
        assert last.signature is not None
        frame = encode(
            Run(
                side.tag,
                tuple(entry.raw for entry in entries),
                tuple(entry.body for entry in entries),
                last.signature,
                pushed,
            )
        )
        side.sent[last.chain] = last.header.seq
        self._flight.append((side.chains.room, last.chain, last.header.seq, len(frame)))
        self._outstanding += len(frame)
        self._outputs.append(Send(frame, bulk=not pushed or len(frame) > _LIVE_BYTES))

    def _tell(self, side: _Side, *, reply: bool) -> None:
        heads = side.chains.heads
        side.told = side.chains.digest()
        rows = [Row(chain, head.seq, head.id) for chain, head in heads.items()]
        for start in range(0, max(1, len(rows)), HEADS_MAX // 2):
            part = tuple(rows[start : start + HEADS_MAX // 2])
            self._send(Heads(side.tag, part, reply=reply and start == 0))

    def _row(self, side: _Side, chain: bytes) -> Row:
        head = side.chains.heads[chain]
        return Row(chain, head.seq, head.id)

    def _peer_has(self, side: _Side, chain: bytes, seq: int) -> None:
        before = side.peer.get(chain, -1)
        if seq > before:
            side.peer[chain] = seq
            self._outputs.append(Emit(PeerHas(side.chains.room, chain, before, seq)))

    def _progress(self, side: _Side) -> Progress:
        own = side.chains
        # A forked chain stops here, so it is nothing that could still come.
        behind = sum(
            max(0, seq - own.seq(chain))
            for chain, seq in side.peer.items()
            if chain not in own.forked
        )
        ahead = sum(
            max(0, head.seq - side.peer.get(chain, -1)) for chain, head in own.heads.items()
        )
        return Progress(own.room, behind, ahead, side.compared)

    def _show(self, side: _Side) -> None:
        progress = self._progress(side)
        if progress != side.shown:
            side.shown = progress
            self._outputs.append(Emit(progress))

    def _send(self, frame: Summary | Heads | Want | Have | Level) -> None:
        self._outputs.append(Send(encode(frame)))

    def _summarise(self, side: _Side) -> None:
        self._send(Summary(side.tag, side.chains.digest(), side.chains.total))

    def _jittered(self) -> float:
        return _SUMMARY_S * (0.75 + self._random(1)[0] / 512)
