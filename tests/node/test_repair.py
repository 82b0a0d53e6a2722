"""A damaged journal is found to be so, and what is whole in it is kept."""

import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from p2pchat.core.entry import MESSAGE
from p2pchat.errors import Error
from p2pchat.node.node import Node
from p2pchat.node.repair import check, find_damage, rebuild, repair
from p2pchat.store import journal, remnants
from p2pchat.store.database import Connection, Database, connect
from p2pchat.store.profile import Profile
from tests.harness.crew import Crew
from tests.node.people import acquaint, meet, person

_MESSAGES = 40


async def _written(folder: Path) -> None:
    await acquaint(folder, "Ann", "Bob")
    async with person(folder, "Ann", online=False) as ann:
        room = await ann.room("Bob")
        for number in range(_MESSAGES):
            await room.send(f"number {number} " + "x" * 500)


async def _texts(node: Node, room: str) -> list[str]:
    found = (await node.room(room)).history(last=None)
    return [message.text.split(" x")[0] async for message in found]


async def _spoil(folder: Path, statement: str) -> None:
    """As a fault of the disk's below SQLCipher would, but where we want it."""
    profile = Profile.open(folder / "Ann")
    database = await Database.open(profile.database_path, profile.key(os.urandom))

    def work(tx: Connection) -> None:
        assert tx.execute(statement).rowcount == 1

    await database.write(work)
    await database.aclose()
    profile.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET body = zeroblob(length(body)) WHERE seq = 20",
        "UPDATE entries SET header = zeroblob(200) WHERE seq = 20",
        "UPDATE entries SET id = randomblob(32) WHERE seq = 20",
        "UPDATE entries SET signature = randomblob(64) WHERE seq = 20",
        "DELETE FROM entries WHERE seq = 20",
    ],
)
async def test_an_entry_that_does_not_hold_ends_what_is_kept(
    tmp_path: Path, statement: str
) -> None:
    await _written(tmp_path)
    await _spoil(tmp_path, statement)
    profile = Profile.open(tmp_path / "Ann")
    key = profile.key(os.urandom)
    database = await Database.open(profile.database_path, key)
    damage = await find_damage(database)
    await database.aclose()
    assert damage
    [(_, lost)] = damage.chains
    rebuilt = await rebuild(profile, key)
    assert rebuilt.old.exists()
    assert (rebuilt.kept, rebuilt.lost) == (damage.checked, lost)
    assert rebuilt.kept + rebuilt.lost == _MESSAGES + 2
    profile.close()
    async with person(tmp_path, "Ann", online=False) as ann:
        kept = await _texts(ann, "Bob")
        assert kept == [f"number {number}" for number in range(len(kept))]
        assert 0 < len(kept) <= 20
        assert not await find_damage(ann._parts.database)


def _pages(path: Path) -> list[int]:
    return list(range(0, path.stat().st_size, 4096))


@pytest.mark.timeout(240)
async def test_no_altered_page_costs_more_than_what_one_entry_says(tmp_path: Path) -> None:
    await _written(tmp_path)
    home = tmp_path / "Ann"
    path, copy = home / "journal.db", (home / "journal.db").read_bytes()
    bare = 0
    for start in _pages(path):
        data = bytearray(copy)
        data[start + 1500 : start + 1516] = (byte ^ 255 for byte in data[start + 1500 :][:16])
        path.write_bytes(data)
        profile = Profile.open(home)
        rebuilt = await repair(profile, profile.key(os.urandom))
        profile.close()
        assert rebuilt is not None
        assert (rebuilt.kept, rebuilt.lost) == (_MESSAGES + 2, 0), start
        assert rebuilt.bare <= 1
        bare += rebuilt.bare
        assert rebuilt.old.read_bytes() == bytes(data)
        assert sorted(one.name for one in home.glob("journal*")) == [
            "journal.damaged",
            "journal.db",
        ]
        rebuilt.old.unlink()
        async with person(tmp_path, "Ann", online=False) as ann:
            assert len(await _texts(ann, "Bob")) == _MESSAGES - rebuilt.bare
            assert not await find_damage(ann._parts.database)
    assert bare, "some page has messages on it"


