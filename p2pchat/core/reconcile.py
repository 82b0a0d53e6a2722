"""Reconciliation of one link: two members bring each other up to date (docs/protocol.md, 7).

Rules. Equal digests end it. Where they differ, both tell their heads, each wants what the other has
beyond its own, and `have` follows each commit: it is the acknowledgement and the credit for more.
New entries are pushed at once to a peer that is known to be level with their chain; one that is not
is told the chain's head, and wants them. Everything in flight is forgotten with the link and asked
for again on the next: there is nothing to resume but the heads themselves.

One link at a time is asked for a chain (`side`). What came by another link is told by `have`, so
that a peer asked before sends it no more. How much is on its way at once is `credit`'s to say.

    from peer  when                     what is done
    summary    digests equal            in sync; send level
    level      of our present digest    in sync
    level      of an older one          send summary again
    summary    they differ              send heads
    heads      peer is ahead in a chain want that range, unless another link is asked for it;
                                        if asked, send heads
    want       -                        emit Load for as much as the credit allows
    run        continues its chain      Persist, Send have
    run        beyond our head          want what is missing
    run        known                    Send have
    run        forged                   Close
    run        contradicts our chain    Emit Forked, send fork once the node has both halves
    fork       proves it                Emit Forked; nothing more is taken of that chain
    heads      same place, other id     want that entry: it proves a fork
    run        its author is no member  send decline, or its part that counts is taken first
    decline    -                        credit returns; Emit Declined: the node sends its acts
    contested  -                        Emit Contests
    have       -                        credit returns; PeerHas tells what the peer has on disk;
                                        what is wanted shrinks to what it lacks
"""

from collections import deque
from collections.abc import Iterator, Sequence

from p2pchat.core import wire
from p2pchat.core.bounds import (
    CONTESTED_MAX,
    HEADS_TOLD,
    LIVE_BYTES_MAX,
    RUN_BYTES,
    WANTS_MAX,
)
from p2pchat.core.brief import in_brief
from p2pchat.core.chain import CHAINS_MAX, Accepted, Chains, Fork, ForkProof, Verdict
from p2pchat.core.credit import Credit
from p2pchat.core.entry import Entry, chain_id, parse_header
from p2pchat.core.facts import Append, Contests, Declined, Forked, Load, PeerHas, Progress
from p2pchat.core.identity import Random, mac
from p2pchat.core.machine import Close, Emit, Output, Persist, Send
from p2pchat.core.pushing import PUSH_BYTES, is_short
from p2pchat.core.side import Side
from p2pchat.core.wire import (
    Have,
    Heads,
    Level,
    RoomFrame,
    Row,
    Run,
    SignedAct,
    Summary,
    Want,
    encode,
)

__all__ = ["Reconcile"]

_SUMMARY_S = 60.0
_LOOK_S = 1.0
"""How often a link looks after what it lacks."""
_PROOFS_MAX = 64
"""Proofs of forks told when a link begins, any of them where there are more."""
_SHORT = 16
"""Entries; a want of fewer is served before those of more."""
_ASIDE_BYTES = 4 * RUN_BYTES
"""Credit that a backlog leaves to what is written meanwhile."""
_SHOWN_BYTES = LIVE_BYTES_MAX - 64
"""Acts of one frame, for `live`, but for one that is larger alone."""


