"""Acts of membership in rooms of many: written, judged, and carried out on disk.

Who belongs is `core/membership.py`'s to say; here its answer is brought about: what a removal makes
void is taken out, what one that is undone took comes back, and acts that stand in no chain of ours
are kept to be judged with the rest.
"""

from collections.abc import Callable, Sequence
from functools import partial

from p2pchat import errors
from p2pchat.core.acts import CREATE, Act, Cut
from p2pchat.core.bounds import CUTS_MAX
from p2pchat.core.chain import Accepted, Head
from p2pchat.core.entry import Entry, body_fits, chain_id, entry_id, parse_header
from p2pchat.core.facts import Append
from p2pchat.core.group import Group
from p2pchat.core.identity import Certificate, Random
from p2pchat.core.membership import Limit, Placed
from p2pchat.core.wire import SignedAct
from p2pchat.node import prologue
from p2pchat.node.rooms import Rooms
from p2pchat.store import groups as table
from p2pchat.store import journal, withheld
from p2pchat.store.database import Connection, Database

__all__ = ["Groups", "cuts", "signed_act"]

_ROUNDS = 4
"""How often in a row judging may bring other acts to be judged, and these take out or put back what
moves others: only who wrote hundreds of removals in one go takes more than two."""
_EARLY_MAX = 256
"""Acts of a room that wait for what lets in who wrote them; who shows them shows them again."""


