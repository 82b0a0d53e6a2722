"""Who vouches for whom: our word written into rooms, others' words read from them.

Knows entries and rooms, and not whom we trust: what a word is worth decides `people`.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec

from p2pchat.core.bounds import VOUCHES_MAX
from p2pchat.core.chain import Chains
from p2pchat.core.entry import EPOCH, GRANT, VOUCH, Entry, VouchBody
from p2pchat.core.group import Group
from p2pchat.core.identity import Identity
from p2pchat.core.vouching import Vouches, Word
from p2pchat.node.rooms import Rooms
from p2pchat.store import journal
from p2pchat.store.database import Connection

__all__ = ["Vouching", "Write"]

_WAITING_MAX = 256
"""Words that are kept until they can be judged; the rest is read at the next start."""

Write = Callable[[bytes, int, msgspec.Struct], Awaitable[Entry]]
"""Puts an entry of ours, of a kind, into a room."""


class Vouching:
    """`tell` hears each word of others that changes something."""

    def __init__(
        self,
        rooms: Rooms,
        me: Callable[[], Identity],
        write: Write,
        tell: Callable[[Word], None],
        *,
        enabled: bool,
    ) -> None:
        self._rooms = rooms
        self._me = me
        self._write = write
        self._tell = tell
        self._enabled = enabled
        self._vouches = Vouches()
        self._waiting: list[Entry] = []
        """words whose key, or whose subject's admission, has not come yet"""
        self._said: dict[tuple[bytes, bytes], Word] = {}
        """room, subject -> the last of our words there"""
        self._due: set[bytes] = set()
        """rooms whose key we have to wait for before we can say anything"""
        self.keyed: Callable[[Group], None] = lambda group: None
        """Hears of such a room when keys have come: `follow` shall be called again."""
        rooms.listeners.append(self._heard)

    def read(self, tx: Connection) -> list[Entry]:
        """The newest words of each room, for `load`."""
        return [
            entry
            for chains in self._rooms.all()
            for entry in journal.tail(tx, chains.room, (VOUCH,), last=VOUCHES_MAX)
        ]

    def load(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._take(entry)

    def vouchers(self, subject: bytes, authors: Iterable[bytes]) -> list[bytes]:
        """Which of `authors` say to have verified `subject`."""
        return self._vouches.vouchers(subject, authors)

    async def say(self, person: bytes, *, verified: bool) -> None:
        """Our word about somebody, in every room that we have in common."""
        if self._vouches.vouches(self._me().person, person) == verified:
            return
        # Where it is switched off by now, what was said is still taken back.
        if verified and not self._enabled:
            return
        own = self._me().person
        common = [chains for chains in self._rooms.with_member(person) if own in chains.members]
        # A room of two in which nothing was ever said need not begin with this.
        for chains in [chains for chains in common if chains.total] or common:
            await self._write(chains.room, VOUCH, VouchBody(person, verified))

    async def follow(self, group: Group) -> None:
        """Say in a room what we said elsewhere before it had us, or the person, as a member."""
        own = self._me().person
        if not self._enabled or own not in group.members:
            return
        for person in sorted(group.members - {own}):
            said = self._said.get((group.room, person))
            if not self._vouches.vouches(own, person) or (said is not None and said.verified):
                continue
            if group.writing_epoch() is None:
                self._due.add(group.room)
                return
            await self._write(group.room, VOUCH, VouchBody(person, verified=True))

    def _heard(self, room: bytes, entries: Sequence[Entry], source: object) -> None:
        """New entries are on disk (`rooms.Listener`)."""
        del source
        kinds = {entry.header.kind for entry in entries}
        if VOUCH in kinds:
            for entry in entries:
                if entry.header.kind == VOUCH:
                    self._hear(entry)
        if kinds & {EPOCH, GRANT}:
            self.retry()
            group = self._rooms.get(room)
            if room in self._due and isinstance(group, Group):
                self._due.discard(room)
                self.keyed(group)

    def retry(self) -> None:
        """Keys or members have come: read again what waits for them."""
        waiting, self._waiting = self._waiting, []
        for entry in waiting:
            self._hear(entry)

    def _hear(self, entry: Entry) -> None:
        chains = self._rooms.get(entry.header.room)
        if chains is not None and _waits(chains, entry):
            if len(self._waiting) < _WAITING_MAX:
                self._waiting.append(entry)
            return
        word = self._take(entry)
        if word is not None and word.author != self._me().person:
            self._tell(word)

    def _take(self, entry: Entry) -> Word | None:
        """The word of an entry, if it changes what was said. Of members, about members."""
        chains = self._rooms.get(entry.header.room)
        if chains is None:
            return None
        word = _word(chains, entry)
        if word is not None and word.author == self._me().person:
            place = chains.room, word.subject
            if place not in self._said or self._said[place].time <= word.time:
                self._said[place] = word
        return word if word is not None and self._vouches.take(word) else None


def _waits(chains: Chains, entry: Entry) -> bool:
    if entry.header.epoch not in chains.epochs:
        return True
    body = chains.read(entry)
    return isinstance(body, VouchBody) and body.person not in chains.members


def _word(chains: Chains, entry: Entry) -> Word | None:
    body, certificate = chains.read(entry), chains.certificates.get(entry.header.device)
    if not isinstance(body, VouchBody) or certificate is None:
        return None
    if not {body.person, certificate.person} <= chains.members:
        return None
    return Word(
        certificate.person,
        body.person,
        body.verified,
        entry.header.time,
        entry.chain,
        entry.header.seq,
    )
