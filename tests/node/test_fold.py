"""Whatever comes first, all keep and read the same, and what is deleted is on no disk."""

import asyncio
import os
import random
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from p2pchat.core import sealing
from p2pchat.core.bounds import AMENDMENTS_BY_ONE
from p2pchat.core.entry import (
    DELETE,
    EDIT,
    MESSAGE,
    PIN,
    REACTION,
    DeleteBody,
    EditBody,
    Entry,
    Header,
    PinBody,
    ReactionBody,
)
from p2pchat.core.identity import Identity
from p2pchat.core.membership import Limit
from p2pchat.store import lacking, search, withheld
from p2pchat.store.database import Connection
from tests.node.desk import Desk, open_desk


async def test_an_edit_is_read_and_found_and_the_old_text_is_not(desk: Desk) -> None:
    entry = await desk.say("an apple")
    await desk.write(EDIT, EditBody(entry.id, "a pear"))
    await desk.write(EDIT, EditBody(entry.id, "a plum"))
    message = (await desk.read())[0]
    assert (message.text, message.edited) == ("a plum", True)
    assert await desk.texts("plum") == ["a plum"]
    assert await desk.texts("apple") == await desk.texts("pear") == []
    assert desk.changes() == [("edited", "a pear", True), ("edited", "a plum", True)]
    versions = await desk.rooms.versions(entry)
    assert [one.text for one in versions] == ["an apple", "a pear", "a plum"]


async def test_a_delete_leaves_a_mark_and_no_word_on_disk(desks: tuple[Desk, Desk]) -> None:
    near, far = desks
    entry = await near.say("a blunder")
    edit = await near.write(EDIT, EditBody(entry.id, "a calamity"))
    await near.write(DELETE, DeleteBody(entry.id))
    late = await near.write(EDIT, EditBody(entry.id, "a disaster"))
    for entries in near.committed:
        await far.take(entries)
    for desk in (near, far):
        message = (await desk.read())[0]
        assert (message.text, message.deleted, message.edited) == ("", True, False)
        for word in ("blunder", "calamity", "disaster"):
            assert await desk.texts(word) == []
        bodies = await desk.bodies()
        assert [bodies[one.id] for one in (entry, edit, late)] == [None, None, None]
        assert await desk.indexed() == []
    assert ("deleted", None, True) in near.changes()


async def test_a_chain_without_a_deleted_body_is_served_and_taken(
    desks: tuple[Desk, Desk], tmp_path: Path, ann: Identity, bob: Identity
) -> None:
    near, far = desks
    entry = await near.say("a blunder")
    await near.write(DELETE, DeleteBody(entry.id))
    await near.say("after it")
    bodies = await near.bodies()
    whole = [entry for entries in near.committed for entry in entries]
    await far.take([msgspec.structs.replace(one, body=bodies[one.id]) for one in whole])
    assert await far.texts() == ["", "after it"]
    # And without the delete it is not there at all, and takes no place in a listing.
    async with open_desk(tmp_path / "cut", bob, ann) as cut:
        known = [one for one in whole if one.header.kind != DELETE]
        await cut.take([msgspec.structs.replace(one, body=bodies[one.id]) for one in known[:3]])
        assert await cut.texts() == []


async def _edit_often(desk: Desk, entry: Entry, count: int) -> list[Entry]:
    return [await desk.write(EDIT, EditBody(entry.id, f"word{number}")) for number in range(count)]


async def test_more_edits_than_count_are_gone_from_disk_once_it_is_deleted(desk: Desk) -> None:
    entry = await desk.say("first")
    edits = await _edit_often(desk, entry, AMENDMENTS_BY_ONE + 2)
    assert await desk.texts() == [f"word{AMENDMENTS_BY_ONE + 1}"]
    assert None not in (await desk.bodies()).values()
    delete = await desk.write(DELETE, DeleteBody(entry.id))
    edits += await _edit_often(desk, entry, 2)
    bodies = await desk.bodies()
    assert [bodies[one.id] for one in (entry, *edits)] == [None] * (len(edits) + 1)
    # All of them may be had again, should the delete not count any more.
    await _cut(desk, edits[-3])
    assert delete.id not in await desk.bodies()
    tables = await desk.tables()
    assert tables[2] == []


