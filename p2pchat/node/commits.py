"""Puts entries on disk, in one transaction all that have gathered until the store's turn comes.

Each statement costs about as much as the row that it writes, so entries of one chain that were
written one after the other go in as one run, and leave as one. Nothing waits for that: whoever
comes while the store is busy joins what is next. It knows the store and what an entry brings
besides itself; what follows from a commit is its owner's.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

from p2pchat import errors
from p2pchat.core.chain import Chains
from p2pchat.core.entry import Entry
from p2pchat.core.identity import Certificate
from p2pchat.node.fold import Fold
from p2pchat.node.reading import Reading
from p2pchat.node.talk import Talk
from p2pchat.store import contacts, journal, rooms, unsettled
from p2pchat.store.database import Connection, Database

__all__ = ["Commits", "Committed", "Read", "Run"]

Read = list[tuple[Entry, Reading | None]]
"""Entries, and what became of them."""
_ENTRIES_MAX = 256
"""In one transaction, beside what comes at once: few enough that none waits long."""


@dataclass(slots=True)
class Run:
    """Entries of one chain that follow each other, and what they bring."""

    chains: Chains
    entries: Sequence[Entry]
    source: object = None
    fresh: bool = False
    """written here just now: nothing can have named them yet"""
    keys: Sequence[tuple[bytes, bytes]] = ()
    """epochs and their keys"""
    certificates: Sequence[Certificate] = ()
    lives: Mapping[bytes, int] = field(default_factory=lambda: MappingProxyType({}))
    """lifetimes that are known, in seconds"""

    def takes(self, later: "Run") -> bool:
        """Whether `later` is but more of the same."""
        return (
            self.chains is later.chains
            and self.source is later.source
            and self.fresh == later.fresh
            and self.entries[-1].chain == later.entries[0].chain
            and self.entries[-1].id == later.entries[0].header.prev
        )

    def joined(self, later: "Run") -> "Run":
        return Run(
            self.chains,
            [*self.entries, *later.entries],
            self.source,
            self.fresh,
            [*self.keys, *later.keys],
            [*self.certificates, *later.certificates],
            {**self.lives, **later.lives},
        )


@dataclass(slots=True)
class Committed:
    """What a transaction has put on disk."""

    runs: Sequence[Run]
    read: Read
    """to be shown, where anybody looks on"""
    folds: Sequence[Fold]
    places: Mapping[bytes, int]
    """in the order, of what was written here just now"""
    unsettled: bool
    """whether more has to move in the order than could at once"""


class _Batch:
    """One transaction. Gathers in the loop's thread until the writer's thread begins it."""

    def __init__(self, talk: Talk, heard: Callable[[], bool]) -> None:
        self._talk = talk
        self._heard = heard
        self._lock = threading.Lock()
        self._begun = False
        self.runs: list[Run] = []
        self._size = 0
        self.waiting: list[asyncio.Future[None]] = []
        """one for each who waits: to wait is theirs to give up, and the writing is not"""

    def add(self, runs: Sequence[Run]) -> bool:
        """Whether they came in time."""
        with self._lock:
            if self._begun or self._size >= _ENTRIES_MAX:
                return False
            for run in runs:
                self._size += len(run.entries)
                if self.runs and self.runs[-1].takes(run):
                    self.runs[-1] = self.runs[-1].joined(run)
                else:
                    self.runs.append(run)
            return True

    def waiter(self) -> "asyncio.Future[None]":
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(done)
        return done

    @property
    def rooms(self) -> set[bytes]:
        return {run.chains.room for run in self.runs}

    def write(self, tx: Connection) -> Committed:
        with self._lock:
            self._begun = True
        read: Read = []
        folds: dict[bytes, tuple[Fold, Chains, list[Entry]]] = {}
        fresh = {entry.id for run in self.runs if run.fresh for entry in run.entries}
        most = journal.ANEW_MAX
        for run in self.runs:
            room = run.chains.room
            if room not in folds:
                folds[room] = self._talk.fold(tx, run.chains), run.chains, []
            fold, _, shown = folds[room]
            moved = journal.insert(tx, run.entries, fresh=run.fresh, most=most)
            most = max(0, most - len(moved))
            fold.move(moved)
            fold.take(run.entries, run.lives, fresh=run.fresh)
            shown += run.entries
            for certificate in run.certificates:
                contacts.renew(tx, certificate)
            for epoch, key in run.keys:
                rooms.add_epoch(tx, room, epoch, key)
                shown += fold.open(epoch)
        wanted = self._heard()
        for fold, chains, shown in folds.values():
            fold.settle()
            if wanted:
                found = self._talk.readings(tx, chains, shown, fresh)
                read += [(entry, found.get(entry.id)) for entry in shown]
        places = journal.places(tx, list(fresh))
        return Committed(
            self.runs, read, [fold for fold, _, _ in folds.values()], places, unsettled.any_(tx)
        )


class Commits:
    """`follow` is called with what is on disk, in the order in which it came there, before anybody
    who waits for that goes on. `load` reads a room anew: after a commit that failed, memory must
    not hold what is on no disk.
    """

    def __init__(
        self,
        database: Database,
        talk: Talk,
        heard: Callable[[], bool],
        follow: Callable[[Committed], None],
        load: Callable[[Connection, bytes], Chains],
    ) -> None:
        self._database = database
        self._talk = talk
        self._heard = heard
        self._follow = follow
        self._load = load
        self._gathering: _Batch | None = None
        self._under_way: set[_Batch] = set()
        self._adrift: dict[bytes, Chains] = {}
        """rooms of which memory has what the disk has not, until they are read anew"""

    async def add(self, runs: Sequence[Run]) -> None:
        """On disk, and what follows is done, when this returns; cancelled or not, it will be.

        Raises errors.Error if none of it is.
        """
        if runs:
            await self.begin(runs)()

    def begin(self, runs: Sequence[Run]) -> "Callable[[], asyncio.Future[None]]":
        """`add` that is the store's at once; gives whoever asks a future of their own."""
        if any(run.chains.room in self._adrift for run in runs):
            raise journal.moved()
        batch = self._gathering
        if batch is None or not batch.add(runs):
            batch = _Batch(self._talk, self._heard)
            batch.add(runs)
            self._database.post(batch.write, partial(self._settle, batch))
            self._gathering = batch
            self._under_way.add(batch)
        return batch.waiter

    async def finished(self) -> None:
        """Until what is under way is on disk, or has failed.

        Who begins to listen while a transaction runs may not be told of it, since it had looked for
        listeners before: then it is in what is read after this.
        """
        if self._under_way:
            waiters = [batch.waiter() for batch in self._under_way]
            await asyncio.gather(*waiters, return_exceptions=True)

    async def level(self) -> None:
        """Until memory is as the disk is, where a commit has failed.

        Raises errors.Error where that cannot be read.
        """
        if self._adrift:
            anew = partial(self._read_anew, rooms=list(self._adrift))
            await self._database.write(anew, then=self._restore)

    def _settle(
        self, batch: _Batch, committed: Committed | None, failure: BaseException | None
    ) -> None:
        self._under_way.discard(batch)
        if self._gathering is batch:
            # It may have failed before it had begun.
            self._gathering = None
        if committed is not None:
            try:
                self._follow(committed)
            except BaseException as error:  # noqa: BLE001  (handed to whoever waits)
                failure = error
        elif failure is not None and self._reload(batch, failure):
            return
        _end(batch.waiting, failure)

    def _reload(self, batch: _Batch, failure: BaseException) -> bool:
        """Read anew what memory has and the disk has not; whether the database still does that."""
        for run in batch.runs:
            self._adrift[run.chains.room] = run.chains
            run.chains.reloads += 1
        # By the writer, behind what is queued: a reader would not see that yet.
        load = partial(self._read_anew, rooms=batch.rooms)
        try:
            self._database.post(load, partial(self._fail, batch, failure))
        except errors.Error:  # it is closing
            return False
        return True

    def _read_anew(self, tx: Connection, rooms: Iterable[bytes]) -> dict[bytes, Chains]:
        return {room: self._load(tx, room) for room in rooms}

    def _fail(
        self,
        batch: _Batch,
        failure: BaseException,
        anew: dict[bytes, Chains] | None,
        error: BaseException | None,
    ) -> None:
        del error  # the first one is told, and `level` tries again
        self._restore(anew or {})
        _end(batch.waiting, failure)

    def _restore(self, anew: Mapping[bytes, Chains]) -> None:
        for room, loaded in anew.items():
            chains = self._adrift.pop(room, None)
            if chains is not None:
                loaded.reloads = chains.reloads + 1
                # In its place: links hold the same Chains, and must not tell of what is on no disk.
                vars(chains).update(vars(loaded))


def _end(waiting: "Iterable[asyncio.Future[None]]", failure: BaseException | None) -> None:
    for done in waiting:
        if done.done():
            continue  # whoever waited is gone
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(failure)
