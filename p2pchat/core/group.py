"""The chains of a room of many, whose members come and go (docs/protocol.md, 8: Rooms of many).

Adds to `Chains` who may write up to where, by the acts of membership, and under which key. What a
removal makes void is taken out again (`excess`), and comes back if the removal is undone; the store
does the moving.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

import msgspec

from p2pchat.core import sealing
from p2pchat.core.acts import CREATE, Act, Admit, Create, Remove, is_sound
from p2pchat.core.bounds import (
    CHAINS_EACH_MAX,
    DEVICES_EACH_MAX,
    FIRST_CHAINS_MAX,
    PARENTS_MAX,
    STRAYS_MAX,
)
from p2pchat.core.chain import CHAINS_MAX, Accepted, Chains, ForkProof, Head, Verdict
from p2pchat.core.entry import (
    DEVICE,
    GRANT,
    Entry,
    EpochBody,
    EpochLink,
    GrantBody,
    Header,
    Recipient,
    certificate_of,
    decode_body,
    is_act,
    signature_holds,
    statement,
)
from p2pchat.core.identity import Certificate, Identity, signed_by
from p2pchat.core.membership import VOID, Limit, Membership, Placed

__all__ = ["EPOCH_AGE_MS", "Group"]

EPOCH_AGE_MS = 7 * 86_400_000
"""After this an admin who writes makes a new key: a stolen one shall not open all to come."""


_Rank = tuple[bool, bytes]
"""The least of a person's chains have places."""


@dataclass(slots=True)
class _Epoch:
    """A key's history: who has it, and what came before."""

    time: int = 0
    claims: dict[tuple[bytes, ...], set[bytes]] = field(default_factory=dict)
    """those whom it was made for, as anybody says, and who says so: the id commits to one"""
    made_for: tuple[bytes, ...] | None = None
    """the one of these that is true, once the key has shown it"""
    sealed: dict[bytes, Recipient] = field(default_factory=dict)
    """what was sealed to us before anybody said whom it was made for, of each author the last"""
    parents: tuple[bytes, ...] = ()
    links: list[EpochLink] = field(default_factory=list)
    """the ways back; what does not open is nobody's"""
    holders: set[bytes] = field(default_factory=set)
    """people who made it or gave it to others, or to whom it was given as members"""
    strays: dict[bytes, set[bytes]] = field(default_factory=dict)
    """other people whom it was given to, and by whom"""
    prekeys: set[bytes] = field(default_factory=set)