class Groups:
    def __init__(self, database: Database, rooms: Rooms, random: Random) -> None:
        self._database = database
        self._rooms = rooms
        self._random = random
        self.listeners: list[Callable[[Group, bool], None]] = []
        """Hear of rooms whose acts moved, and whether there are contested ones to show."""
        self._moderators: dict[bytes, frozenset[bytes]] = {}
        self._alone: set[bytes] = set()
        """ids of acts that came without their chain"""
        self._early: dict[bytes, list[tuple[Certificate, Entry]]] = {}
        """acts that came before those that let in who wrote them"""
        rooms.judge = self._judge
        rooms.talk.admins = self._may_moderate

    async def load(self) -> None:
        """Do what an earlier run had not come to."""
        for chains in list(self._rooms.all()):
            if isinstance(chains, Group):
                async with self._rooms.saving:
                    await self._judge(chains, came=True)

    def get(self, room: bytes) -> Group | None:
        chains = self._rooms.get(room)
        return chains if isinstance(chains, Group) else None

    async def act(self, group: Group, kind: int, make: Callable[[Connection, Group], Act]) -> Entry:
        """Write an act, with the keys that it makes needed; what follows is done on return.

        `make` makes it of what is on disk while nothing is on its way there.
        """
        rooms, room = self._rooms, group.room
        async with rooms.saving:
            await rooms.flush({room})
            await rooms.begin_anew(group)
            made = await self._database.read(lambda tx: make(tx, group))
            identity, own = rooms.identity(), rooms.own(group)
            entries: list[Entry] = []
            if kind != CREATE:
                began = group.seq(rooms.own_chain(room)) >= 0
                entries += prologue.introduce(group, own, identity, began=began)
            entry = own(kind, made)
            entries.append(entry)
            if kind == CREATE:
                group.begun(entry)
                group.certify(identity.certificate)
            placed = group.placed(entry, identity.person)
            assert placed is not None
            group.act(placed)
            if identity.person in group.members:
                entries += prologue.keys(group, own, identity, self._random, rooms.now_ms())
            await rooms.append([Append(room, tuple(entries))], None)
            await self._judge(group)
        return entry

    def _may_moderate(self, room: bytes) -> frozenset[bytes]:
        # Kept, since the store's threads ask, while acts come in ours.
        return self._moderators.get(room, frozenset())

    # -- judging -------------------------------------------------------------------------------

    async def _judge(self, group: Group, *, came: bool = False) -> None:
        """Carry out what the acts amount to. `came`: some stand in no chain, and are new."""
        room, before = group.room, group.loose
        early = self._early.pop(room, ())
        if early:
            came |= bool(await self._take(group, early))
        for _ in range(_ROUNDS):
            came |= await self._carry_out(group)
            if came or (group.loose and group.kept_by != group.membership.standing_apart()):
                await self._keep(group)
            if not group.moved:
                break
        group.moved = False
        moderators = group.membership.moderators
        known = self._moderators.get(room)
        if moderators != known:
            self._moderators[room] = moderators
            try:
                await self._database.write(lambda tx: self._rooms.talk.fold(tx, group).judge())
            except errors.Error:
                self._moderators[room] = known or frozenset()
                raise
        for listener in list(self.listeners):
            listener(group, not group.loose <= before)

    async def _carry_out(self, group: Group) -> bool:
        """Take out and put back until that moves nothing more; whether there was anything.

        Within bounds: whoever found acts that undo each other by turns shall stop no journal.
        """
        changed = False
        for _ in range(_ROUNDS):
            if not group.moved:
                break
            group.moved = False
            await self._rooms.flush({group.room})
            for chain, limit in group.excess().items():
                certificate = group.certificates[group.heads[chain].device]
                cut = partial(self._cut, group, chain=chain, limit=limit, certificate=certificate)
                group.shorten(chain, await self._database.write(cut))
                self._rooms.settling.wake()
                changed = True
            changed |= await self._put_back(group)
        return changed

    async def _keep(self, group: Group) -> None:
        """Judge those acts that stand apart which all judge, and no others."""
        found = await self._database.write(partial(self._apart, group))
        gone = {entry.id for _, entry in found} - group.keep(found)
        # What was cut off stays on disk: it may count again.
        alone = gone & self._alone
        if alone:
            await self._database.write(partial(withheld.drop, ids=alone))
            self._alone -= alone

    def _apart(self, group: Group, tx: Connection) -> list[tuple[Certificate, Entry]]:
        """Acts that are here and stand in no chain that counts, or in one that is forked."""
        withheld.tidy(tx, group.room)
        return [*withheld.acts(tx, group.room), *table.forked_acts(tx, group)]

    def _cut(
        self, group: Group, tx: Connection, chain: bytes, limit: Limit, certificate: Certificate
    ) -> Head | None:
        """Take out what stands in `chain` beyond `limit`, and what it says of messages."""
        fold = self._rooms.talk.fold(tx, group)
        fold.leave(withheld.excess(tx, chain, limit))
        head = withheld.withhold(tx, chain, limit, certificate)
        fold.settle()
        return head

    async def _put_back(self, group: Group) -> bool:
        """What is withheld and counts after all, as if it came from a peer; whether any does."""
        changed = False
        for chain, lowest in await self._database.read(lambda tx: withheld.chains(tx, group.room)):
            first = group.seq(chain) + 1
            if first < lowest or chain in group.forks or group.is_surplus(chain):
                continue
            waiting = await self._database.read(
                partial(withheld.waiting, chain=chain, first=first, last=None)
            )
            run: list[Entry] = []
            for entry in waiting:
                run.append(entry)
                if entry.signature is None:
                    continue
                headers, bodies = [one.raw for one in run], [one.body for one in run]
                result = group.accept(headers, bodies, entry.signature)
                if not isinstance(result, Accepted):
                    break
                await self._rooms.flush({group.room})
                ids = [one.id for one in result.entries]
                await self._database.write(partial(withheld.drop, ids=ids))
                run, changed = [], True
        return changed

    # -- acts that stand in no chain -----------------------------------------------------------

    async def contested(self, group: Group, acts: Sequence[SignedAct]) -> list[Placed]:
        """Judge acts that a peer shows; answers those that were new."""
        known = group.membership.acts()
        fresh = [
            (act.certificate, entry)
            for act in acts
            if (entry := _entry_of(act)) is not None and entry.id not in known
        ]
        if not fresh:
            return []
        async with self._rooms.saving:
            found = await self._take(group, fresh)
            if found:
                await self._judge(group, came=True)
        return found

    async def _take(self, group: Group, fresh: Sequence[tuple[Certificate, Entry]]) -> list[Placed]:
        """Have those judged that are sound, and whose authors acts have let in; `saving` is held.

        Acts may come before what lets in who wrote them: they wait for that.
        """
        held = await self._database.write(partial(self._apart, group))
        membership = group.membership
        # Only those are looked at closer that may be kept.
        keeping = membership.judged_apart(
            (one.person, entry.header.kind, entry.id) for one, entry in [*held, *fresh]
        )
        keeping |= {
            entry.id
            for one, entry in fresh
            if membership.may_be_known(one.person, entry.chain, entry.header.seq)
        }
        sound = [
            (placed, entry, certificate)
            for certificate, entry in fresh
            if entry.id in keeping and (placed := group.contested(entry, certificate)) is not None
        ]
        found: list[Placed] = []
        for _ in range(_ROUNDS):
            taken = [one for one in sound if group.is_placed(one[2].person)]
            sound = [one for one in sound if not group.is_placed(one[2].person)]
            for placed, entry, certificate in taken:
                await self._database.write(
                    partial(withheld.keep, entry=entry, certificate=certificate)
                )
                self._alone.add(entry.id)
                group.act(placed)
                found.append(placed)
            if not taken or not sound:
                break
        early = [(certificate, entry) for _, entry, certificate in sound]
        self._early[group.room] = [*self._early.get(group.room, ()), *early][-_EARLY_MAX:]
        return found

    async def withheld_acts(self, group: Group) -> list[SignedAct]:
        """Acts that a removal has cut off, or that came without their chain, as far as judged."""
        if not group.loose:
            return []
        found = await self._database.read(lambda tx: withheld.acts(tx, group.room))
        return [
            one
            for certificate, entry in found
            if entry.id in group.loose and (one := signed_act(entry, certificate))
        ]

    async def forked_acts(self, group: Group) -> list[SignedAct]:
        """The acts that we hold of chains which are known to be forked."""
        if not group.forks:
            return []
        found = await self._database.read(lambda tx: table.forked_acts(tx, group))
        return [one for certificate, entry in found if (one := signed_act(entry, certificate))]

    async def forked(self, group: Group) -> None:
        """A chain is known to be forked: its acts stand apart from now on."""
        async with self._rooms.saving:
            await self._judge(group, came=True)

    async def acts_in(self, group: Group, chain: bytes) -> list[SignedAct]:
        """The acts of one chain that is known here."""
        certificate = group.certificates[group.heads[chain].device]
        acts = await self._database.read(partial(journal.acts, room=group.room, chain=chain))
        return [one for entry in acts if (one := signed_act(entry, certificate))]

    async def acts_of(
        self, group: Group, person: bytes, last: int | None = None
    ) -> list[SignedAct]:
        """The acts that `person` wrote (the `last` of them), whether or not they count."""
        others = await self.withheld_acts(group)
        apart = [one for one in others if one.certificate.person == person]
        shown = {entry_id(one.header) for one in apart}
        ids = [id_ for id_ in group.membership.written_by(person) if id_ not in shown]
        if last is not None:
            ids = ids[-max(0, last - len(apart)) :] if len(apart) < last else []
        return await self._in_chains(group, ids) + apart

    async def removals_of(self, group: Group, person: bytes) -> list[SignedAct]:
        """The acts that remove `person`: what somebody removed is shown."""
        return await self._in_chains(group, group.membership.removals(person))

    async def leading_to(
        self, group: Group, persons: Sequence[bytes], peer: bytes
    ) -> list[SignedAct]:
        """The acts by which `persons` are members, as far as `peer` is not known to have them."""
        ids = group.membership.leading_to(persons, peer)
        acts = await self._in_chains(group, ids) + await self.withheld_acts(group)
        found = {entry_id(one.header): one for one in acts}
        return [found[id_] for id_ in ids if id_ in found]

    async def _in_chains(self, group: Group, ids: Sequence[bytes]) -> list[SignedAct]:
        """Acts that stand in chains here; others are passed over."""
        found = await self._database.read(lambda tx: withheld.standing(tx, ids))
        return [
            one
            for entry in found
            if (certificate := group.certificates.get(entry.header.device)) is not None
            and (one := signed_act(entry, certificate))
        ]


