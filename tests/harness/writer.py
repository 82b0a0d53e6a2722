"""One member's view of a room of many, without disk or links: it writes, and takes what comes."""

from collections.abc import Sequence

import msgspec

from p2pchat.core.acts import ADMIT, CREATE, MEMBER, REMOVE, Admit, Create, Cut, Remove, group_room
from p2pchat.core.chain import Accepted, Fork, Verdict
from p2pchat.core.entry import MESSAGE, Entry, MessageBody, chain_id
from p2pchat.core.group import Group
from p2pchat.core.identity import Identity
from p2pchat.node import prologue
from tests.harness.pair import random_from

__all__ = ["Writer", "founder"]

NONCE = bytes(32)


class Writer:
    """`written` are its own entries, `entries` all that it has."""

    def __init__(self, name: str, room: bytes | None = None, incarnation: bytes = bytes(8)) -> None:
        self.random = random_from(sum(name.encode()))
        self.identity = Identity.create(name, self.random)
        self.group = Group(room or group_room(self.identity.person, NONCE))
        self.incarnation = incarnation
        self.written: list[Entry] = []
        self._time = 1_800_000_000_000 << 16

    @property
    def chain(self) -> bytes:
        return chain_id(self.group.room, self.identity.device, self.incarnation)

    def own(
        self,
        kind: int,
        body: msgspec.Struct,
        epoch: bytes = b"",
        after: tuple[bytes, ...] | None = None,
    ) -> Entry:
        self._time += 1 << 16
        entry = self.group.write(
            self.identity,
            self.incarnation,
            time=self._time,
            kind=kind,
            body=body,
            random=self.random,
            epoch=epoch,
            after=after,
        )
        self.written.append(entry)
        return entry

    def begin(self) -> None:
        began = self.group.seq(self.chain) >= 0
        list(prologue.introduce(self.group, self.own, self.identity, began=began))

    def keys(self) -> None:
        now_ms = self._time >> 16
        list(prologue.keys(self.group, self.own, self.identity, self.random, now_ms))

    def say(self, text: str) -> Entry:
        self.begin()
        self.keys()
        return self.own(MESSAGE, MessageBody(text), self.group.writing_epoch() or b"")

    def act(self, kind: int, body: msgspec.Struct) -> Entry:
        if kind != CREATE:
            self.begin()
        entry = self.own(kind, body)
        if kind == CREATE:
            self.group.begun(entry)
            self.group.certify(self.identity.certificate)
        placed = self.group.placed(entry, self.identity.person)
        assert placed is not None
        self.group.act(placed)
        return entry

    def admit(self, other: "Writer") -> Entry:
        seen = self.group.membership.seen(self.identity.person)
        entry = self.act(ADMIT, Admit(seen, other.identity.certificate, MEMBER))
        self.keys()
        return entry

    def remove(self, other: "Writer", head: Entry) -> Entry:
        """Up to `head` of the other's chain."""
        assert head.signature is not None
        header = head.header
        cut = Cut(header.device, header.incarnation, header.seq, head.id, head.signature)
        seen = self.group.membership.seen(self.identity.person)
        entry = self.act(REMOVE, Remove(seen, other.identity.person, (cut,)))
        self.keys()
        return entry

    def take(self, entries: Sequence[Entry]) -> Accepted | Fork | Verdict:
        """One run; keys that it brings are kept."""
        signature = entries[-1].signature
        assert signature is not None
        result = self.group.accept(
            [one.raw for one in entries], [one.body for one in entries], signature
        )
        for entry in result.entries if isinstance(result, Accepted) else ():
            self.group.open_epochs(entry, self.identity)
        return result

    def take_all(self, other: "Writer") -> None:
        """All that another wrote, an entry at a time."""
        for entry in other.written[self.group.seq(other.chain) + 1 :]:
            result = self.take([entry])
            assert isinstance(result, Accepted), result


def founder(*names: str) -> list[Writer]:
    """The founder of a room and others whom it let in, who all know so."""
    first = Writer(names[0])
    first.act(CREATE, Create((), first.identity.certificate, NONCE, "crew"))
    others = [Writer(name, first.group.room) for name in names[1:]]
    for other in others:
        first.admit(other)
    for other in others:
        other.take_all(first)
    return [first, *others]