async def test_a_cut_leaves_the_same_text_however_many_edits_it_takes(
    desks: tuple[Desk, Desk],
) -> None:
    near, far = desks
    entry = await near.say("I agree")
    await near.write(EDIT, EditBody(entry.id, "I do not agree"))
    runs = list(near.committed)
    end = await near.say("the end")
    await _edit_often(near, entry, AMENDMENTS_BY_ONE + 1)
    for run in runs:
        await far.take(run)  # and no more, before it heard of the removal
    await _cut(near, end)
    for desk in (near, far):
        assert (await desk.texts())[0] == "I do not agree"
        assert await desk.texts("agree") == ["I do not agree"]
    assert await near.texts(f"word{AMENDMENTS_BY_ONE}") == []


async def test_an_edit_that_counts_no_more_is_found_no_more(desk: Desk) -> None:
    entry = await desk.say("first")
    last = (await _edit_often(desk, entry, AMENDMENTS_BY_ONE))[-1]
    # As if the clock of the last one had been the furthest behind.
    await desk.database.write(
        lambda tx: tx.execute("UPDATE amendments SET time = 0 WHERE id = ?", (last.id,)).fetchall()
    )
    await desk.write(EDIT, EditBody(entry.id, "latest"))
    for word in ("first", f"word{AMENDMENTS_BY_ONE - 1}"):
        assert await desk.texts(word) == []
    assert await desk.texts("latest") == ["latest"]