def cuts(tx: Connection, group: Group, person: bytes) -> tuple[Cut, ...]:
    """Up to where the chains of `person` are on disk here; what comes later shall not count."""
    found: list[Cut] = []
    for row in journal.heads(tx, group.room):
        certificate = group.certificates.get(row.device)
        if certificate is None or certificate.person != person:
            continue
        head = journal.entry(tx, row.id)
        if head.signature is not None:
            header = head.header
            found.append(Cut(row.device, header.incarnation, row.seq, row.id, head.signature))
    # Beyond the bound the newest chains: of the older ones all that counts is here already.
    return tuple(sorted(found, key=lambda cut: (cut.device, cut.incarnation))[:CUTS_MAX])


def signed_act(entry: Entry, certificate: Certificate) -> SignedAct | None:
    """`entry` to be shown without its chain; None if its signature is not known."""
    if entry.signature is None or entry.body is None:
        return None
    return SignedAct(certificate, entry.raw, entry.body, entry.signature)


def _entry_of(act: SignedAct) -> Entry | None:
    header = parse_header(act.header)
    if header is None or not body_fits(header, act.body):
        return None
    chain = chain_id(header.room, header.device, header.incarnation)
    return Entry(entry_id(act.header), chain, header, act.header, act.body, act.signature)