class Group(Chains):
    """What this node knows of one room of many."""

    def __init__(self, room: bytes) -> None:
        super().__init__(room, frozenset())
        self.membership = Membership(room)
        self.admissions: dict[bytes, bytes] = {}
        """chain -> id of the act that let its author begin it"""
        self.moved = False
        """Whether acts came since the node last looked."""
        self.estranged = False
        """Whether chains were declined before acts came that may speak for them."""
        self.shortened = False
        """Whether chains were taken out since links last weighed what they lack."""
        self.loose: set[bytes] = set()
        """ids of acts that are judged and stand apart: see `keep`"""
        self.kept_by: frozenset[bytes] = frozenset()
        """by whom and what it was said which acts these are"""
        self._strangers: set[bytes] = set()
        self._hasty = False
        """whether any was declined while acts waited to be judged"""
        self._surplus: dict[bytes, bytes] = {}
        """chains without a place, and whose they are: see `_has_place`"""
        self._ranked: dict[bytes, list[_Rank]] = {}
        """person -> its chains that take places, as long as nothing moves them"""
        self._epochs: dict[bytes, _Epoch] = {}
        self._ways: dict[bytes, list[tuple[bytes, EpochLink]]] = {}
        """epoch -> links that lead to it, and where they stand"""
        self._depths: dict[bytes, int] | None = None
        self._strays: dict[tuple[bytes, bytes], list[bytes]] = {}
        """who gave what to whom that was no member then: epochs, in the order they came"""

    # -- who belongs ---------------------------------------------------------------------------

    @property
    def members(self) -> Set[bytes]:
        return self.membership.members.keys()

    def person_of(self, chain: bytes) -> bytes | None:
        """Who writes a chain that is known here."""
        head = self.heads.get(chain)
        certificate = self.certificates.get(head.device) if head else None
        return certificate.person if certificate else None

    def counts_to(self, chain: bytes) -> int | None:
        if chain in self._strangers or self.is_surplus(chain):
            return self.seq(chain)
        return self._limit_so_far(chain).seq if chain in self.heads else None

    def is_cut(self, entry: Entry) -> bool:
        if self.is_surplus(entry.chain):
            return True
        certificate = self.certificates[entry.header.device]
        admission = self.admissions[entry.chain]
        limit = self.membership.limit(certificate.person, admission, entry.chain)
        return limit.seq is not None and limit.seq < entry.header.seq

    def in_order(self) -> Iterable[bytes]:
        members = self.membership.members

        def depth(chain: bytes) -> int:
            standing = members.get(self.person_of(chain) or b"")
            # Who is no member any more may have admitted others.
            return standing.depth if standing else 0

        return sorted(self.heads, key=depth)

    def act(self, placed: Placed) -> None:
        """An act that counts as far as it is entitled to, wherever it stands."""
        self.membership.add([placed])
        if isinstance(placed.act, Create | Admit):
            certificate = placed.act.certificate
            self.certificates.setdefault(certificate.device, certificate)
        if not self.membership.is_stale:
            # Else once all is judged: `excess`.
            self._recognize()
        self._ranked.clear()
        self.estranged = self.estranged or bool(self._strangers)
        self._strangers.clear()
        self.moved = True

    def begun(self, entry: Entry) -> None:
        """Remember how a chain began: `entry` is its first."""
        self.admissions[entry.chain] = (
            entry.id if entry.header.kind == CREATE else entry.header.after[0]
        )
        self._ranked.clear()

    def placed(self, entry: Entry, author: bytes) -> Placed | None:
        """The act that `entry` carries, None if it is none that is known and sound."""
        body = decode_body(entry.header.kind, entry.body or b"")
        if not isinstance(body, Act) or not is_sound(body):
            return None
        if isinstance(body, Create | Admit) and not body.certificate.holds():
            return None
        if isinstance(body, Remove) and not all(
            signed_by(cut.device, statement(cut.id), cut.signature) for cut in body.cuts
        ):
            return None
        return Placed(entry.id, entry.chain, entry.header.seq, author, body)

    def certificates_of(self, persons: Set[bytes]) -> list[Certificate]:
        """Of their devices, at most 16 each, in a fixed order."""
        found: dict[bytes, list[Certificate]] = {}
        for one in sorted(self.certificates.values(), key=lambda one: (one.person, one.device)):
            if one.person in persons and len(found.setdefault(one.person, [])) < DEVICES_EACH_MAX:
                found[one.person].append(one)
        return [one for devices in found.values() for one in devices]

    def limit(self, chain: bytes) -> Limit:
        """Up to where a chain counts that is known here."""
        person = self.person_of(chain)
        assert person is not None
        return self.membership.limit(person, self.admissions[chain], chain)

    def _limit_so_far(self, chain: bytes) -> Limit:
        person = self.person_of(chain)
        assert person is not None
        return self.membership.limit_so_far(person, self.admissions[chain], chain)

    def excess(self) -> dict[bytes, Limit]:
        """Chains of which we hold more than counts."""
        self._recognize()
        self._ranked.clear()
        if self._hasty:
            self._hasty, self.estranged = False, True
            self._strangers.clear()
        found: dict[bytes, Limit] = {}
        held: Counter[bytes | None] = Counter()
        for chain, head in self.heads.items():
            held[self.person_of(chain)] += 1
            limit = self.limit(chain)
            if limit.seq is not None and limit.seq < head.seq:
                found[chain] = limit
        for person, count in held.items():
            if person is not None and count > CHAINS_EACH_MAX:
                for _, chain in self._ranks(person)[CHAINS_EACH_MAX:]:
                    found[chain] = VOID
                    self._note_surplus(chain, person)
        return found

    def shorten(self, chain: bytes, head: Head | None) -> None:
        """What stood in `chain` after `head` is taken out."""
        if head is None:
            self.heads.pop(chain, None)
        else:
            self.heads[chain] = head
            self._bar(chain, self.certificates.get(head.device))
        self._digest = None
        self._ranked.clear()
        self.shortened = True

    def _advance(self, entry: Entry) -> None:
        super()._advance(entry)
        if not entry.header.seq:
            self._ranked.clear()

    def stop(self, chain: bytes, proof: ForkProof | None) -> None:
        super().stop(chain, proof)
        self._ranked.clear()
        # What had no place beside it may have one now.
        self.moved = self.moved or bool(self._surplus)

    # -- taking in -----------------------------------------------------------------------------

    def _is_full(self, first: Header) -> bool:
        if not super()._is_full(first):
            return False
        if len(self.heads) >= CHAINS_MAX + FIRST_CHAINS_MAX:
            return True
        # Whoever came first and filled the room with logs: who is let in can write.
        return any(self.admissions.get(chain) in first.after for chain in self.heads)

    def _full(self, chain: bytes) -> Verdict:
        # Whoever sends it need not have invented it.
        return self._decline(chain)

    def _decline(self, chain: bytes) -> Verdict:
        if len(self._strangers) >= CHAINS_MAX:
            self._strangers.clear()
        self._strangers.add(chain)
        self._hasty = self._hasty or self.membership.is_stale
        return Verdict.STRANGER

    def _vet(self, chain: bytes, entries: Sequence[Entry]) -> Accepted | Verdict:
        if any(is_act(entry.header.kind) for entry in entries[:-1]):
            # Each act has to stand by its own signature, so a run ends with it.
            return Verdict.BAD
        first = entries[0]
        certificates: list[Certificate] = []
        for entry in entries:
            if entry.header.seq == 0 and not _begins(entry):
                return Verdict.BAD
            if entry.header.kind in (DEVICE, CREATE):
                certificate = certificate_of(entry.header, entry.body)
                if certificate is None:
                    return Verdict.BAD
                certificates.append(certificate)
        known = self.certificates.get(first.header.device)
        author = certificates[0] if first.header.seq == 0 else known
        if author is None or any(one.person != author.person for one in certificates):
            return Verdict.BAD
        last = self.placed(entries[-1], author.person)
        if last is None and entries[-1].header.kind in _KNOWN_ACTS:
            return Verdict.BAD
        if first.header.seq == 0 and first.header.kind == CREATE:
            # Nothing comes before it that could entitle to it.
            entitled = Membership(self.room)
            entitled.add([last] if last is not None else [])
            if not entitled.members:
                return Verdict.BAD
            if not self._has_place(chain, author.person, founding=True):
                return Verdict.STRANGER
        else:
            under = first.header.after[0] if first.header.seq == 0 else self.admissions[chain]
            # What is taken too much is excess once all is judged, and what is declined asked for.
            limit = self.membership.limit_so_far(author.person, under, chain)
            taken = _up_to(entries, limit)
            if not taken:
                return self._decline(chain)
            if first.header.seq == 0 and not self._has_place(chain, author.person):
                return Verdict.STRANGER
            if len(taken) < len(entries):
                self._decline(chain)
                for certificate in certificates:
                    self.certify(certificate)
                if first.header.seq == 0:
                    self.begun(first)
                return Accepted(tuple(taken), beyond=True)
        for certificate in certificates:
            self.certify(certificate)
        if first.header.seq == 0:
            self.begun(first)
        if last is not None:
            self.act(last)
        return Accepted(tuple(entries))

    # -- more chains of one person than are taken ----------------------------------------------

    def _has_place(self, chain: bytes, person: bytes, *, founding: bool = False) -> bool:
        """Whether a chain that begins is taken: one of more than have places may be another's.

        Places are those of the least ids, whatever came first: all who are linked come to hold the
        same. Forked chains take none, since some never have anything of them.
        """
        ranks, rank = self._ranks(person), (not founding, chain)
        if len(ranks) < CHAINS_EACH_MAX:
            return True
        if rank > ranks[CHAINS_EACH_MAX - 1]:
            self._note_surplus(chain, person)
            self._hasty = self._hasty or self.membership.is_stale
            return False
        # The last of them is excess.
        self.moved = True
        return True

    def is_surplus(self, chain: bytes) -> bool:
        """Whether a chain of which nothing is taken or left has no place, as far as is known."""
        person = self._surplus.get(chain)
        if person is None or chain in self.heads:
            return False
        ranks = self._ranks(person)
        return len(ranks) >= CHAINS_EACH_MAX and ranks[CHAINS_EACH_MAX - 1] < (True, chain)

    def _note_surplus(self, chain: bytes, person: bytes) -> None:
        if len(self._surplus) >= CHAINS_MAX:
            self._surplus.clear()
        self._surplus[chain] = person

    def _ranks(self, person: bytes) -> list[_Rank]:
        """Of the chains of `person` that take places here, in order."""
        if person not in self._ranked:
            self._ranked[person] = sorted(
                (not self._is_founding(chain), chain)
                for chain in self.heads
                if chain not in self.forks
                and self.person_of(chain) == person
                and self._limit_so_far(chain).seq != VOID.seq
            )
        return self._ranked[person]

    def _is_founding(self, chain: bytes) -> bool:
        """Whether the room was founded in it: newcomers begin with that."""
        under = self.membership.acts().get(self.admissions[chain])
        return under is not None and isinstance(under.act, Create) and under.chain == chain

    # -- keys ----------------------------------------------------------------------------------

    def open_epochs(self, entry: Entry, identity: Identity) -> list[bytes]:
        author = self.certificates.get(entry.header.device)
        if author is None or not self.learn_epoch(entry, author.person):
            return []
        id_, body = entry.header.epoch, decode_body(entry.header.kind, entry.body or b"")
        assert isinstance(body, EpochBody | GrantBody)
        opened = []
        if id_ not in self.epochs and self._open(entry, body.recipients, identity):
            opened.append(id_)
        if isinstance(body, EpochBody) or opened:
            opened += self._follow_links(id_)
        return opened

    def _open(self, entry: Entry, recipients: Sequence[Recipient], identity: Identity) -> bool:
        id_, prekey = entry.header.epoch, identity.certificate.prekey
        epoch = self._epochs[id_]
        ours = [*epoch.sealed.values(), *(one for one in recipients if one.prekey == prekey)]
        key = sealing.open_recipients(self.room, id_, ours, epoch.claims, identity)
        if key is not None:
            self.epochs[id_] = key
            epoch.sealed.clear()
        else:
            self._await(entry, recipients, prekey)
        return key is not None

    def await_epoch(self, grant: Entry, prekey: bytes) -> None:
        """Keep what a grant that is known has for the key of ours, until its epoch comes."""
        body = decode_body(grant.header.kind, grant.body or b"")
        if isinstance(body, GrantBody) and grant.header.epoch not in self.epochs:
            self._await(grant, body.recipients, prekey)

    def _await(self, entry: Entry, recipients: Sequence[Recipient], prekey: bytes) -> None:
        author = self.certificates.get(entry.header.device)
        epoch = self._epochs.get(entry.header.epoch)
        if author is None or epoch is None:
            return
        for recipient in recipients:
            if recipient.prekey == prekey:
                epoch.sealed[author.person] = recipient

    def learn_epoch(self, entry: Entry, author: bytes) -> bool:
        """Note whom an EPOCH or a GRANT gives a key; whether it is one."""
        header = entry.header
        body = decode_body(header.kind, entry.body or b"")
        if isinstance(body, EpochBody):
            epoch = self._epochs.setdefault(header.epoch, _Epoch())
            if not epoch.claims:
                epoch.parents = body.parents[:PARENTS_MAX]
                epoch.time = header.time >> 16
            claim = tuple(sorted({recipient.person for recipient in body.recipients}))
            if epoch.made_for is None:
                epoch.claims.setdefault(claim, set()).add(author)
            elif epoch.made_for == claim:
                epoch.holders.add(author)
            epoch.links += body.links[:PARENTS_MAX]
            for link in body.links[:PARENTS_MAX]:
                self._ways.setdefault(link.epoch, []).append((header.epoch, link))
            self._depths = None
        elif isinstance(body, GrantBody):
            epoch = self._epochs.setdefault(header.epoch, _Epoch())
            epoch.holders.add(author)
            for person in {recipient.person for recipient in body.recipients}:
                if person in self.members:
                    epoch.holders.add(person)
                elif author not in epoch.strays.setdefault(person, set()):
                    epoch.strays[person].add(author)
                    self._strays.setdefault((author, person), []).append(header.epoch)
        else:
            return False
        epoch.prekeys.update(recipient.prekey for recipient in body.recipients)
        return True

    def _depth(self, id_: bytes) -> int:
        if self._depths is None:
            self._depths = _depths({id_: one.parents for id_, one in self._epochs.items()})
        return self._depths.get(id_, 0)

    def _follow_links(self, id_: bytes) -> list[bytes]:
        """Open what links lead to, from `id_` on or to it; of all else nothing has changed."""
        found = []
        if id_ not in self.epochs and any(
            self._follow(earlier, link) for earlier, link in self._ways.get(id_, ())
        ):
            found.append(id_)
        reached = [id_] if id_ in self.epochs else []
        while reached:
            at = reached.pop()
            for link in self._epochs[at].links:
                if self._follow(at, link):
                    found.append(link.epoch)
                    reached.append(link.epoch)
        return found

    def _follow(self, id_: bytes, link: EpochLink) -> bool:
        earlier = self._epochs.get(link.epoch)
        if earlier is None or link.epoch in self.epochs or id_ not in self.epochs:
            return False
        key = sealing.open_link(self.room, id_, self.epochs[id_], link, earlier.claims)
        if key is not None:
            self.epochs[link.epoch] = key
        return key is not None

    def writing_epoch(self) -> bytes | None:
        """The key to write under: of those that members alone have, the deepest; then by id."""
        return max(
            filter(self._is_members_alone, self.epochs),
            key=lambda id_: (self._depth(id_), id_),
            default=None,
        )

    def _is_members_alone(self, id_: bytes) -> bool:
        """Whether members alone have a key of ours, as far as anybody can know."""
        epoch = self._epochs.get(id_)
        if epoch is None:
            return False
        if epoch.made_for is None:
            for claim, authors in epoch.claims.items():
                if sealing.epoch_id(self.room, self.epochs[id_], claim) == id_:
                    epoch.made_for = claim
                    epoch.holders.update(claim, authors)
        return (
            epoch.made_for is not None
            and epoch.holders <= self.members
            and not any(
                self._strays[granter, person].index(id_)
                < STRAYS_MAX * self.membership.was_let_in(person)
                for person, granters in epoch.strays.items()
                if person not in self.members
                for granter in granters
            )
        )

    def _recognize(self) -> None:
        """Who was given a key before it was known to be a member was given it like any other."""
        for author, person in [one for one in self._strays if one[1] in self.members]:
            for id_ in self._strays.pop((author, person)):
                self._epochs[id_].holders.add(person)
                self._epochs[id_].strays.pop(person, None)

    def tips(self) -> list[bytes]:
        """Keys of ours that lead to all others: parents for the next one."""
        named = {
            parent
            for id_ in self.epochs
            if id_ in self._epochs
            for parent in self._epochs[id_].parents
        }
        found = [id_ for id_ in self.epochs if id_ not in named]
        return sorted(found, key=lambda id_: (self._depth(id_), id_), reverse=True)[:PARENTS_MAX]

    def without_key(self, epoch: bytes) -> list[Certificate]:
        """Members' devices that have not been given this key."""
        given = self._epochs[epoch].prekeys
        return [one for one in self.certificates_of(self.members) if one.prekey not in given]

    def is_old(self, epoch: bytes, now_ms: int) -> bool:
        # Either way: its time is what its author said.
        return abs(now_ms - self._epochs[epoch].time) > EPOCH_AGE_MS

    # -- acts that stand alone -----------------------------------------------------------------

    def contested(self, entry: Entry, certificate: Certificate) -> Placed | None:
        """An act that came outside its chain, which a removal has cut; None if it is not sound."""
        if (
            not is_act(entry.header.kind)
            or entry.header.room != self.room
            or certificate.device != entry.header.device
            or not certificate.holds()
            or not signature_holds(entry)
        ):
            return None
        return self.placed(entry, certificate.person)

    def keep(self, apart: Sequence[tuple[Certificate, Entry]]) -> set[bytes]:
        """Judge those acts that stand apart which all judge, and no others; answers their ids.

        Apart stands what was cut off, or came without its chain, and all of a forked chain: of
        that members hold different parts, and have to judge alike.
        """
        self.kept_by = self.membership.standing_apart()
        keeping = self.membership.judged_apart(
            (one.person, entry.header.kind, entry.id) for one, entry in apart
        )
        known = self.membership.acts()
        gone = {entry.id for _, entry in apart} - keeping
        if gone & known.keys():
            self.membership.drop(gone)
            self.moved = True
        for certificate, entry in apart:
            if entry.id in keeping and entry.id not in known:
                placed = self.placed(entry, certificate.person)
                if placed is not None:
                    self.act(placed)
        self.loose = keeping
        return keeping

    def is_placed(self, person: bytes) -> bool:
        """Whether an admission of `person` stands in a chain, or counts.

        Else somebody removed could let any number of people in, each with acts to keep.
        """
        return any(
            id_ not in self.loose or counts for id_, counts in self.membership.admissions(person)
        )


