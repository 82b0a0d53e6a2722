"""Rooms: what is written, what came in, and how it reads.

Holds `Chains` of every room in memory and keeps them and the store in step: heads move when entries
are accepted, entries are on disk before anything about them leaves, and if a commit fails the room
is loaded anew.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import msgspec

from p2pchat import errors
from p2pchat.core.bounds import RUN_BYTES, RUN_ENTRIES_MAX
from p2pchat.core.chain import Branch, Chains, Fork, ForkProof, Head
from p2pchat.core.clock import HybridClock, seconds
from p2pchat.core.colour import colour
from p2pchat.core.entry import (
    DEVICE,
    EPOCH,
    GRANT,
    MESSAGE,
    Entry,
    MessageBody,
    ShareBody,
    chain_id,
)
from p2pchat.core.facts import Append, Forked, Load
from p2pchat.core.group import Group
from p2pchat.core.identity import Certificate, Identity, Random, direct_room, id_range, id_text
from p2pchat.core.membership import OPEN
from p2pchat.core.mention import calls
from p2pchat.core.talk import may_delete, pinned
from p2pchat.events import Event, Message, Share, rfc3339
from p2pchat.node import prologue
from p2pchat.node.commits import Commits, Committed, Read, Run
from p2pchat.node.fold import Fold
from p2pchat.node.reading import Reading, clock_off_s, message, unnamed
from p2pchat.node.recent import Recent
from p2pchat.node.settling import Settling
from p2pchat.node.talk import Talk
from p2pchat.node.turn import Turn
from p2pchat.node.words import Words
from p2pchat.store import amendments, groups, journal, lacking, meta, rooms, search, withheld
from p2pchat.store.database import Connection, Database
from p2pchat.text import printable

__all__ = ["Author", "Rooms"]

Listener = Callable[[bytes, Sequence[Entry], object], None]
"""Hears room, entries of one chain that are on disk now, where from (None: here, or several)."""


@dataclass(frozen=True, slots=True)
class Author:
    """How somebody who wrote something is shown (`events.Message`)."""

    name: str
    colour: str
    verified: bool | None = None
    clash: str | None = None
    blocked: bool = False


class Rooms:
    def __init__(
        self,
        database: Database,
        incarnation: bytes,
        random: Random,
        wall: Callable[[], float],
        publish: Callable[[Event], None],
    ) -> None:
        self._publish = publish
        self._database = database
        self.identity: Callable[[], Identity]
        self.heard: Callable[[], bool] = lambda: True
        """Whether anybody listens to what is published: to make it costs a decryption each."""
        self.shown_as: Callable[[Certificate], Author] = lambda certificate: Author(
            certificate.safe_name(), colour(certificate.person)
        )
        self.marks_of: Callable[[Entry], tuple[list[str], list[str]]] = lambda entry: ([], [])
        """Peer ids of who has an entry of ours on disk, and of who has read it."""
        self._incarnation = incarnation
        self._random = random
        self._wall = wall
        self._clock = HybridClock()
        self._rooms: dict[bytes, Chains] = {}
        self.saving = Turn()
        """held while accepted entries go to disk, in order, and what follows from them is done"""
        self.recent = Recent()
        """What we wrote ourselves last."""
        self.listeners: list[Listener] = []
        self.judge: Callable[[Group], Awaitable[None]]
        """Does what new acts of membership ask for."""
        self.timer_s: Callable[[bytes], int] = lambda _: 0
        """After how many seconds what we write in a room disappears; 0: it stays."""
        self.talk = Talk(database, self.get, wall, publish)
        self.words = Words(database, self.talk)
        self.settling = Settling(database, self.get, self.talk)
        self._commits = Commits(
            database, self.talk, self._is_heard, self._committed, self._load_room
        )

    # -- what there is -------------------------------------------------------------------------

    async def load(self) -> None:
        def read(tx: Connection) -> tuple[dict[bytes, Chains], int]:
            found = {row.room: self._load_room(tx, row.room) for row in rooms.all_rooms(tx)}
            return found, journal.newest_time(tx)

        self._rooms, newest = await self._database.read(read)
        self._clock.witness(newest, self._wall())
        await self.talk.start()
        self.settling.wake()

    def _load_room(self, tx: Connection, room: bytes) -> Chains:
        if rooms.kind(tx, room) == "group":
            return groups.load(tx, room, self.identity().certificate.prekey)
        chains = Chains(room, frozenset(rooms.members(tx, room)))
        for row in journal.heads(tx, room):
            chains.restore(row.chain, Head(row.seq, row.id, row.device, row.time))
        for entry in journal.of_kind(tx, room, DEVICE):
            certificate = chains.read(entry)
            if isinstance(certificate, Certificate):
                chains.certify(certificate)
        for chain, proof in journal.forks(tx, room).items():
            chains.stop(chain, msgspec.msgpack.decode(proof, type=ForkProof))
        chains.epochs.update(rooms.epochs(tx, room))
        return chains

    def get(self, room: bytes) -> Chains | None:
        return self._rooms.get(room)

    def all(self) -> Iterable[Chains]:
        return self._rooms.values()

    def with_member(self, person: bytes) -> list[Chains]:
        return [chains for chains in self._rooms.values() if person in chains.members]

    def own_chain(self, room: bytes) -> bytes:
        return chain_id(room, self.identity().device, self._incarnation)

    async def introduce(self, group: Group) -> None:
        """Begin our chain, so that others see that we are here."""
        began = group.seq(self.own_chain(group.room)) >= 0
        entries = [*prologue.introduce(group, self.own(group), self.identity(), began=began)]
        if entries:
            await self.append([Append(group.room, tuple(entries))], None)

    async def begin_anew(self, group: Group) -> None:
        """Where our chain has ended, since we were out of the room: write another from now on."""
        chain = self.own_chain(group.room)
        if chain in group.heads:
            ended = group.limit(chain) != OPEN
        else:
            # A removal that left nothing of it: to begin it once more would be a fork.
            ended = await self._database.read(partial(withheld.holds, chain=chain))
        if ended:
            await self.renew()

    async def renew(self) -> None:
        """Write in new chains from now on."""
        self._incarnation = self._random(8)
        await self._database.write(partial(meta.put, name="incarnation", value=self._incarnation))

    def create_direct(self, tx: Connection, person: bytes) -> bytes:
        """Put the room of two with `person` into the store, if it is not there; answers its id."""
        own = self.identity().person
        room = direct_room(own, person)
        rooms.add(tx, room, "direct", "", self._wall(), [own, person])
        return room

    def opened(self, room: bytes, members: Iterable[bytes]) -> Chains:
        """The room is in the store: hold it from now on."""
        return self._rooms.setdefault(room, Chains(room, frozenset(members)))

    def opened_group(self, room: bytes) -> Group:
        """The room of many is in the store: hold it from now on."""
        group = self._rooms.setdefault(room, Group(room))
        assert isinstance(group, Group)
        return group

    def forgotten(self, room: bytes) -> None:
        """The room is not in the store any more."""
        del self._rooms[room]

    # -- writing -------------------------------------------------------------------------------

    async def write(
        self, room: bytes, kind: int, body: msgspec.Struct, peers: Sequence[Certificate]
    ) -> Entry:
        """Write one entry of ours; it is on disk when this returns.

        `peers`: certificates of the other members, for a first epoch.
        """
        await self._commits.level()
        chains = self._rooms[room]
        if isinstance(chains, Group):
            await self.begin_anew(chains)
        own, began = self.own(chains), chains.seq(self.own_chain(room)) >= 0
        if isinstance(chains, Group):
            entries = [
                *prologue.introduce(chains, own, self.identity(), began=began),
                *prologue.keys(chains, own, self.identity(), self._random, self.now_ms()),
            ]
        else:
            entries = list(
                prologue.direct(chains, own, self.identity(), peers, self._random, began=began)
            )
        entries.append(own(kind, body, chains.writing_epoch() or b""))
        lives: dict[bytes, int] = {}
        if isinstance(body, MessageBody) and body.lifetime_s is not None:
            lives[entries[-1].id] = body.lifetime_s
        await self.append([Append(room, tuple(entries))], None, lives, fresh=True)
        return entries[-1]

    def own(self, chains: Chains) -> prologue.Own:
        """What writes our next entry there; the caller commits it."""

        def write(
            kind: int,
            body: msgspec.Struct,
            epoch: bytes = b"",
            after: tuple[bytes, ...] | None = None,
        ) -> Entry:
            return chains.write(
                self.identity(),
                self._incarnation,
                time=self._clock.next(self._wall()),
                kind=kind,
                body=body,
                random=self._random,
                epoch=epoch,
                after=after,
            )

        return write

    def now_ms(self) -> int:
        return int(self._wall() * 1000)

    # -- taking in -----------------------------------------------------------------------------

    async def commit(self, records: Sequence[object], source: object) -> None:
        """Put what links' machines accepted on disk, up to what this one did."""
        appends = [record for record in records if isinstance(record, Append)]
        rooms = {append.room for append in appends if append.room in self._rooms}
        await self._commits.level()
        # Cancelled or not, it is done, and so is what follows from it.
        if not self.saving.free or self._moved(rooms):
            await asyncio.shield(self._save(rooms, appends, source))
            # What is written here takes no turn.
            await self._commits.finished()
        elif any(self._rooms[room].unsaved for room in rooms):
            # Without a task: it is the store's before anything is waited for, and the turn ends
            # when it is on disk, whoever still waits for that.
            await self.saving.take()
            try:
                waiter = self._commits.begin(self._accepted(rooms, appends, source))
            except BaseException:
                self.saving.end()
                raise
            waiter().add_done_callback(self._saved)
            await waiter()
        else:
            await self._commits.finished()
        self._check(appends)

    def _saved(self, done: "asyncio.Future[None]") -> None:
        done.exception()  # told to whoever waits
        self.saving.end()

    def _moved(self, rooms: Iterable[bytes]) -> list[Group]:
        """Rooms of many where acts have come that nobody has judged."""
        found = (self._rooms.get(room) for room in rooms)
        return [group for group in found if isinstance(group, Group) and group.moved]

    async def _save(self, rooms: set[bytes], own: Sequence[Append], source: object) -> None:
        # One at a time: runs of one chain come by several links, and fit only in order.
        async with self.saving:
            # What moves others while this is written is judged by whoever brought that.
            moved = self._moved(rooms)
            await self.flush(rooms, own, source)
            for group in moved:
                await self.judge(group)

    def _check(self, own: Sequence[Append]) -> None:
        for append in own:
            chains = self._rooms.get(append.room)
            if chains is None:
                continue  # forgotten meanwhile
            if append.reloads not in (None, chains.reloads):
                # A commit failed, of whosever entries: what was to be said of heads is not true.
                raise journal.moved()
            last = append.entries[-1] if append.entries else None
            if last is None or chains.is_cut(last):
                continue
            if chains.seq(last.chain) < last.header.seq:
                # Another link took it along, and that commit failed.
                raise journal.moved()

    async def flush(
        self, rooms: set[bytes], own: Sequence[Append] = (), source: object = None
    ) -> None:
        """Commit what was accepted; `saving` is held."""
        await self._commits.add(self._accepted(rooms, own, source))

    def _accepted(self, rooms: set[bytes], own: Sequence[Append], source: object) -> list[Run]:
        """What was accepted and is not the store's yet; now it has to be."""
        appends: list[Append] = []
        for room in rooms:
            chains = self._rooms[room]
            appends += [Append(room, entries) for entries in chains.unsaved]
            chains.unsaved.clear()
        if not appends:
            return []
        newest = max(entry.header.time for one in appends for entry in one.entries)
        self._clock.witness(newest, self._wall())
        # Others' links accepted the rest: which of them is not known here.
        brought = {append.entries[-1].id for append in own if append.entries}
        return [
            self._run(one, source if one.entries[-1].id in brought else None) for one in appends
        ]

    async def append(
        self,
        appends: Sequence[Append],
        source: object,
        lives: Mapping[bytes, int] = MappingProxyType({}),
        *,
        fresh: bool = False,
    ) -> None:
        """Put on disk what is in memory, and tell of it.

        `lives`: lifetimes that are known, in seconds; of others `words` learns. `fresh`: written
        here just now. Raises errors.Error; then memory is as the disk is.
        """
        await self._commits.add(
            [self._run(one, source, lives, fresh=fresh) for one in appends if one.entries]
        )

    def _run(
        self,
        append: Append,
        source: object,
        lives: Mapping[bytes, int] = MappingProxyType({}),
        *,
        fresh: bool = False,
    ) -> Run:
        chains = self._rooms[append.room]
        run = Run(chains, append.entries, source, fresh=fresh, lives=lives)
        for entry in append.entries:
            if entry.header.kind in (EPOCH, GRANT):
                opened = self._opened_by(chains, entry)
                run.keys = [*run.keys, *((epoch, chains.epochs[epoch]) for epoch in opened)]
            elif entry.header.kind == DEVICE:
                certificate = chains.read(entry)
                if isinstance(certificate, Certificate):
                    run.certificates = [*run.certificates, certificate]
        return run

    def _is_heard(self) -> bool:
        return self.heard()

    def _committed(self, committed: Committed) -> None:
        """What follows from entries being on disk."""
        self.words.note()
        if committed.unsettled:
            self.settling.wake()
        if any(fold.hurried for fold in committed.folds):
            self.talk.sooner()
        for run in committed.runs:
            if run.fresh:
                self.recent.add(run.entries, committed.places)
            for listener in self.listeners:
                listener(run.chains.room, run.entries, run.source)
        self._tell(committed.read, committed.folds)

    def _opened_by(self, chains: Chains, entry: Entry) -> Sequence[bytes]:
        ours = entry.header.device == self.identity().device
        if ours and entry.header.epoch in chains.epochs:
            # We have made that key, or passed it on, and hold it since.
            return [entry.header.epoch]
        return chains.open_epochs(entry, self.identity())

    def _tell(self, read: Read, folds: Iterable[Fold]) -> None:
        """Publish what came, and what it has changed."""
        for event in self._events(read):
            self._publish(event)
            if isinstance(event, Message) and event.expires is not None:
                self.words.hurry()
        for fold in folds:
            for change, certificate in fold.changes:
                author = self.shown_as(certificate)
                if not author.blocked:
                    self._publish(msgspec.structs.replace(change, name=author.name))

    async def fill(self, room: bytes, bodies: Mapping[bytes, bytes]) -> None:
        """Put bodies that entries of a room lack in their places, where they are the right ones."""
        chains = self._rooms[room]

        def write(tx: Connection) -> tuple[Read, Fold]:
            fold = self.talk.fold(tx, chains)
            found = [lacking.fill(tx, room, id_, body) for id_, body in bodies.items()]
            filled = [entry for entry in found if entry is not None]
            fold.fill(filled)
            return self._read(tx, chains, filled), fold

        # In its place among what commits tell.
        await self._database.write(write, lambda filled: self._tell(filled[0], [filled[1]]))

    async def keep_fork(self, fact: Forked) -> ForkProof | None:
        """Put the proof of a fork on disk, our half added where it lacks; None if that is gone."""
        chains, proof = self._rooms[fact.room], fact.proof
        if isinstance(proof, Fork):
            want = Load(fact.room, fact.chain, proof.seq, chains.seq(fact.chain))
            ours = await self.load_run(want)
            if not ours or (signature := ours[-1].signature) is None:
                return None
            branch = Branch(tuple(entry.raw for entry in ours), signature)
            proof = ForkProof(branch, proof.branch)
            if chains.prove(proof) is None:
                return None
        encoded = msgspec.msgpack.encode(proof)
        await self._database.write(
            partial(journal.keep_fork, room=fact.room, chain=fact.chain, proof=encoded)
        )
        return proof

    def forked(self, room: bytes) -> set[bytes]:
        """People with a chain in this room that is known to be forked."""
        chains = self._rooms[room]
        devices = {chains.heads[chain].device for chain in chains.forks if chain in chains.heads}
        return {chains.certificates[device].person for device in devices}

    def author(self, room: bytes, chain: bytes) -> bytes | None:
        """Who writes a chain that is known here."""
        chains = self._rooms[room]
        head = chains.heads.get(chain)
        certificate = chains.certificates.get(head.device) if head else None
        return certificate.person if certificate else None

    async def load_run(self, want: Load) -> list[Entry]:
        """Entries of one chain, the last with a signature that this node has verified."""
        return await self._database.read(
            lambda tx: journal.run(
                tx, want.chain, want.first, want.last, RUN_BYTES, RUN_ENTRIES_MAX
            )
        )

    # -- reading -------------------------------------------------------------------------------

    def event(self, entry: Entry, reading: Reading | None = None) -> Message | Share | None:
        """What a person is shown of an entry; None if it cannot be read.

        `reading`: what became of a message since.
        """
        chains = self._rooms[entry.header.room]
        certificate = chains.certificates.get(entry.header.device)
        if certificate is None:
            return None
        author = self.shown_as(certificate)
        if author.blocked:
            return None
        if entry.header.kind == MESSAGE:
            shown = message(chains, entry, reading, self.talk.now_ms())
            me = self.identity()
            ours = certificate.person == me.person
            had, read_by = self.marks_of(entry) if ours else ([], [])
            return shown and msgspec.structs.replace(
                shown,
                name=author.name,
                verified=author.verified,
                clash=author.clash,
                colour=author.colour,
                mention=not ours and calls(shown.text, _names(me)),
                delivered_to=had,
                read_by=read_by,
            )
        match chains.read(entry):
            case ShareBody(share, name, size, magnet) if len(share) == 32 and size >= 0:
                return Share(
                    id=id_text(share),
                    name=name,
                    size=size,
                    magnet=magnet,
                    room=id_text(chains.room),
                    author=id_text(certificate.person),
                    time=rfc3339(seconds(entry.header.time)),
                    clock_off=clock_off_s(entry, reading, self.talk.now_ms()),
                )
        return None

    def written(self, entry: Entry) -> Message | Share | None:
        """What a person is shown of an entry that `write` has just answered."""
        place = self.recent.order(entry.id)
        return self.event(entry, unnamed(place)) if place is not None else None

    def _read(self, tx: Connection, chains: Chains, entries: Sequence[Entry]) -> Read:
        """These entries of a room, and what became of them."""
        found = self.talk.readings(tx, chains, entries)
        return [(entry, found.get(entry.id)) for entry in entries]

    def _events(self, read: Read) -> list[Message | Share]:
        # Not within the transaction: how people are shown is the loop's.
        return [event for one in read if (event := self.event(*one)) is not None]

    async def events(self, room: bytes, entries: Sequence[Entry]) -> list[Message | Share | None]:
        """How each of these entries of a room is shown now."""
        chains = self._rooms[room]
        read = await self._database.read(lambda tx: self._read(tx, chains, entries))
        return [self.event(*one) for one in read]

    async def history(
        self,
        room: bytes,
        *,
        last: int | None,
        since_s: float | None,
        kinds: Sequence[int],
        words: str | None = None,
    ) -> list[Message | Share]:
        """The newest `last` entries since `since_s` (Unix seconds) with `words`, oldest first.

        Raises errors.BadInput `search-empty`.
        """
        chains = self._rooms[room]
        hidden = [
            device
            for device, certificate in chains.certificates.items()
            if self.shown_as(certificate).blocked
        ]

        def read(tx: Connection) -> Read:
            if words is None:
                found = journal.tail(tx, room, kinds, last=last, since_s=since_s, hidden=hidden)
            else:
                found = search.find(
                    tx, room, words, kinds, last=last, since_s=since_s, hidden=hidden
                )
            return self._read(tx, chains, found)

        # So that whoever listens before it asks misses nothing in between.
        await self._commits.finished()
        if words is not None:
            await self.words.complete()
        return self._events(await self._database.read(read))

    async def pinned(self, room: bytes) -> list[Message]:
        """A room's pinned messages, the one pinned last first."""
        chains = self._rooms[room]

        def read(tx: Connection) -> Read:
            ids = pinned(amendments.pins(tx, room))
            entries = amendments.entries(tx, ids)
            return self._read(tx, chains, [entries[id_] for id_ in ids if id_ in entries])

        found = self._events(await self._database.read(read))
        return [one for one in found if isinstance(one, Message) and not one.deleted]

    async def versions(self, entry: Entry) -> list[Message]:
        """A message with each of the texts that it has had, the first one first."""
        chains = self._rooms[entry.header.room]
        found = await self._database.read(lambda tx: self.talk.versions(tx, chains, entry))
        return [
            msgspec.structs.replace(event, time=rfc3339(seconds(time)))
            for reading, time in found
            if isinstance(event := self.event(entry, reading), Message)
        ]

    def may_delete(self, entry: Entry) -> bool:
        """Whether we may delete this message."""
        room = entry.header.room
        author = self._rooms[room].certificates[entry.header.device].person
        return may_delete(self.identity().person, author, self.talk.admins(room))

    async def entry(self, id_: bytes) -> Entry:
        """An entry that `find` has found."""
        return await self._database.read(lambda tx: journal.entry(tx, id_))

    async def find(self, room: bytes, prefix: str) -> bytes:
        """The id of the one message of `room` that begins with `prefix` (base32).

        Raises errors.BadInput `entry-unknown`.
        """
        bounds = id_range(prefix.lower())
        matching: list[bytes] = []
        known = self.recent.entry(bounds[0]) if bounds is not None else None
        if (
            known is not None
            and known.header.kind == MESSAGE
            and known.header.room == room
            and id_text(known.id) == prefix.lower()
        ):
            matching = [known.id]
        elif bounds is not None:
            matching = await self._database.read(
                lambda tx: journal.between(tx, room, bounds[0], bounds[1], MESSAGE, 2)
            )
        if len(matching) != 1:
            many = "several" if matching else "no"
            raise errors.BadInput(
                "entry-unknown",
                f"{many} messages have an id that begins with {printable(prefix)!r}",
                "p2pchat log ROOM shows the ids",
            )
        return matching[0]


def _names(identity: Identity) -> tuple[str, ...]:
    """By what people call us in a message."""
    id_ = id_text(identity.person)
    return identity.certificate.safe_name(), id_, id_[:8]
