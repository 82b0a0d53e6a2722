"""What the machine of a link tells the node, and asks of it, on the way to one journal.

Values alone. `Append` is what is to be committed; the others are emitted as they come to be true.
"""

from dataclasses import dataclass

from p2pchat.core.chain import Fork, ForkProof
from p2pchat.core.entry import Entry
from p2pchat.core.wire import SignedAct

__all__ = ["Append", "Contests", "Declined", "Forked", "Load", "PeerHas", "Progress"]


@dataclass(frozen=True, slots=True)
class Append:
    """Commit these new entries of one chain, and all that any link accepted before them.

    None: what follows speaks of the room's heads, and other links move them too.
    """

    room: bytes
    entries: tuple[Entry, ...]
    reloads: int | None = None
    """`Chains.reloads` when this was said of them"""


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
class Forked:
    """An author has contradicted itself; `proof` is a Fork where our half has yet to be added."""

    room: bytes
    chain: bytes
    proof: ForkProof | Fork


@dataclass(frozen=True, slots=True)
class Contests:
    """The peer shows acts of membership that stand in no chain of ours."""

    room: bytes
    acts: tuple[SignedAct, ...]


@dataclass(frozen=True, slots=True)
class Declined:
    """The peer takes no more of `chain`: it does not know, or not believe, that its author may."""

    room: bytes
    chain: bytes


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
