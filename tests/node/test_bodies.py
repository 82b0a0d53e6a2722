"""A body that somebody left out is had from somebody else; what is deleted is not asked for."""

import asyncio
from collections.abc import Sequence

import msgspec

from p2pchat.core.bounds import LACKING_BYTES, LACKING_TRIES
from p2pchat.core.entry import (
    DELETE,
    DENIAL,
    EDIT,
    REQUEST,
    SHARE,
    DeleteBody,
    DenialBody,
    EditBody,
    Entry,
    RequestBody,
    ShareBody,
)
from p2pchat.core.wire import Bodies, Body, Lacking
from p2pchat.events import Share
from p2pchat.node.bodies import Filling
from p2pchat.store import lacking
from p2pchat.store.database import Connection
from tests.node.desk import Desk

_TAG = b"t" * 16


class _Link:
    """A link whose two ends are in the test's hands."""

    def __init__(self, room: bytes, peer: bytes = b"p" * 32) -> None:
        self.peer = peer
        self.asked: set[bytes] = set()
        self.sent: list[Lacking | Bodies] = []
        self._room = room

    def tag(self, room: bytes) -> bytes | None:
        return _TAG if room == self._room else None

    def room(self, tag: bytes) -> bytes | None:
        return self._room if tag == _TAG else None

    async def send_bulk(self, frame: Lacking | Bodies) -> None:
        self.sent.append(frame)


def _bare(entries: Sequence[Entry], *which: Entry) -> list[Entry]:
    names = {entry.id for entry in which}
    return [msgspec.structs.replace(one, body=None) if one.id in names else one for one in entries]


async def _asked(far: Desk, peer: bytes = b"p" * 32) -> tuple[_Link, tuple[bytes, ...]]:
    link = _Link(far.room, peer)
    await Filling(far.database, far.rooms).ask(link, far.room)
    ids = link.sent[0].ids if link.sent and isinstance(link.sent[0], Lacking) else ()
    return link, ids


async def test_what_one_left_out_another_brings(desks: tuple[Desk, Desk]) -> None:
    near, far = desks
    entry = await near.say("kept from you")
    edit = await near.write(EDIT, EditBody(entry.id, "and the edit too"))
    whole = [one for entries in near.committed for one in entries]
    await far.take(_bare(whole, entry, edit))
    assert await far.texts() == []
    link, ids = await _asked(far)
    assert set(ids) == {entry.id, edit.id}
    answering = _Link(near.room)
    await Filling(near.database, near.rooms).received(answering, Lacking(_TAG, ids))
    for frame in answering.sent:
        assert isinstance(frame, Bodies)
        await Filling(far.database, far.rooms).received(link, frame)
    assert await far.texts() == await far.texts("edit") == ["and the edit too"]
    assert await far.bodies() == await near.bodies()
    assert (await _asked(far))[1] == ()


async def test_what_was_not_asked_for_or_is_another_is_not_taken(desks: tuple[Desk, Desk]) -> None:
    near, far = desks
    entry = await near.say("hello")
    await far.take(_bare(near.committed[0], entry))
    filling = Filling(far.database, far.rooms)
    assert entry.body is not None
    right = Bodies(_TAG, (Body(entry.id, entry.body),))
    await filling.received(_Link(far.room), right)
    assert await far.texts() == []
    link, _ = await _asked(far)
    await filling.received(link, Bodies(_TAG, (Body(entry.id, b"x" + entry.body[1:]),)))
    await filling.received(link, Bodies(b"?" * 16, right.rows))
    assert await far.texts() == []
    await filling.received(link, right)
    assert await far.texts() == ["hello"]


async def test_what_is_deleted_is_neither_asked_for_nor_taken_nor_given(
    desks: tuple[Desk, Desk],
) -> None:
    near, far = desks
    entry = await near.say("a blunder")
    await far.take(_bare(near.committed[0], entry))
    link, _ = await _asked(far)
    await near.write(DELETE, DeleteBody(entry.id))
    await far.take(near.committed[-1])
    assert (await _asked(far))[1] == ()
    assert entry.body is not None
    rows = (Body(entry.id, entry.body),)
    await Filling(far.database, far.rooms).received(link, Bodies(_TAG, rows))
    assert (await far.bodies())[entry.id] is None
    answering = _Link(near.room)
    await Filling(near.database, near.rooms).received(answering, Lacking(_TAG, (entry.id,)))
    assert answering.sent == []


async def test_an_answer_is_bounded_and_so_is_the_asking(desks: tuple[Desk, Desk]) -> None:
    near, far = desks
    entries = [await near.say(str(number) * 60_000) for number in range(6)]
    answering = _Link(near.room)
    ids = tuple(entry.id for entry in entries)
    await Filling(near.database, near.rooms).received(answering, Lacking(_TAG, ids))
    sizes = [
        sum(len(row.body) for row in frame.rows)
        for frame in answering.sent
        if isinstance(frame, Bodies)
    ]
    assert 3 * 60_000 < sum(sizes) <= LACKING_BYTES
    assert max(sizes) <= LACKING_BYTES // 2
    await far.take(_bare(near.committed[0], entries[0]))
    link, _ = await _asked(far)
    await Filling(far.database, far.rooms).ask(link, far.room)
    assert len(link.sent) == 1, "once a link"
    for _ in range(LACKING_TRIES):
        await _asked(far)
    assert (await _asked(far))[1] == ()
    assert (await _asked(far, b"q" * 32))[1] == (entries[0].id,), "of others nevertheless"

    def read(tx: Connection) -> list[bytes]:
        return lacking.wanted(tx, b"?" * 32, b"", ())

    assert await far.database.read(read) == []


async def test_whatever_is_sealed_is_asked_for(desks: tuple[Desk, Desk]) -> None:
    near, far = desks
    await near.say("first")
    share = ShareBody(b"s" * 32, "plans.pdf", 5, "magnet:?xt=urn:btih:" + "a" * 40)
    written = [
        await near.write(SHARE, share),
        await near.write(REQUEST, RequestBody(near.rooms.identity().certificate, b"r" * 32)),
        await near.write(DENIAL, DenialBody(b"r" * 32)),
        await near.write(99, DenialBody(b"of a later version")),
    ]
    for entries in near.committed:
        await far.take(_bare(entries, *written))
    link, ids = await _asked(far)
    assert set(ids) == {entry.id for entry in written}
    rows = tuple(Body(entry.id, entry.body) for entry in written if entry.body is not None)
    await Filling(far.database, far.rooms).received(link, Bodies(_TAG, rows))
    assert await far.bodies() == await near.bodies()
    told = {entries[0].id for entries in far.committed if entries[0].body is not None}
    assert {entry.id in told for entry in written[1:3]} == {True}
    assert [event.name for event in far.shown if isinstance(event, Share)] == ["plans.pdf"]
    assert (await _asked(far))[1] == ()


async def test_who_asks_twice_at_once_asks_once(desks: tuple[Desk, Desk]) -> None:
    near, far = desks
    entry = await near.say("hello")
    await far.take(_bare(near.committed[0], entry))
    link, filling = _Link(far.room), Filling(far.database, far.rooms)
    await asyncio.gather(*(filling.ask(link, far.room) for _ in range(4)))
    assert len(link.sent) == 1
    tries = await far.database.read(lambda tx: tx.execute("SELECT tries FROM lacking").fetchall())
    assert tries == [(1,)]