class Reconcile:
    """One link's side of it. `rooms` is shared with the node, and with the other links."""

    def __init__(self, transcript: bytes, random: Random, now: float) -> None:
        self._transcript = transcript
        self._random = random
        self._sides: dict[bytes, Side] = {}
        self._tags: dict[bytes, bytes] = {}
        self._outputs: deque[Output] = deque()
        self._serving: deque[Want] = deque()
        self._loading = False
        self._credit = Credit()
        self._due = now + self._jittered()
        self._looked = now

    # -- what the node says --------------------------------------------------------------------

    def shows(self, room: bytes) -> bool | None:
        """Whether the room is shared with the peer; None: it knows nothing of it from us."""
        side = self._sides.get(room)
        return None if side is None else not side.closed

    def share(self, chains: Chains) -> None:
        """The peer is a member of this room: begin to compare it."""
        if self.shows(chains.room):
            return
        side = self._side(chains)
        side.closed = False
        proofs = [proof for proof in chains.forks.values() if proof is not None]
        if len(proofs) > _PROOFS_MAX:
            # Others on another link, so that all come round.
            first = int.from_bytes(self._random(4), "big") % len(proofs)
            proofs = (proofs[first:] + proofs[:first])[:_PROOFS_MAX]
        for proof in proofs:
            self.prove(chains.room, proof)
        self.compare(chains.room)

    def close(self, chains: Chains) -> None:
        """The peer is no member of this room any more: all it may have is the acts about it."""
        side = self._side(chains)
        side.closed = True
        for chain in list(side.asked):
            side.free(chain)
        self._serving = deque(want for want in self._serving if want.tag != side.tag)
        self._credit.forget(chains.room)
        side.parked.clear()
        self._serve()

    def drop(self, room: bytes) -> None:
        """We do not have this room any more."""
        side = self._sides.get(room)
        if side is not None:
            self.close(side.chains)
            del self._sides[room], self._tags[side.tag]

    def contest(self, room: bytes, acts: Sequence[SignedAct]) -> None:
        """Show acts of membership to the peer, member or not."""
        side = self._sides.get(room)
        if side is not None:
            for part in _shown_together(acts):
                self._outputs.append(_sent(wire.Contested(side.tag, part)))

    def _side(self, chains: Chains) -> Side:
        side = self._sides.get(chains.room)
        if side is None:
            tag = mac(chains.room, b"p2pchat/1/room", self._transcript)[:16]
            side = self._sides[chains.room] = Side(chains, tag)
            self._tags[tag] = chains.room
        return side

    def compare(self, room: bytes) -> None:
        """Ask for a comparison now."""
        side = self._sides.get(room)
        if side is not None and not side.closed:
            side.compared = False
            side.weigh_all()
            self._summarise(side)
            self._show(side)

    def weigh(self, room: bytes) -> None:
        """Chains were taken out: say by how much the two differ now."""
        side = self._sides.get(room)
        if side is not None and not side.closed:
            # What comes back is to be told and acknowledged anew.
            side.named.clear()
            side.answered.clear()
            side.weigh_all()
            self._show(side)

    def tag(self, room: bytes) -> bytes | None:
        """What this room is called on this link; None if it is not shared on it."""
        side = self._sides.get(room)
        return side.tag if side is not None and not side.closed else None

    def room(self, tag: bytes) -> bytes | None:
        """The room that the peer calls so; None if it is not shared on this link any more."""
        room = self._tags.get(tag)
        return room if room is not None and not self._sides[room].closed else None

    def prove(self, room: bytes, proof: ForkProof) -> None:
        """Tell of a fork that is proven."""
        side = self._sides.get(room)
        if side is not None and not side.closed:
            self._send(side, wire.Fork(side.tag, proof))
            side.weigh_all()
            self._show(side)

    def end(self) -> None:
        """The link is gone: what it was asked for is free for others."""
        for side in self._sides.values():
            for chain in list(side.asked):
                side.free(chain)
        self._sides.clear()
        self._tags.clear()

    def push(self, room: bytes, entries: Sequence[Entry]) -> None:
        """These entries of one chain are on our disk, from here or by another link."""
        side = self._sides.get(room)
        if side is None or side.closed or not entries:
            return
        chain, first, last = entries[0].chain, entries[0].header.seq, entries[-1].header.seq
        parked = side.parked.pop(chain, None)
        if parked is not None:
            self._serving.append(parked)
            self._serve()
        side.weigh(chain)
        if chain in side.declined:
            return
        waiting = any(want.tag == side.tag and want.chain == chain for want in self._serving)
        if side.peer.get(chain, -1) >= last:
            waits = chain not in side.behind or chain in side.asked
            if waits and side.answered.get(chain, -1) < last:
                # It waits for our acknowledgement, or may be sending us the same.
                self._acknowledge(side, Row(chain, last, entries[-1].id))
            for want in side.met(chain):
                self._send(side, want)
        elif not waiting:
            # What it wants already is served up to here.
            level = max(side.peer.get(chain, -1), side.sent.get(chain, -1)) == first - 1
            credit = self._credit.left(_ASIDE_BYTES)
            if level and credit and entries[-1].signature is not None and is_short(entries):
                self._run(side, entries, pushed=True)
            elif side.told or side.compared:
                # Not level, or too much: tell where the chain stands; the peer wants it.
                self._tell_one(side, chain)
            # Else the comparison that has begun tells it, behind what lets its author in.
        self._show(side)

    def loaded(self, want: Load, entries: Sequence[Entry]) -> None:
        """The answer to a Load: entries of its chain, the last with its signature."""
        self._loading = False
        side = self._sides.get(want.room)
        if side is not None and self._serving and self._serving[0].chain == want.chain:
            head = self._serving.popleft()
            lacking = [entry for entry in entries if entry.header.seq >= head.first]
            if lacking:
                self._run(side, lacking, pushed=False)
                reached = lacking[-1].header.seq
                if reached < head.last:
                    # In turns, so that a short chain does not wait for all of a long one.
                    self._serving.append(Want(head.tag, head.chain, reached + 1, head.last))
                else:
                    self._served(side, head.chain, reached)
            elif entries:
                self._serving.appendleft(head)
            else:
                # The head has moved and its commit is not done: `push` follows it.
                side.park(head)
        self._serve()

    def peer_seq(self, room: bytes, chain: bytes) -> int:
        """Up to where the peer has told to have `chain` on disk, -1 if not at all."""
        side = self._sides.get(room)
        return side.peer.get(chain, -1) if side is not None else -1

    def progress(self) -> list[Progress]:
        return [side.progress() for side in self._sides.values() if not side.closed]

    # -- the machine ---------------------------------------------------------------------------

    def receive(self, frame: RoomFrame) -> None:
        room = self._tags.get(frame.tag)
        if room is None:
            return
        side = self._sides[room]
        if isinstance(frame, wire.Contested):
            self._outputs.append(Emit(Contests(room, frame.acts)))
            return
        if side.closed:
            return
        match frame:
            case Summary(_, digest):
                self._summary(side, digest)
            case Heads(_, rows, reply):
                self._heads(side, rows, reply=reply)
            case Want():
                if len(self._serving) >= WANTS_MAX:
                    self._outputs.append(Close("bad-frame"))
                    return
                side.declined.discard(frame.chain)
                if frame.chain in side.parked:
                    # In order: what comes before its predecessor is not taken.
                    side.park(frame)
                else:
                    self._queue(frame)
                    self._serve()
            case Run():
                self._take(side, frame)
            case Have(_, rows):
                self._had(side, rows)
            case wire.Fork(_, proof):
                self._proven(side, proof)
            case Level(_, digest):
                self._levelled(side, digest)
            case wire.Decline(_, chain):
                self._declined(side, chain)
        self._show(side)

    def handle_timer(self, now: float) -> None:
        self._looked = now
        if now >= self._due:
            self._due = now + self._jittered()
            self._credit.tick()
            self._serve()
            for side in self._open():
                side.weigh_all()
                self._summarise(side)
        for side in self._open():
            for chain in list(side.behind):
                self._want(side, side.look(chain, now))
            self._show(side)

    def next_timer(self) -> float | None:
        if any(side.behind for side in self._open()):
            return min(self._due, self._looked + _LOOK_S)
        return self._due

    def _open(self) -> list[Side]:
        return [side for side in self._sides.values() if not side.closed]

    def outputs(self) -> Iterator[Output]:
        while self._outputs:
            yield self._outputs.popleft()

    # -- frames --------------------------------------------------------------------------------

    def _summary(self, side: Side, digest: bytes) -> None:
        if digest == side.chains.digest():
            self._level(side)
            # Says so, since the peer may wait for it.
            self._send(side, Level(side.tag, digest))
        elif side.told != side.chains.digest():
            self._tell(side, reply=True)
        else:
            # Our heads were told already and did not help: the peer has to tell its own.
            self._send(side, Heads(side.tag, (), reply=True))

    def _heads(self, side: Side, rows: Sequence[Row], *, reply: bool) -> None:
        for row in rows:
            self._peer_has(side, row.chain, row.seq)
            side.weigh(row.chain)
            self._want(side, side.ask(row.chain))
            head = side.chains.heads.get(row.chain)
            if head is not None and (head.seq == row.seq and head.id != row.id):
                # Two entries for one place. It is no ask of ours: nothing new may come of it.
                self._send(side, Want(side.tag, row.chain, row.seq, row.seq))
        side.compared = True
        if reply and (not rows or side.told != side.chains.digest()):
            self._tell(side, reply=not rows)

    def _levelled(self, side: Side, digest: bytes) -> None:
        # By the digest it names, not by the order of answers: ours may have moved meanwhile.
        if digest == side.chains.digest():
            self._level(side)
        elif not side.compared:
            self.compare(side.chains.room)

    def _level(self, side: Side) -> None:
        for chain, head in side.chains.heads.items():
            self._peer_has(side, chain, head.seq)
            side.weigh(chain)
        side.compared = True

    def _take(self, side: Side, run: Run) -> None:
        chains = side.chains
        result = chains.accept(run.headers, run.bodies, run.signature)
        match result:
            case Accepted(entries, beyond):
                chain, seq = entries[0].chain, entries[-1].header.seq
                self._outputs.append(Persist(Append(chains.room, entries, chains.reloads)))
                standing = chains.asks.get(chain)
                if standing is not None:
                    standing.came(entries)
                    if standing.last <= seq:
                        del chains.asks[chain]
                self._peer_has(side, chain, seq)
                side.weigh(chain)
                self._acknowledge(side, side.row(chain))
                if beyond:
                    self._decline(side, chain)
                for want in side.met(chain):
                    self._send(side, want)
            case Verdict.BAD:
                self._outputs.append(Close("bad-frame"))
            case Fork(chain):
                # Another link may have brought our half just now; it is read from the disk.
                self._outputs.append(Persist(Append(chains.room, (), chains.reloads)))
                self._outputs.append(Emit(Forked(chains.room, chain, result)))
                side.weigh(chain)
            case Verdict():
                self._leave(side, run, result)

    def _leave(self, side: Side, run: Run, verdict: Verdict) -> None:
        """Nothing of a run is taken, and nobody is to blame."""
        raw = run.headers[0]
        first = parse_header(raw) if isinstance(raw, bytes) else None
        assert first is not None
        chain = chain_id(first.room, first.device, first.incarnation)
        if verdict is Verdict.STRANGER:
            self._decline(side, chain)
        elif verdict is Verdict.FORKED:
            side.weigh(chain)
        else:
            self._peer_has(side, chain, first.seq + len(run.headers) - 1)
            side.weigh(chain)
            if verdict is Verdict.KNOWN:
                self._acknowledge(side, side.row(chain))
            else:
                # It overtook what was before: a push the backlog, or one channel the other.
                side.missed(chain, first.seq)
                self._want(side, side.ask(chain))

    def _proven(self, side: Side, proof: ForkProof) -> None:
        known = {chain for chain, proven in side.chains.forks.items() if proven is not None}
        chain = side.chains.prove(proof)
        if chain is not None and chain not in known:
            self._outputs.append(Emit(Forked(side.chains.room, chain, proof)))
            # It may be one too many of its author's.
            side.weigh_all()

    def _decline(self, side: Side, chain: bytes) -> None:
        if chain in side.asked:
            side.free(chain)
        side.weigh(chain)
        self._send(side, wire.Decline(side.tag, chain))

    def _declined(self, side: Side, chain: bytes) -> None:
        # What is on its way was not taken: as if it had been, for the credit.
        self._credit.return_(side.chains.room, {chain: side.sent.get(chain, -1)})
        side.parked.pop(chain, None)
        self._serving = deque(
            want for want in self._serving if want.tag != side.tag or want.chain != chain
        )
        if chain not in side.declined and chain in side.chains.heads:
            side.declined.add(chain)
            self._outputs.append(Emit(Declined(side.chains.room, chain)))
        side.weigh(chain)
        self._serve()

    def _had(self, side: Side, rows: Sequence[Row]) -> None:
        had = {row.chain: row.seq for row in rows}
        for chain, seq in had.items():
            side.declined.discard(chain)
            self._peer_has(side, chain, seq)
            side.weigh(chain)
        self._credit.return_(side.chains.room, had)
        for index, want in enumerate(self._serving):
            first = had.get(want.chain, -1) + 1
            if want.tag == side.tag and want.first < first:
                self._serving[index] = Want(want.tag, want.chain, first, want.last)
        self._serve()

    # -- parts ---------------------------------------------------------------------------------

    def _serve(self) -> None:
        while self._serving and not self._loading:
            want = self._serving[0]
            aside = _ASIDE_BYTES if _is_short(want) else 0
            if not self._credit.left(aside):
                return
            room = self._tags.get(want.tag)
            side = self._sides[room] if room is not None else None
            if side is None or side.chains.seq(want.chain) < want.first:
                self._serving.popleft()
                continue
            if want.last < want.first:
                self._serving.popleft()
                self._served(side, want.chain, want.last)
                continue
            self._loading = True
            last = min(want.last, side.chains.seq(want.chain))
            load = Load(side.chains.room, want.chain, want.first, last)
            self._outputs.append(Emit(load))

    def _queue(self, want: Want) -> None:
        for index, other in enumerate(self._serving):
            if (other.tag, other.chain, other.last + 1) == (want.tag, want.chain, want.first):
                # A chain is served in order: what comes before its predecessor is not taken.
                self._serving[index] = Want(want.tag, want.chain, other.first, want.last)
                return
        place = len(self._serving)
        if _is_short(want):
            # What was written just now, most often: it passes a backlog, and no other such. They
            # are wanted in the order in which chains let each other's authors in.
            place = 1 if self._loading else 0
            while place < len(self._serving) and _is_short(self._serving[place]):
                place += 1
        self._serving.insert(place, want)

    def _run(self, side: Side, entries: Sequence[Entry], *, pushed: bool) -> None:
        last = entries[-1]
        assert last.signature is not None
        frame = encode(
            Run(
                side.tag,
                tuple(in_brief(entries)),
                tuple(entry.body for entry in entries),
                last.signature,
                pushed,
            )
        )
        side.sent[last.chain] = last.header.seq
        # A small run takes the channel that is not full of others, unless its own chain is there:
        # what comes before its predecessor is not taken.
        if pushed:
            bulk = self._credit.carries(last.chain, bulk=True)
        else:
            bulk = len(frame) > PUSH_BYTES or self._credit.carries(last.chain)
        self._credit.spend(side.chains.room, last.chain, last.header.seq, len(frame), bulk=bulk)
        self._outputs.append(Send(frame, bulk=bulk))

    def _served(self, side: Side, chain: bytes, reached: int) -> None:
        if reached < side.chains.seq(chain):
            # Written while this was served, and so not pushed.
            self._tell_one(side, chain)

    def _acknowledge(self, side: Side, row: Row) -> None:
        side.answered[row.chain] = row.seq
        self._send(side, Have(side.tag, (row,)))

    def _tell_one(self, side: Side, chain: bytes) -> None:
        row = side.tell(chain)
        if row is not None:
            self._send(side, Heads(side.tag, (row,), reply=False))

    def _tell(self, side: Side, *, reply: bool) -> None:
        heads = side.chains.heads
        side.told = side.chains.digest()
        rows = [Row(chain, heads[chain].seq, heads[chain].id) for chain in side.chains.in_order()]
        for start in range(0, max(1, len(rows)), HEADS_TOLD):
            part = tuple(rows[start : start + HEADS_TOLD])
            self._send(side, Heads(side.tag, part, reply=reply and start == 0))

    def _peer_has(self, side: Side, chain: bytes, seq: int) -> None:
        before = side.peer.get(chain, -1)
        if before < 0 and len(side.peer) >= 2 * CHAINS_MAX:
            # More than anybody holds, even if all of them were cut and begun anew.
            self._outputs.append(Close("bad-frame"))
        elif seq > before:
            side.peer[chain] = seq
            if chain not in side.chains.forks:  # of which it may have another part
                self._outputs.append(Emit(PeerHas(side.chains.room, chain, before, seq)))

    def _show(self, side: Side) -> None:
        progress = side.progress()
        if progress != side.shown:
            side.shown = progress
            self._outputs.append(Emit(progress))

    def _send(self, side: Side, frame: RoomFrame) -> None:
        if not isinstance(frame, Want):
            chains = side.chains
            self._outputs.append(Persist(Append(chains.room, (), chains.reloads)))
        self._outputs.append(_sent(frame))

    def _want(self, side: Side, want: Want | None) -> None:
        if want is not None:
            self._send(side, want)

    def _summarise(self, side: Side) -> None:
        self._send(side, Summary(side.tag, side.chains.digest(), side.chains.total))

    def _jittered(self) -> float:
        return _SUMMARY_S * (0.75 + self._random(1)[0] / 512)


def _is_short(want: Want) -> bool:
    return want.last - want.first < _SHORT


def _sent(frame: RoomFrame) -> Send:
    """On `live`, unless it is larger than that takes: a proof of a fork, or a wide act."""
    data = encode(frame)
    return Send(data, bulk=len(data) > LIVE_BYTES_MAX)


def _shown_together(acts: Sequence[SignedAct]) -> Iterator[tuple[SignedAct, ...]]:
    """Acts in parts that each fit a frame."""
    part: list[SignedAct] = []
    size = 0
    for act in acts:
        grown = len(encode(act))
        if part and (size + grown > _SHOWN_BYTES or len(part) >= CONTESTED_MAX // 4):
            yield tuple(part)
            part, size = [], 0
        part.append(act)
        size += grown
    if part:
        yield tuple(part)
