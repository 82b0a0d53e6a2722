"""The mailbox: a few sealed bytes under a name, for a while, and who hears of them. No I/O.

    client says           the machine does
    Watch(name)           Look: what lies there is told to this client, and what comes later
    Unwatch(name)         nothing more is told
    Put(name, …, ttl)     Keep: in the state until its time is over; whoever watches hears of it
    Put(name, …, 0)       Drop: gone before its time; whoever watches hears that, too
    leaves                what it put as `held` is dropped

A name is 16 bytes that nobody can guess who was not told, so whoever has it may read, put and drop
there; what the bytes mean, and who they are from, is between those who know it. The server sees
names, sizes, times and addresses. Clients are hostile: a message that is none, or what goes over a
bound, is a `Close` with a code as in HTTP, 4400 to 4499.

Time is the wall clock's, since expiries outlive the process.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from signaling.letter import LETTER_MAX, NAME_BYTES
from signaling.rate import Deadlines, Rate

__all__ = [
    "BAD",
    "BOX_MAX",
    "FLOOD",
    "MESSAGE_MAX",
    "OPERATIONS_MAX",
    "TTL_MAX_S",
    "Bounds",
    "Boxes",
    "Client",
    "Close",
    "Drop",
    "Item",
    "Keep",
    "Look",
    "Mailbox",
    "Malformed",
    "Operation",
    "Output",
    "Pause",
    "Put",
    "Unwatch",
    "Watch",
    "decode_items",
    "decode_operations",
    "encode",
]

TTL_MAX_S = 3_600
OPERATIONS_MAX = 64
"""In one message."""
MESSAGE_MAX = OPERATIONS_MAX * (LETTER_MAX + NAME_BYTES + 16) + 16
BAD, FLOOD = 4400, 4429
"""Close codes: no message of ours; too much, or too fast."""

Name = Annotated[bytes, msgspec.Meta(min_length=NAME_BYTES, max_length=NAME_BYTES)]
Data = Annotated[bytes, msgspec.Meta(min_length=1, max_length=LETTER_MAX)]
Ttl = Annotated[int, msgspec.Meta(ge=0, le=TTL_MAX_S)]


class Watch(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1):
    name: Name


class Unwatch(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=2):
    name: Name


class Put(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=3):
    """`held`: to be dropped when the connection that put it ends."""

    name: Name
    ttl_s: Ttl
    held: bool
    data: Data


class Item(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=4):
    """What the server tells. `ttl_s` 0: it is gone."""

    name: Name
    ttl_s: Ttl
    data: Data


Operation = Watch | Unwatch | Put
_operations: msgspec.msgpack.Decoder[list[Operation]] = msgspec.msgpack.Decoder(
    Annotated[list[Operation], msgspec.Meta(max_length=OPERATIONS_MAX)]
)
_items: msgspec.msgpack.Decoder[list[Item]] = msgspec.msgpack.Decoder(
    Annotated[list[Item], msgspec.Meta(max_length=OPERATIONS_MAX)]
)
_encoder = msgspec.msgpack.Encoder()


class Malformed(Exception):
    """Not a message of this protocol."""


def encode(messages: Sequence[Operation] | Sequence[Item]) -> bytes:
    """At most `OPERATIONS_MAX` in one message."""
    return _encoder.encode(messages)


def decode_operations(data: bytes) -> list[Operation]:
    try:
        return _operations.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Malformed(str(error)) from error


def decode_items(data: bytes) -> list[Item]:
    try:
        return _items.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Malformed(str(error)) from error


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one server holds, and lets one source or client do. Arrivals: `rate.Admission`."""

    watches_each: int = 2_048
    """Per client: two a contact, and an invite is one too."""
    items: int = 500_000
    """About 100 MB of greetings, 500 MB of the largest envelopes."""
    items_each: int = 8_192
    """Per source; beyond, its own oldest make room."""
    operations_burst: float = 4_096.0
    """Per source: what a large node says when it arrives."""
    operations_per_s: float = 100.0


BOX_MAX = 8
"""Items under one name: few ever serve one slot, and the next box is as near as a new name."""


# -- what the machine has done ---------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Client:
    """One connection."""

    source: str
    watched: set[bytes] = field(default_factory=set)
    held: set[tuple[bytes, bytes]] = field(default_factory=set)

    @property
    def busy(self) -> bool:
        return bool(self.watched or self.held)


@dataclass(frozen=True, slots=True)
class Keep:
    name: bytes
    data: bytes
    expires: float