@pytest.mark.timeout(240)
async def test_no_lost_page_costs_more_than_what_hangs_on_it(tmp_path: Path) -> None:
    await _written(tmp_path)
    home = tmp_path / "Ann"
    path, copy = home / "journal.db", (home / "journal.db").read_bytes()
    hopeless, whole = list[Error](), 0
    for start in _pages(path):
        path.write_bytes(copy[:start] + bytes(4096) + copy[start + 4096 :])
        profile = Profile.open(home)
        key = profile.key(os.urandom)
        try:
            rebuilt = await repair(profile, key)
        except Error as error:
            hopeless.append(error)
            assert [one.name for one in home.glob("journal*")] == ["journal.db"]
            continue
        finally:
            profile.close()
        assert rebuilt is not None
        assert rebuilt.kept + rebuilt.lost == _MESSAGES + 2
        whole += not rebuilt.lost
        rebuilt.old.unlink()
        async with person(tmp_path, "Ann", online=False) as ann:
            # Where the contact is lost, and has never written here, the room has no name.
            found = [row.room for row in await ann.rooms()] if rebuilt.kept else []
            kept = await _texts(ann, found[0]) if found else []
            assert len(kept) == max(rebuilt.kept - 2, 0)
            assert kept == [f"number {number}" for number in range(len(kept))]
            assert not await find_damage(ann._parts.database)
    [error] = hopeless
    assert (error.code, error.message) == ("home-damaged", "the identity itself cannot be read")
    assert "--repair" not in error.hint
    assert "import" in error.hint
    # Messages lie on 6 or 7 of more than 40 pages.
    assert whole > len(copy) // 4096 * 2 // 3


async def test_a_journal_that_was_cut_short_keeps_what_stands_before(tmp_path: Path) -> None:
    await _written(tmp_path)
    path = tmp_path / "Ann" / "journal.db"
    path.write_bytes(path.read_bytes()[:-4096])
    profile = Profile.open(tmp_path / "Ann")
    rebuilt = await repair(profile, profile.key(os.urandom))
    profile.close()
    assert rebuilt is not None
    assert rebuilt.kept > _MESSAGES // 2
    async with person(tmp_path, "Ann", online=False) as ann:
        assert not await find_damage(ann._parts.database)
        await (await ann.room("Bob")).send("goes on")


async def test_a_damaged_journal_is_kept_aside_beside_earlier_ones(tmp_path: Path) -> None:
    await _written(tmp_path)
    home = tmp_path / "Ann"
    kept = []
    for number in range(3):
        profile = Profile.open(home)
        key = profile.key(os.urandom)
        path = profile.database_path
        data = bytearray(path.read_bytes())
        data[(4 + number) * 4096 + 9] ^= 1
        path.write_bytes(data)
        rebuilt = await repair(profile, key)
        assert rebuilt is not None
        kept.append((rebuilt.old, bytes(data)))
        assert await repair(profile, key) is None, "a whole journal is left alone"
        profile.close()
    assert [old.name for old, _ in kept] == [
        "journal.damaged",
        "journal.damaged-2",
        "journal.damaged-3",
    ]
    assert all(old.read_bytes() == data for old, data in kept)


@pytest.mark.parametrize("state", ["missing", "empty"])
async def test_of_a_journal_that_is_gone_all_say_the_same(tmp_path: Path, state: str) -> None:
    await _written(tmp_path)
    path = tmp_path / "Ann" / "journal.db"
    path.unlink()
    if state == "empty":
        path.touch()
    profile = Profile.open(tmp_path / "Ann")
    key = profile.key(os.urandom)
    told = []
    for _ in range(2):
        with pytest.raises(Error) as raised:
            await repair(profile, key)
        told.append((raised.value.code, raised.value.message, raised.value.hint))
    with pytest.raises(Error) as raised:
        check(profile, key)
    told.append((raised.value.code, raised.value.message, raised.value.hint))
    profile.close()
    with pytest.raises(Error) as raised:
        async with person(tmp_path, "Ann", online=False):
            pass
    told.append((raised.value.code, raised.value.message, raised.value.hint))
    assert len(set(told)) == 1
    assert f"is {state}" in told[0][1]
    assert "--repair" not in told[0][2]
    assert path.exists() == (state == "empty"), "nothing is made in its place"


