"""The chains of one room: what is known of each author's log, and what may be added to it.

Decides whether a run of entries continues a chain (docs/protocol.md, 8: Acceptance), and writes our
own entries. Heads move when a run is accepted; the caller commits it and, if that fails, loads the
room anew. Keeps heads, certificates and epoch keys only: entries live in the store.
"""

import hashlib
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from enum import Enum
from itertools import islice

import msgspec

from p2pchat.core import sealing
from p2pchat.core.bounds import (
    AFTER_MAX,
    BODY_BYTES_MAX,
    CHAINS_EACH_MAX,
    FORKS_EACH_MAX,
    RUN_BYTES,
)
from p2pchat.core.brief import Brief, in_full
from p2pchat.core.entry import (
    DEVICE,
    EPOCH,
    VERSION,
    Entry,
    EpochBody,
    Header,
    body_fits,
    body_hash,
    certificate_of,
    chain_id,
    decode_body,
    entry_id,
    is_sealed,
    parse_header,
    signature_holds,
    statement,
)
from p2pchat.core.identity import Certificate, Identity, Random

__all__ = [
    "CHAINS_MAX",
    "Accepted",
    "Ask",
    "Branch",
    "Chains",
    "Fork",
    "ForkProof",
    "Head",
    "Verdict",
]

CHAINS_MAX = 16_384
"""Chains of one room: a member could invent incarnations without end."""

_STOPPED_MAX = 4 * CHAINS_EACH_MAX
"""Chains known as stopped before those of the barred that nobody holds are kept in mind no more."""

_ENOUGH_BYTES = RUN_BYTES // 2
"""What of a longer answer keeps an ask where it is: who serves honestly sends runs of twice that,
and whoever sends an entry now and then keeps nobody else from being asked."""

_encode = msgspec.msgpack.Encoder().encode


@dataclass(slots=True)
class Head:
    """The newest entry of a chain."""

    seq: int
    id: bytes
    device: bytes
    time: int


@dataclass(slots=True, eq=False)
class Ask:
    """A chain that one link was asked for, up to `last`."""

    last: int
    quiet_since: float | None = None
    """when a timer first saw that too little had come; None: enough has, since"""
    due: int = 0
    """`last` as it was then: with that, all that was asked for has come"""
    lacking_bytes: int = 0
    """what would be enough of it"""
    missed: bool = False
    """whether what comes after `last` came too early, and was not taken"""

    def quiet_s(self, now: float) -> float:
        """How long too little has come, as far as timers saw."""
        if self.quiet_since is None:
            self.quiet_since, self.due, self.lacking_bytes = now, self.last, _ENOUGH_BYTES
        return now - self.quiet_since

    def came(self, entries: Sequence[Entry]) -> None:
        """The chain has grown by these, whoever brought them."""
        if self.quiet_since is None:
            return
        if entries[-1].header.seq >= self.due:
            self.quiet_since = None
            return
        for entry in entries:
            self.lacking_bytes -= len(entry.raw) + entry.header.length
            if self.lacking_bytes <= 0:
                self.quiet_since = None
                return


class Verdict(Enum):
    """Why a run was not taken."""

    KNOWN = "known"
    GAP = "gap"
    FORKED = "forked"
    """The chain is known to be forked, and nothing more is taken of it."""
    STRANGER = "stranger"
    """Its author is no member, as far as is known here, or was none any more."""
    BAD = "bad"