@dataclass(frozen=True, slots=True)
class Drop:
    name: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Look:
    """Tell this client what lies there."""

    client: Client
    name: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Take nothing from this client for so long."""

    client: Client
    seconds: float


@dataclass(frozen=True, slots=True)
class Close:
    client: Client
    code: int


Output = Keep | Drop | Look | Pause | Close


class Mailbox:
    """All clients of one server. Where items lie is the caller's: `Boxes`, or a database."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._watchers: dict[bytes, set[Client]] = {}
        self._operations: Rate[str] = Rate(bounds.operations_burst, bounds.operations_per_s)
        # What each source has put, oldest first, with the client that holds it.
        self._put: dict[str, dict[tuple[bytes, bytes], Client | None]] = {}
        self._expiring: Deadlines[tuple[str, bytes, bytes]] = Deadlines()

    @property
    def watched(self) -> list[bytes]:
        return list(self._watchers)

    def leave(self, client: Client) -> list[Output]:
        for name in client.watched:
            self._forget_watch(client, name)
        client.watched.clear()
        held = list(client.held)
        for name, data in held:
            self._spend(client.source, name, data)
        return [Drop(name, data) for name, data in held]

    def receive(self, client: Client, message: bytes, now: float) -> list[Output]:
        """What to do for a message, in this order."""
        try:
            operations = decode_operations(message)
        except Malformed:
            return [Close(client, BAD)]
        wait_s = self._operations.take(client.source, now, max(1, len(operations)))
        if wait_s is None:
            return [Close(client, FLOOD)]
        outputs: list[Output] = []
        for operation in operations:
            match operation:
                case Watch(name):
                    if name not in client.watched:
                        if len(client.watched) >= self._bounds.watches_each:
                            return [*outputs, Close(client, FLOOD)]
                        client.watched.add(name)
                        self._watchers.setdefault(name, set()).add(client)
                    outputs.append(Look(client, name))
                case Unwatch(name):
                    if name in client.watched:
                        client.watched.remove(name)
                        self._forget_watch(client, name)
                case Put(name, 0, _, data):
                    self._spend(client.source, name, data)
                    outputs.append(Drop(name, data))
                case Put(name, ttl_s, held, data):
                    outputs += self._count_in(client, name, data, now + ttl_s, held=held)
                    outputs.append(Keep(name, data, now + ttl_s))
        if wait_s > 0:
            outputs.append(Pause(client, wait_s))
        return outputs

    def _count_in(
        self, client: Client, name: bytes, data: bytes, expires: float, *, held: bool
    ) -> list[Output]:
        """Count an item for its source; what has to go for it."""
        source, gone = client.source, list[Output]()
        self._spend(source, name, data)
        put = self._put.setdefault(source, {})
        if len(put) >= self._bounds.items_each:
            oldest = next(iter(put))
            self._spend(source, *oldest)
            gone.append(Drop(*oldest))
            put = self._put.setdefault(source, {})
        put[name, data] = client if held else None
        if held:
            client.held.add((name, data))
        self._expiring.set((source, name, data), expires)
        return gone

    def _spend(self, source: str, name: bytes, data: bytes) -> None:
        """An item no longer counts for its source."""
        self._expiring.drop((source, name, data))
        put = self._put.get(source, {})
        holder = put.pop((name, data), None)
        if holder is not None:
            holder.held.discard((name, data))
        if not put:
            self._put.pop(source, None)

    def _forget_watch(self, client: Client, name: bytes) -> None:
        watchers = self._watchers[name]
        watchers.discard(client)
        if not watchers:
            del self._watchers[name]

    def watchers(self, name: bytes) -> list[Client]:
        """Who hears of what happens there."""
        return list(self._watchers.get(name, ()))

    def handle_timer(self, now: float) -> None:
        """What is over no longer counts for its source."""
        for source, name, data in self._expiring.over(now):
            self._spend(source, name, data)

    def next_timer(self) -> float | None:
        return self._expiring.next_timer()


# -- where items lie -------------------------------------------------------------------------------


class Boxes:
    """Items by name, in memory. Over its bound, what would be over soonest makes room."""

    def __init__(self, items_max: int) -> None:
        self._items_max = items_max
        self._boxes: dict[bytes, dict[bytes, float]] = {}
        self._expiring: Deadlines[tuple[bytes, bytes]] = Deadlines()
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._expiring)

    def keep(self, name: bytes, data: bytes, expires: float) -> list[tuple[bytes, bytes]]:
        """Answers what had to go for it, as (name, data)."""
        box = self._boxes.setdefault(name, {})
        box.pop(data, None)
        gone: list[tuple[bytes, bytes]] = []
        if len(box) >= BOX_MAX:
            gone.append((name, next(iter(box))))
        box[data] = expires
        self._expiring.set((name, data), expires)
        if len(self._expiring) - len(gone) > self._items_max:
            gone.append(self._expiring.soonest())
        for key in gone:
            self.drop(*key)
        self.evicted += len(gone)
        return gone

    def drop(self, name: bytes, data: bytes) -> bool:
        """Whether it was there."""
        if not self._expiring.drop((name, data)):
            return False
        box = self._boxes[name]
        del box[data]
        if not box:
            del self._boxes[name]
        return True

    def items(self, name: bytes, now: float) -> list[tuple[bytes, float]]:
        """What lies there, as (data, expires), oldest first."""
        return [(data, at) for data, at in self._boxes.get(name, {}).items() if at > now]

    def expire(self, now: float) -> None:
        for name, data in self._expiring.over(now):
            box = self._boxes[name]
            del box[data]
            if not box:
                del self._boxes[name]
