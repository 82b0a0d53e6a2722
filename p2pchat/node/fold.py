"""Brings new entries of one room into what the store keeps of talk, within the transaction that
brings them, so that no moment shows half of it.

What amendments mean is `core.talk`'s to say; here it is carried out, and bodies that must go are
gone when the transaction ends. Of messages it reads only those that something was said of: the rest
is read behind the journal (`node.words`), since a commit has no time for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from p2pchat.core.chain import Chains
from p2pchat.core.entry import DELETE, EDIT, MESSAGE, SHARE, Entry, MessageBody
from p2pchat.core.identity import Certificate, id_text
from p2pchat.core.talk import (
    AMENDING,
    Amendment,
    amendment,
    may_delete,
    may_edit,
)
from p2pchat.events import Changed
from p2pchat.node.reading import Admins, current, person_of, read_of, text_of
from p2pchat.store import amendments, expiring, lacking, late, search
from p2pchat.store.database import Connection

__all__ = ["TALK", "Fold"]

TALK = (MESSAGE, *AMENDING)
"""Kinds that it takes."""
_DECIDING = (EDIT, DELETE)
"""Kinds that change what a message says, and what of it is on disk."""
_PAGE = 2_000
"""Entries taken at once of those whose key has come."""
_SHOWN_LATE = 4_096
"""Entries told of when their key has come; the rest is seen with the next `log`."""
_WHAT = ("edited", "deleted", "reaction", "pinned")


class Fold:
    """Brings entries of one room into what the store keeps of talk; lives in one transaction."""

    def __init__(
        self, tx: Connection, chains: Chains, admins: Admins, now_ms: int, lacks: set[bytes]
    ) -> None:
        """`lacks`: rooms with entries that came without their bodies; ours is added."""
        self._tx = tx
        self._lacks = lacks
        self._chains = chains
        self._admins = admins
        self._now_ms = now_ms
        self._new: dict[bytes, Entry] = {}
        self._targets: set[bytes] = set()
        self._amendments: list[tuple[Entry, Amendment]] = []
        self._surplus: dict[bytes, list[bytes]] = {}
        """target -> edits of it that are too many since these entries came"""
        self.changes: list[tuple[Changed, Certificate]] = []
        """what was done to messages that were here before, and by which device"""
        self.hurried = False
        """whether a message came that will disappear"""

    def take(
        self,
        entries: Iterable[Entry],
        lives: Mapping[bytes, int] = MappingProxyType({}),
        *,
        fresh: bool = False,
    ) -> None:
        """Entries that are in the journal, and new. `lives`: lifetimes known, in seconds.

        `fresh`: written here just now, so that nothing can have named them.
        """
        sealed: list[Entry] = []
        for entry in entries:
            kind = entry.header.kind
            if entry.body is None and kind != MESSAGE:
                # Whatever it says: passing it on empty shall not make it vanish.
                self._lack(entry.id)
                continue
            if kind not in TALK and kind != SHARE:
                continue
            if entry.body is not None and entry.header.epoch not in self._chains.epochs:
                sealed.append(entry)
            elif kind == MESSAGE:
                if not fresh:
                    self._new[entry.id] = entry
                if entry.body is None:
                    self._targets.add(entry.id)
                elif entry.id in lives:
                    expiring.add(self._tx, entry.id, lives[entry.id], self._now_ms)
                    self.hurried = True
            elif kind != SHARE:
                self._take_amendment(entry)
        if sealed:
            late.add(self._tx, sealed)

    def open(self, epoch: bytes) -> list[Entry]:
        """Take what waited for the key of this epoch; answers the first of it."""
        shown: list[Entry] = []
        while found := late.take(self._tx, self._chains.room, epoch, _PAGE):
            self.take(found)
            self.settle()
            shown += found[: max(0, _SHOWN_LATE - len(shown))]
        return shown

    def leave(self, entries: Sequence[Entry]) -> None:
        """These are about to leave the journal, and the index with it; then settle."""
        for entry in entries:
            expiring.forget(self._tx, entry.id)
            lacking.forget(self._tx, entry.id)
        for entry in entries:
            self._leave_amendment(entry)

    def _leave_amendment(self, entry: Entry) -> None:
        if entry.header.kind not in AMENDING:
            return
        target = amendments.take_back(self._tx, entry.id)
        if target is None:
            return
        self._targets.add(target)
        if entry.header.kind == DELETE:
            self._take_back(target)

    def _take_back(self, target: bytes) -> None:
        """What a delete took may be had from members who never heard of it."""
        tx = self._tx
        named = amendments.naming(tx, self._chains.room, [target]).get(target, [])
        edits = [one for one in named if one.kind == EDIT]
        amendments.missed(tx, [target, *(one.id for one in edits)])
        for person in {one.person for one in edits}:
            amendments.missed(tx, amendments.surplus(tx, target, person))

    def judge(self) -> None:
        """Who may delete what others wrote may have changed."""
        tx = self._tx
        deletes = amendments.deletes(tx, self._chains.room)
        gone = amendments.dropped(tx, list(deletes))
        admins = self._admins(self._chains.room)
        for id_, entry in amendments.entries(tx, list(deletes)).items():
            author = person_of(self._chains, entry)
            counts = any(may_delete(person, author, admins) for person in deletes[id_])
            if counts != (id_ in gone):
                self._targets.add(id_)
            if not counts and id_ in gone:
                self._take_back(id_)
        self.settle()

    def fill(self, entries: Sequence[Entry]) -> None:
        """Entries that were here without their bodies have them now."""
        for entry in entries:
            if entry.header.kind == MESSAGE:
                amendments.hide(self._tx, entry.id, hidden=False)
                # Whoever reads behind the journal has passed it by.
                self._targets.add(entry.id)
        self.take(entries)
        self.settle()

    def move(self, ids: Sequence[bytes]) -> None:
        """The order has moved these entries."""
        if not ids:
            return
        self._targets |= amendments.edited_by(self._tx, ids)

    def _take_amendment(self, entry: Entry) -> None:
        kind, person = entry.header.kind, person_of(self._chains, entry)
        one = amendment(entry.id, person, kind, self._chains.read(entry))
        if one is None:
            return
        if kind in _DECIDING:
            self._targets.add(one.target)
        self._amendments.append((entry, one))
        many = amendments.add(self._tx, self._chains.room, one, entry.header.time)
        if kind == EDIT and many:
            self._surplus.setdefault(one.target, []).extend(many)

    def settle(self) -> None:
        """Carry out what all that was taken has come to."""
        new, targets, said = self._new, self._targets, self._amendments
        self._new, self._targets, self._amendments = {}, set(), []
        surplus, self._surplus = self._surplus, {}
        ids = list(targets | new.keys())
        if not ids and not said:
            return
        named = amendments.naming(self._tx, self._chains.room, ids)
        gone = amendments.dropped(self._tx, ids)
        decided = {id_ for id_, some in named.items() if any(one.kind in _DECIDING for one in some)}
        touched = targets | decided | gone
        known = {one.target for _, one in said} | touched
        here = {**amendments.entries(self._tx, list(known - new.keys())), **new}
        for id_ in sorted(touched):
            entry = here.get(id_)
            if entry is not None and self._is_message(entry):
                more = surplus.get(id_, ())
                self._settle(entry, named.get(id_, ()), more, gone=id_ in gone)
        for entry, one in said:
            target = here.get(one.target)
            if target is not None and one.target not in new and self._is_message(target):
                self._tell(entry, one, person_of(self._chains, target))

    def _is_message(self, entry: Entry) -> bool:
        return entry.header.room == self._chains.room and entry.header.kind == MESSAGE

    def _settle(
        self, entry: Entry, named: Iterable[Amendment], surplus: Sequence[bytes], *, gone: bool
    ) -> None:
        tx, body, before = self._tx, self._chains.read(entry), gone
        amended = read_of(self._chains, entry, named, self._admins)
        deleted = amended.deleted_by is not None
        if not deleted and not gone and isinstance(body, MessageBody) and body.lifetime_s:
            at = expiring.add(tx, entry.id, body.lifetime_s, self._now_ms)
            gone = at <= self._now_ms
            self.hurried = True
        edit = current(tx, [amended]).get(amended)
        text = text_of(self._chains, entry) and text_of(self._chains, edit or entry)
        kept = not deleted and not gone and text is not None
        if kept and text is not None:
            search.put(tx, entry, text)
        else:
            search.forget(tx, entry.id)
        if deleted or gone:
            lacking.forget(tx, entry.id)
            if not before:  # later ones go as they come
                surplus = amendments.surplus(tx, entry.id, person_of(self._chains, entry))
            amendments.drop(tx, [entry.id, *amended.edits, *surplus])
            expiring.forget(tx, entry.id)
        else:
            for id_, one in amendments.entries(tx, [entry.id, *amended.edits]).items():
                if one.body is None:
                    self._lack(id_)
        amendments.hide(tx, entry.id, hidden=not deleted and not kept)

    def _lack(self, id_: bytes) -> None:
        lacking.add(self._tx, self._chains.room, id_)
        self._lacks.add(self._chains.room)

    def _tell(self, entry: Entry, one: Amendment, author: bytes) -> None:
        if one.kind == EDIT and not may_edit(one.person, author):
            return
        if one.kind == DELETE and not may_delete(
            one.person, author, self._admins(self._chains.room)
        ):
            return
        change = Changed(
            room=id_text(self._chains.room),
            id=id_text(one.target),
            change=_WHAT[AMENDING.index(one.kind)],  # type: ignore[arg-type]
            peer=id_text(one.person),
            text=text_of(self._chains, entry) if one.kind == EDIT else one.text,
            on=one.on,
        )
        self.changes.append((change, self._chains.certificates[entry.header.device]))

    def expire(self, ids: Iterable[bytes]) -> None:
        """The hour of these messages has come."""
        self._targets.update(ids)
        self.settle()