class Branch(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Headers that follow each other in one chain, the last one signed."""

    headers: tuple[bytes, ...]
    signature: bytes


class ForkProof(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Two branches of one chain that name different entries for one place."""

    one: Branch
    other: Branch


@dataclass(frozen=True, slots=True)
class Fork:
    """A run contradicts our chain at `seq`, and is signed: half of a proof, ours is the other."""

    chain: bytes
    seq: int
    branch: Branch


@dataclass(frozen=True, slots=True)
class Accepted:
    """New entries of one chain, in order, ready to be committed."""

    entries: tuple[Entry, ...]
    beyond: bool = False
    """Whether the run went on beyond where the chain counts."""


class Chains:
    """What this node knows of one room."""

    def __init__(self, room: bytes, members: frozenset[bytes]) -> None:
        self.room = room
        self._members = members
        self.heads: dict[bytes, Head] = {}
        self.certificates: dict[bytes, Certificate] = {}
        """device key -> certificate of a member's device"""
        self.epochs: dict[bytes, bytes] = {}
        """epoch id -> key, of those that we can open"""
        self.forks: dict[bytes, ForkProof | None] = {}
        """chains of which nothing more is taken: forked ones, each with its proof once both halves
        are there, and all of whoever has forked too many"""
        self.barred: set[bytes] = set()
        """people who have"""
        self._forked_by: dict[bytes, set[bytes]] = {}
        """person -> chains of theirs that are proven to be forked"""
        self._unnamed: set[bytes] = set()
        """chains in `forks` that do not count one by one, since their author is barred"""
        self.unsaved: list[tuple[Entry, ...]] = []
        """runs accepted and not handed to the store yet, in order, whatever link they came by"""
        self.reloads = 0
        """grows when a commit fails, and when all is as on disk again: what was said is void"""
        self.asks: dict[bytes, Ask] = {}
        """chain -> the one ask that stands for it: all links of the room see it"""
        self._fresh: dict[bytes, None] = {}
        """chains of which no entry of ours names the head, the one that moved last at the end"""
        self._digest: bytes | None = None

    @property
    def members(self) -> Set[bytes]:
        """The people who belong to the room now."""
        return self._members

    def counts_to(self, chain: bytes) -> int | None:
        """Up to which place entries of `chain` are taken here; None: without end."""
        del chain
        return None

    def is_cut(self, entry: Entry) -> bool:
        """Whether an entry that was taken has been made void since."""
        del entry
        return False

    def in_order(self) -> Iterable[bytes]:
        """Chains, those first that others need to be understood."""
        return self.heads

    @property
    def total(self) -> int:
        """Entries known."""
        return sum(head.seq + 1 for head in self.heads.values())

    def digest(self) -> bytes:
        """Of all heads: equal on two nodes exactly when they have the same entries."""
        if self._digest is None:
            hasher = hashlib.sha256()
            for chain, head in sorted(self.heads.items()):
                # Of a forked chain members may hold different parts for ever.
                if chain not in self.forks:
                    hasher.update(chain + head.seq.to_bytes(8, "big") + head.id)
            for chain in sorted(self.forks.keys() - self._unnamed):
                hasher.update(b"fork" + chain)
            # Who is shown other proofs first comes to the same.
            for person in sorted(self.barred):
                hasher.update(b"barred" + person)
            self._digest = hasher.digest()
        return self._digest

    def seq(self, chain: bytes) -> int:
        """Of the newest entry known in `chain`, -1 if none."""
        head = self.heads.get(chain)
        return head.seq if head else -1

    def restore(self, chain: bytes, head: Head) -> None:
        """Put in what the store holds; the chain that moved last is the last."""
        self.heads[chain] = head
        self._fresh[chain] = None
        self._digest = None

    def certify(self, certificate: Certificate) -> None:
        """Remember a device that the store, or an accepted entry, vouches for."""
        self.certificates[certificate.device] = certificate

    def name_of(self, device: bytes) -> str | None:
        certificate = self.certificates.get(device)
        return certificate.safe_name() if certificate else None

    # -- taking in ---------------------------------------------------------------------------

    def accept(
        self, headers: Sequence[bytes | Brief], bodies: Sequence[bytes | None], signature: bytes
    ) -> Accepted | Fork | Verdict:
        """Check a run against what is known; on success the head has moved.

        A Fork has made the chain one that is forked.
        """
        first = parse_header(headers[0]) if isinstance(headers[0], bytes) else None
        if first is None or first.room != self.room or first.seq + len(headers) > 1 << 63:
            return Verdict.BAD
        chain = chain_id(self.room, first.device, first.incarnation)
        if chain in self.forks or (self.barred and self._is_barred(chain, first, bodies[0])):
            return Verdict.FORKED
        head = self.heads.get(chain)
        seq, previous = (head.seq, head.id) if head else (-1, b"")
        if first.seq > seq + 1:
            return Verdict.GAP
        if not head and self._is_full(first):
            return self._full(chain)
        full = in_full(headers, bodies)
        if full is None:
            return Verdict.BAD
        entries: list[Entry] = []
        expected = first.seq
        for at, (raw, header, id_) in enumerate(full):
            if (
                header.seq != expected
                or header.device != first.device
                or header.incarnation != first.incarnation
                or header.room != self.room
            ):
                return Verdict.BAD
            expected += 1
            if header.seq < seq:
                continue
            if header.seq == seq:
                if id_ != previous:
                    return self._fork(chain, seq, full[at:], signature)
                continue
            if header.prev != previous:
                if not entries and head:
                    return self._fork(chain, seq, full[at:], signature)
                return Verdict.BAD
            body = bodies[at]
            # A brief header was made of the very body.
            if isinstance(headers[at], bytes) and not body_fits(header, body):
                return Verdict.BAD
            entries.append(Entry(id_, chain, header, raw, body, None))
            previous = id_
        if not entries:
            return Verdict.KNOWN
        entries[-1] = msgspec.structs.replace(entries[-1], signature=signature)
        if not signature_holds(entries[-1]):
            return Verdict.BAD
        vetted = self._vet(chain, entries)
        if isinstance(vetted, Accepted):
            self._advance(vetted.entries[-1])
            self.unsaved.append(vetted.entries)
        return vetted

    def _is_full(self, first: Header) -> bool:
        """Whether there is no place for a chain that begins so."""
        del first
        return len(self.heads) >= CHAINS_MAX

    def _full(self, chain: bytes) -> Verdict:
        """No further chain is taken: of two, who sends so many is who invents them."""
        del chain
        return Verdict.BAD

    def _vet(self, chain: bytes, entries: Sequence[Entry]) -> Accepted | Verdict:
        """Whether their author may write here; its certificates are known then."""
        del chain
        certificates = self._certificates_in(entries)
        if certificates is None:
            return Verdict.BAD
        for certificate in certificates:
            self.certify(certificate)
        return Accepted(tuple(entries))

    def _fork(
        self, chain: bytes, seq: int, full: Sequence[tuple[bytes, Header, bytes]], signature: bytes
    ) -> Fork | Verdict:
        branch = Branch(tuple(raw for raw, _, _ in full), signature)
        # Anybody can send what does not fit; only its author can have signed it.
        if _places(branch) is None:
            return Verdict.BAD
        self.stop(chain, None)
        return Fork(chain, seq, branch)

    def prove(self, proof: ForkProof) -> bytes | None:
        """The chain that `proof` shows to be forked: it is from now on.

        None if it proves nothing, or of nobody whom we know, or of somebody who is barred.
        """
        begins = parse_header(proof.one.headers[0]) if proof.one.headers else None
        author = self.certificates.get(begins.device) if begins is not None else None
        if author is None or author.person in self.barred:
            return None
        one, other = _places(proof.one), _places(proof.other)
        if one is None or other is None:
            return None
        first, second = parse_header(proof.one.headers[0]), parse_header(proof.other.headers[0])
        if (
            first is None
            or second is None
            or first.room != self.room
            or (first.room, first.device, first.incarnation)
            != (second.room, second.device, second.incarnation)
            or not any(other.get(seq, id_) != id_ for seq, id_ in one.items())
        ):
            return None
        chain = chain_id(first.room, first.device, first.incarnation)
        self.stop(chain, proof)
        return chain

    def stop(self, chain: bytes, proof: ForkProof | None) -> None:
        """`chain` is forked; its author's certificate is known."""
        if self.forks.get(chain) is not None:
            return
        self.forks[chain] = proof
        self._digest = None
        first = parse_header(proof.one.headers[0]) if proof is not None else None
        author = self.certificates.get(first.device) if first is not None else None
        if author is None:
            return
        proven = self._forked_by.setdefault(author.person, set())
        proven.add(chain)
        if len(proven) > FORKS_EACH_MAX:
            self.barred.add(author.person)
            self._unnamed |= proven
            for held, head in self.heads.items():
                self._bar(held, self.certificates.get(head.device))

    def _bar(self, chain: bytes, author: Certificate | None) -> bool:
        """Stop `chain` if its author is barred; whether it is."""
        if author is None or author.person not in self.barred:
            return False
        if chain in self.heads or len(self.forks) < _STOPPED_MAX:
            self.forks.setdefault(chain, None)
            self._unnamed.add(chain)
        return True

    def _is_barred(self, chain: bytes, first: Header, body: bytes | None) -> bool:
        """Whether somebody who is barred begins or continues this chain."""
        author = self.certificates.get(first.device)
        if author is None:
            # A forged one is no word of theirs: it is refused with its run, and stops nothing.
            author = certificate_of(first, body)
        return self._bar(chain, author)

    def _certificates_in(self, entries: Sequence[Entry]) -> list[Certificate] | None:
        """Those that `entries` bring, or None if their device is no member's."""
        found: list[Certificate] = []
        for entry in entries:
            if entry.header.seq == 0 and entry.header.kind != DEVICE:
                return None
            if entry.header.kind != DEVICE:
                continue
            certificate = certificate_of(entry.header, entry.body)
            if certificate is None or certificate.person not in self.members:
                return None
            found.append(certificate)
        if not found and entries[0].header.device not in self.certificates:
            return None
        return found

    def open_epochs(self, entry: Entry, identity: Identity) -> list[bytes]:
        """Ids of the epochs whose keys `entry` brings us; they are kept.

        An epoch whose recipients are not all members is nobody's: it would leak what is written.
        """
        header = entry.header
        body = decode_body(EPOCH, entry.body or b"") if header.kind == EPOCH else None
        if not isinstance(body, EpochBody):
            return []
        if any(recipient.person not in self.members for recipient in body.recipients):
            return []
        key = sealing.open_epoch(self.room, header.epoch, body, identity)
        if key is None:
            return []
        self.epochs[header.epoch] = key
        return [header.epoch]

    def read(self, entry: Entry) -> msgspec.Struct | None:
        """The body in the clear; None if deleted, sealed under an unknown epoch, or malformed."""
        header, body = entry.header, entry.body
        if body is None:
            return None
        if is_sealed(header.kind):
            key = self.epochs.get(header.epoch)
            body = sealing.open_body(key, body, header) if key else None
        return decode_body(header.kind, body) if body is not None else None

    # -- writing -----------------------------------------------------------------------------

    def write(
        self,
        identity: Identity,
        incarnation: bytes,
        *,
        time: int,
        kind: int,
        body: msgspec.Struct,
        random: Random,
        epoch: bytes = b"",
        after: tuple[bytes, ...] | None = None,
    ) -> Entry:
        """Our own next entry, signed; the head has moved.

        `epoch` is the id of an epoch that we hold the key of; empty for what is in the clear.
        `after` are its causes, where they are not the newest of the other chains.
        """
        chain = chain_id(self.room, identity.device, incarnation)
        seq = self.seq(chain) + 1
        stored = _encode(body)
        if is_sealed(kind):
            where = sealing.place(self.room, identity.device, incarnation, seq, kind)
            stored = sealing.seal_body(self.epochs[epoch], stored, where, random)
        assert len(stored) <= BODY_BYTES_MAX
        header = Header(
            version=VERSION,
            room=self.room,
            device=identity.device,
            incarnation=incarnation,
            seq=seq,
            prev=self.heads[chain].id if seq else b"",
            after=self._causes(chain) if after is None else after,
            time=time,
            kind=kind,
            epoch=epoch,
            length=len(stored),
            body_hash=body_hash(stored),
        )
        raw = _encode(header)
        id_ = entry_id(raw)
        entry = Entry(id_, chain, header, raw, stored, identity.sign(statement(id_)))
        self._advance(entry)
        return entry

    def writing_epoch(self) -> bytes | None:
        """The epoch to write under: the greatest id that we can open (all writers agree)."""
        return max(self.epochs, default=None)

    def _causes(self, own: bytes) -> tuple[bytes, ...]:
        """The heads of other chains that our chain does not name yet, the last to come at most.

        Not those of the latest times: whoever writes answers what it has just seen, and whose clock
        is far behind would never be answered.
        """
        others = (chain for chain in reversed(self._fresh) if chain != own and chain in self.heads)
        fresh = list(islice(others, AFTER_MAX))
        for chain in fresh:
            del self._fresh[chain]
        return tuple(sorted(self.heads[chain].id for chain in fresh))

    def _advance(self, entry: Entry) -> None:
        header = entry.header
        self.heads[entry.chain] = Head(header.seq, entry.id, header.device, header.time)
        self._fresh.pop(entry.chain, None)
        self._fresh[entry.chain] = None
        self._digest = None


def _places(branch: Branch) -> dict[int, bytes] | None:
    """Place -> id, for all that a branch names, its predecessor too; None if it does not hold."""
    found: dict[int, bytes] = {}
    before: Header | None = None
    id_ = b""
    for raw in branch.headers:
        header = parse_header(raw)
        if header is None:
            return None
        if before is None:
            found[header.seq - 1] = header.prev
        elif (
            (header.room, header.device, header.incarnation)
            != (before.room, before.device, before.incarnation)
            # One by one to what is signed: a header beside that way its author need not have made.
            or header.seq != before.seq + 1
            or header.prev != id_
        ):
            return None
        id_ = found[header.seq] = entry_id(raw)
        before = header
    if before is None:
        return None
    chain = chain_id(before.room, before.device, before.incarnation)
    signed = Entry(id_, chain, before, branch.headers[-1], None, branch.signature)
    return found if signature_holds(signed) else None