async def test_what_a_newer_version_wrote_is_left_alone(tmp_path: Path) -> None:
    await _written(tmp_path)
    profile = Profile.open(tmp_path / "Ann")
    key = profile.key(os.urandom)
    database = await Database.open(profile.database_path, key)
    await database.aclose()
    with closing(connect(profile.database_path, key)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(Error) as raised:
        await repair(profile, key)
    profile.close()
    assert raised.value.code == "home-newer"


async def test_a_whole_journal_is_kept_whole(tmp_path: Path) -> None:
    await _written(tmp_path)
    async with person(tmp_path, "Ann", online=False) as ann:
        await ann.block(ann.people.find("Bob"))
        await ann.block(ann.people.find("Bob"), blocked=False)
        await ann.people.rename(ann.people.find("Bob"), "Bobby")
    profile = Profile.open(tmp_path / "Ann")
    rebuilt = await rebuild(profile, profile.key(os.urandom))
    profile.close()
    assert (rebuilt.kept, rebuilt.lost) == (_MESSAGES + 2, 0)
    async with person(tmp_path, "Ann", online=False) as ann:
        assert len(await _texts(ann, "Bob")) == _MESSAGES
        room = await ann.room("Bob")
        assert len([one async for one in room.history(search='"number 7"')]) == 1
        assert ann.people.row(ann.people.find("Bobby")).own_name == "Bob"


async def test_without_an_identity_there_is_nothing_to_keep(tmp_path: Path) -> None:
    await _written(tmp_path)
    await _spoil(tmp_path, "DELETE FROM meta WHERE name = 'identity'")
    profile = Profile.open(tmp_path / "Ann")
    with pytest.raises(Error) as raised:
        await rebuild(profile, profile.key(os.urandom))
    profile.close()
    assert raised.value.code == "home-damaged"


async def _chains_of(node: Node) -> int:
    [room] = node._parts.rooms.all()
    device = node.identity.device
    rows = await node._parts.database.read(lambda tx: journal.heads(tx, room.room))
    return sum(row.device == device for row in rows)


async def test_a_database_put_back_from_a_copy_writes_in_a_chain_of_its_own(tmp_path: Path) -> None:
    await _written(tmp_path)
    path = tmp_path / "Ann" / "journal.db"
    shutil.copy(path, tmp_path / "copy")
    async with person(tmp_path, "Ann", online=False) as ann:
        await (await ann.room("Bob")).send("after the copy")
        assert await _chains_of(ann) == 1
    shutil.copy(tmp_path / "copy", path)
    async with person(tmp_path, "Ann", online=False) as ann:
        await (await ann.room("Bob")).send("restored")
        assert await _chains_of(ann) == 2


async def test_a_home_put_back_whole_learns_from_a_friend_that_it_is_old(tmp_path: Path) -> None:
    async with person(tmp_path, "Bob") as bob:
        async with person(tmp_path, "Ann") as ann:
            await meet(ann, bob)
            async for _ in (room := await ann.room("Bob")).delivered(
                (await room.send("before")).id
            ):
                pass
        shutil.copytree(tmp_path / "Ann", tmp_path / "copy")
        async with person(tmp_path, "Ann", lan=False) as ann:
            await meet(ann, bob)
            room = await ann.room("Bob")
            async for _ in room.delivered((await room.send("lost by the copy")).id):
                pass
        shutil.rmtree(tmp_path / "Ann")
        shutil.copytree(tmp_path / "copy", tmp_path / "Ann")
        async with person(tmp_path, "Ann") as ann:
            await meet(ann, bob)
            async for _ in ann.sync(wait=True):
                pass
            room = await ann.room("Bob")
            async for _ in room.delivered((await room.send("and on")).id):
                pass
            expected = ["before", "lost by the copy", "and on"]
            assert await _texts(ann, "Bob") == expected == await _texts(bob, "Ann")
            rows = await bob._parts.database.read(lambda tx: journal.of_kind(tx, room.key, MESSAGE))
            assert len({row.chain for row in rows}) == 2


async def _crew_that_has_acted(folder: Path) -> list[str]:
    """ann's room with bob and carol, mallory removed from it; what bob reads there."""
    async with Crew.open(folder, "ann", "bob", "carol", "mallory") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob", "carol", "mallory")
        await crew.link_all()
        for name in crew.all:
            await crew[name].say(f"{name} is here")
        await crew.settle()
        await (await crew["ann"].room()).set_role("bob", "admin")
        await (await crew["ann"].room()).remove("mallory")
        await crew.settle("ann", "bob", "carol")
        await (await crew["bob"].room()).set("topic", "sails")
        await crew["bob"].say("and on")
        await crew.settle("ann", "bob", "carol")
        return await crew["bob"].texts()


async def test_a_room_of_many_is_found_whole_and_kept_whole(tmp_path: Path) -> None:
    said = await _crew_that_has_acted(tmp_path)
    for name in ("ann", "bob", "mallory"):
        profile = Profile.open(tmp_path / name)
        key = profile.key(os.urandom)
        database = await Database.open(profile.database_path, key)
        damage = await find_damage(database)
        await database.aclose()
        assert not damage
        rebuilt = await rebuild(profile, key)
        assert (rebuilt.kept, rebuilt.lost) == (damage.checked, 0)
        profile.close()
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        names = {crew[name].person for name in crew.all}
        for name in ("ann", "bob"):
            group = crew[name].group((await crew[name].room()).key)
            assert set(group.members) == names
            assert group.membership.setting("topic") == "sails"
            assert await crew[name].texts() == said
        await crew.link_all()
        await crew["bob"].say("goes on")
        await crew.settle()


_OF_ANNS = "chain = (SELECT chain FROM entries WHERE kind = 16)"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET header = zeroblob(200) WHERE kind = 16",
        "UPDATE entries SET body = zeroblob(length(body)) WHERE kind = 17 AND seq ="
        f" (SELECT min(seq) FROM entries WHERE kind = 17 AND {_OF_ANNS}) AND {_OF_ANNS}",
        f"UPDATE entries SET signature = randomblob(64) WHERE kind = {MESSAGE} AND {_OF_ANNS}",
    ],
    ids=["create", "admission", "message"],
)
async def test_what_a_room_of_many_has_lost_its_members_bring_back(
    tmp_path: Path, statement: str
) -> None:
    said = await _crew_that_has_acted(tmp_path)
    profile = Profile.open(tmp_path / "bob")
    key = profile.key(os.urandom)
    database = await Database.open(profile.database_path, key)
    assert await database.write(lambda tx: tx.execute(statement).rowcount) == 1
    await database.aclose()
    rebuilt = await rebuild(profile, key)
    assert rebuilt.kept
    assert rebuilt.lost
    profile.close()
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        await crew.link("bob", "carol")
        await crew.reads(crew["bob"], said)
        await crew.settle("bob", "carol")
        assert not await find_damage(crew["bob"].parts.database)
        await crew["bob"].say("back again")
        await crew.reads(crew["carol"], [*said, "back again"])


async def test_every_table_is_copied_or_made_anew(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "journal.db", bytes(32))
    found = await database.read(
        lambda tx: tx.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    )
    await database.aclose()
    names = {name for (name,) in found if not name.startswith(("words", "sqlite_"))}
    anew = {"chains", "entries", "causes", "unread", "amendments", "late", "unsettled"}
    assert names == anew | set(remnants.TABLES)