def _depths(parents: Mapping[bytes, Sequence[bytes]]) -> dict[bytes, int]:
    """Of each epoch, 1 more than of its deepest parent.

    Circles are nobody's honest work, and are cut at their least id.
    """
    children: dict[bytes, list[bytes]] = {}
    left: dict[bytes, int] = {}
    for id_, before in parents.items():
        known = {one for one in before if one in parents}
        left[id_] = len(known)
        for one in known:
            children.setdefault(one, []).append(id_)
    found: dict[bytes, int] = {}
    for cut in (b"", *sorted(parents)):
        free = [cut] if cut else [id_ for id_, count in left.items() if not count]
        while free:
            id_ = free.pop()
            if id_ in found:
                continue
            found[id_] = 1 + max((found[one] for one in parents[id_] if one in found), default=-1)
            for child in children.get(id_, ()):
                left[child] -= 1
                if not left[child]:
                    free.append(child)
    return found


_KNOWN_ACTS = frozenset(range(CREATE, GRANT))


def _begins(entry: Entry) -> bool:
    """Whether `entry` may be the first of a chain."""
    if entry.header.kind == CREATE:
        return not entry.header.after
    return entry.header.kind == DEVICE and len(entry.header.after) == 1


def _up_to(entries: Sequence[Entry], limit: Limit) -> list[Entry]:
    """Those of a run that count; the last has the signature that the removal brought."""
    if limit.seq is None:
        return list(entries)
    taken = [entry for entry in entries if entry.header.seq <= limit.seq]
    if taken and len(taken) < len(entries):
        last = taken[-1]
        if last.signature is None:
            if last.id != limit.id:
                return []
            last = msgspec.structs.replace(last, signature=limit.signature)
            if not signature_holds(last):
                return []
        taken[-1] = last
    return taken
