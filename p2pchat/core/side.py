"""The peer of a link in one room: what it has, by how much we differ, what of it is wanted from it.

One link at a time is asked for a chain, since runs fit only in order: `Chains.asks` tells the links
of a room of each other. An ask is free again when it is met, when its link ends, or when another
link whose peer has the chain saw it quiet for 3 s (nothing came, or a trickle); whom it was taken
from is asked again after a minute.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from p2pchat.core.chain import Ask, Chains
from p2pchat.core.facts import Progress
from p2pchat.core.wire import Row, Want

__all__ = ["Side"]

_QUIET_S = 3.0
_AGAIN_S = 60.0
_ASKS_MAX = 256
"""Chains that one peer is asked for at once: more than its credit holds, far below WANTS_MAX, and
the rest is left to other links."""


@dataclass(slots=True)
class Side:
    """The peer in one room."""

    chains: Chains
    tag: bytes
    peer: dict[bytes, int] = field(default_factory=dict)
    """chain -> seq that the peer has on disk"""
    sent: dict[bytes, int] = field(default_factory=dict)
    """chain -> seq up to which we have sent, acknowledged or not"""
    behind: dict[bytes, int] = field(default_factory=dict)
    ahead: dict[bytes, int] = field(default_factory=dict)
    """chain -> entries that the peer has beyond ours, or lacks; kept up by `weigh`"""
    behind_total: int = 0
    ahead_total: int = 0
    asked: dict[bytes, Ask] = field(default_factory=dict)
    """chain -> what this link was asked for, whether or not that ask still stands"""
    parked: dict[bytes, Want] = field(default_factory=dict)
    """chain -> what the peer wants of it that is on no disk of ours yet"""
    compared: bool = False
    told: bytes = b""
    """digest of the heads that we told last"""
    named: dict[bytes, bytes] = field(default_factory=dict)
    """chain -> id of the head of ours that the peer was told of"""
    answered: dict[bytes, int] = field(default_factory=dict)
    """chain -> seq up to which we have acknowledged"""
    shown: Progress | None = None
    closed: bool = False
    """whether the peer was a member and is none any more: it is shown why, and nothing else"""
    declined: set[bytes] = field(default_factory=set)
    """chains that the peer takes no more of"""

    def row(self, chain: bytes) -> Row:
        """Where our own copy of `chain` stands."""
        head = self.chains.heads[chain]
        return Row(chain, head.seq, head.id)

    def tell(self, chain: bytes) -> Row | None:
        """Where our copy of `chain` stands, to be told; None if the peer was told that."""
        row = self.row(chain)
        if self.named.get(chain) == row.id:
            return None
        self.named[chain] = row.id
        return row

    def park(self, want: Want) -> None:
        """The peer wants what is on no disk of ours yet, beside what it wanted so already."""
        other = self.parked.get(want.chain, want)
        first, last = min(want.first, other.first), max(want.last, other.last)
        self.parked[want.chain] = Want(self.tag, want.chain, first, last)

    # -- how much the two differ ---------------------------------------------------------------

    def weigh(self, chain: bytes) -> None:
        """Count by how much the two differ in `chain`."""
        peer, limit = self.peer.get(chain, -1), self.chains.counts_to(chain)
        lead = (peer if limit is None else min(peer, limit)) - self.chains.seq(chain)
        if lead < 0 and chain in self.declined:
            lead = 0
        if chain in self.chains.forks:
            lead = 0  # it stops at both, wherever that is
        behind = lead if lead > 0 else 0
        ahead = -lead if lead < 0 else 0
        self.behind_total += behind - self.behind.pop(chain, 0)
        self.ahead_total += ahead - self.ahead.pop(chain, 0)
        if behind:
            self.behind[chain] = behind
        if ahead:
            self.ahead[chain] = ahead

    def weigh_all(self) -> None:
        # Also what we had, and the peer never, and we have no more.
        for chain in self.chains.heads.keys() | self.peer.keys() | self.ahead.keys():
            self.weigh(chain)

    def progress(self) -> Progress:
        return Progress(self.chains.room, self.behind_total, self.ahead_total, self.compared)

    # -- what the peer is asked for ------------------------------------------------------------

    def ask(self, chain: bytes) -> Want | None:
        """Want what the peer has of `chain` beyond ours, unless somebody is asked for it."""
        if chain not in self.behind:
            return None
        standing, ours = self.chains.asks.get(chain), self.asked.get(chain)
        first, last = self.chains.seq(chain) + 1, self.peer[chain]
        if standing is not ours or (ours is None and len(self.asked) >= _ASKS_MAX):
            # Another link's, or taken from this one; or this peer has enough to do.
            return None
        if ours is not None:
            first = max(first, ours.last + 1)
            if ours.missed:
                return None
        if first <= last:
            if ours is None:
                self.asked[chain] = self.chains.asks[chain] = Ask(last)
            else:
                ours.last = last
            return Want(self.tag, chain, first, last)
        return None

    def missed(self, chain: bytes, first: int) -> None:
        """What came of `chain` from `first` on was not taken: what is before is still to come."""
        ours = self.asked.get(chain)
        if ours is not None and ours.last >= first:
            # Asked for anew once that is here.
            ours.last, ours.missed = first - 1, True

    def met(self, chain: bytes) -> Iterator[Want]:
        """`chain` has grown: what was asked for may have come, and leave room for more."""
        ours = self.asked.get(chain)
        if ours is not None and ours.last <= self.chains.seq(chain):
            self.free(chain)
            if len(self.asked) <= _ASKS_MAX // 2:
                for other in list(self.behind):
                    if (want := self.ask(other)) is not None:
                        yield want
        if (want := self.ask(chain)) is not None:
            yield want

    def free(self, chain: bytes) -> None:
        """What the peer is asked for of `chain` is free for other links."""
        ask = self.asked.pop(chain)
        if self.chains.asks.get(chain) is ask:
            del self.chains.asks[chain]

    def look(self, chain: bytes, now: float) -> Want | None:
        """Take over what another link was asked for in vain; ask this one again after a while."""
        standing, ours = self.chains.asks.get(chain), self.asked.get(chain)
        if ours is not None:
            patience_s = _QUIET_S if standing is None else _AGAIN_S
            if ours.quiet_s(now) >= patience_s:
                self.free(chain)
        elif standing is not None:
            room_left = len(self.asked) < _ASKS_MAX
            if standing.quiet_s(now) >= _QUIET_S and room_left:
                del self.chains.asks[chain]
        return self.ask(chain)