async def test_a_message_that_nobody_amends_is_not_read_in_its_commit(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.rooms.heard = lambda: False
    first = await desk.say("an apple")
    opened: list[int] = []

    real = sealing.open_body

    def open_body(key: bytes, sealed: bytes, header: Header) -> bytes | None:
        opened.append(header.kind)
        return real(key, sealed, header)

    monkeypatch.setattr(sealing, "open_body", open_body)
    await desk.say("a pear", 60)
    assert opened == []
    await desk.write(EDIT, EditBody(first.id, "a plum"))
    assert sorted(set(opened)) == [MESSAGE, EDIT]


async def test_an_edit_before_its_target_was_indexed_leaves_one_text(desk: Desk) -> None:
    entry = await desk.say("an apple")
    deleted = await desk.say("a cherry")
    await desk.write(EDIT, EditBody(entry.id, "a pear"))
    await desk.write(DELETE, DeleteBody(deleted.id))
    assert await desk.indexed() == ["a pear"]
    await desk.rooms.words.complete()
    assert await desk.indexed() == ["a pear"]
    # And where all is read anew, as after a repair.
    await desk.database.write(search.clear)
    assert await desk.texts("apple") == []
    assert await desk.indexed() == ["a pear"]


async def _cut(desk: Desk, last: Entry) -> None:
    """What stands behind `last` is taken out, as when its author was removed."""
    chains = desk.rooms.get(desk.room)
    assert chains is not None
    assert last.signature is not None
    limit = Limit(last.header.seq, last.id, last.signature)
    certificate = chains.certificates[last.header.device]

    def work(tx: Connection) -> None:
        fold = desk.rooms.talk.fold(tx, chains)
        fold.leave(withheld.excess(tx, last.chain, limit))
        withheld.withhold(tx, last.chain, limit, certificate)
        fold.settle()

    await desk.database.write(work)


async def test_what_is_taken_out_of_a_room_has_said_nothing(desk: Desk) -> None:
    first = await desk.say("an apple")
    second = await desk.say("a cherry")
    deleted = await desk.say("a date")
    await desk.write(EDIT, EditBody(first.id, "a pear"))
    await desk.write(REACTION, ReactionBody(second.id, "x", True))
    await desk.write(DELETE, DeleteBody(deleted.id))
    await desk.say("a fig", 60)
    await desk.write(EDIT, EditBody(first.id, "a plum"))
    assert await desk.texts("plum") == ["a plum"]
    await _cut(desk, deleted)
    # The text that was deleted is asked of those who never heard of that.
    assert await desk.texts() == ["an apple", "a cherry"]
    assert (await desk.read())[1].reactions is None
    assert await desk.database.read(lambda tx: lacking.wanted(tx, desk.room, b"", ())) == [
        deleted.id
    ]
    for word in ("pear", "plum", "fig", "date"):
        assert await desk.texts(word) == []
    assert await desk.texts("apple") == ["an apple"]
    await _cut(desk, first)
    assert await desk.texts() == await desk.texts("apple") == ["an apple"]
    assert await desk.texts("cherry") == []
    tables = await desk.tables()
    assert tables[:2] == [[], []]


_STEP = st.tuples(
    st.sampled_from(["say", "edit", "delete", "react", "pin", "meet", "fleeting"]),
    st.booleans(),
    st.integers(0, 7),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(_STEP, min_size=4, max_size=14), order=st.randoms(use_true_random=False))
def test_any_order_of_arrival_gives_the_same(
    steps: list[tuple[str, bool, int]], order: random.Random
) -> None:
    asyncio.run(_any_order(steps, order))


async def _any_order(steps: list[tuple[str, bool, int]], order: random.Random) -> None:
    ann, bob = Identity.create("Ann", os.urandom), Identity.create("Bob", os.urandom)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        async with (
            open_desk(path / "ann", ann, bob) as near,
            open_desk(path / "bob", bob, ann) as far,
            open_desk(path / "one", bob, ann) as one,
            open_desk(path / "two", bob, ann) as two,
            open_desk(path / "afterwards", bob, ann) as afterwards,
        ):
            ids: list[bytes] = []
            given = {id(near): 0, id(far): 0}

            async def meet() -> None:
                near.now = far.now = max(near.now, far.now)
                for source, target in ((near, far), (far, near)):
                    own = source.own()
                    for entries in own[given[id(source)] :]:
                        await target.take(entries)
                    given[id(source)] = len(own)

            await near.say("first")
            await meet()
            for what, hers, number in steps:
                desk = near if hers else far
                desk.now = max(near.now, far.now)
                target = ids[number % len(ids)] if ids else b"?" * 32
                match what:
                    case "say":
                        ids.append((await desk.say(f"text {number}")).id)
                    case "fleeting":
                        ids.append((await desk.say(f"text {number}", 4)).id)
                    case "edit":
                        await desk.write(EDIT, EditBody(target, f"edit {number}"))
                    case "delete":
                        await desk.write(DELETE, DeleteBody(target))
                    case "react":
                        body = ReactionBody(target, "ab"[number % 2], number % 3 > 0)
                        await desk.write(REACTION, body)
                    case "pin":
                        await desk.write(PIN, PinBody(target, number % 3 > 0))
                    case "meet":
                        await meet()
            await meet()
            now = max(near.now, far.now)
            near.now = far.now = one.now = two.now = afterwards.now = now
            for desk in (near, far):
                await desk.tables()
            for desk in (one, two):
                left = [list(near.own()), list(far.own())]
                while any(left):
                    chain = order.choice([chain for chain in left if chain])
                    await desk.take(chain.pop(0))
            # Whoever comes later gets what is on the disks by then.
            bodies = await near.bodies()
            for entries in (*far.own(), *near.own()):
                await afterwards.take(
                    [msgspec.structs.replace(one, body=bodies[one.id]) for one in entries]
                )
            assert await afterwards.read() == await near.read()
            assert sorted(await afterwards.texts("text")) == sorted(await near.texts("text"))
            kept = [await desk.tables() for desk in (near, far, one, two)]
            read = [await desk.read() for desk in (near, far, one, two)]
            found = [await desk.read("text") for desk in (near, far, one, two)]
            assert read[0] == read[1] == read[2] == read[3]
            assert found[0] == found[1] == found[2] == found[3]
            assert kept[0] == kept[1] == kept[2] == kept[3]
            assert all("text" in message.text for message in found[0])
