"""Whose profile it is, from one opening to the next."""

import itertools
import os
import subprocess
from pathlib import Path

import pytest

from p2pchat import errors
from p2pchat.node.owner import Owner
from p2pchat.store.database import Database
from p2pchat.store.profile import Profile
from tests.node.people import person


async def test_an_identity_is_made_once_and_kept(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", online=False) as node:
        first = node.identity_row()
    async with person(tmp_path, "Ann", online=False) as node:
        again = node.identity_row()
    assert (first.created, again.created) == (True, False)
    assert (first.peer, first.device, first.name) == (again.peer, again.device, "Ann")


@pytest.mark.parametrize("left", ["nothing", "an empty file"])
async def test_where_the_database_is_gone_nobody_new_takes_its_place(
    tmp_path: Path, left: str
) -> None:
    async with person(tmp_path, "Ann", online=False) as node:
        path = Path(node.identity_row().home) / "journal.db"
    path.unlink()
    if left == "an empty file":
        path.touch()
    with pytest.raises(errors.Error) as caught:
        async with person(tmp_path, "Ann", online=False):
            pass
    assert caught.value.code == "home-damaged"


async def test_a_new_name_is_kept(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", online=False) as node:
        assert (await node.rename("Anna")).name == "Anna"
        with pytest.raises(errors.BadInput):
            await node.rename("")
    async with person(tmp_path, "Ann", online=False) as node:
        assert node.name == "Anna"


async def test_a_whole_home_put_back_in_its_place_begins_an_incarnation(
    tmp_path: Path,
) -> None:
    async def opened(home: Path) -> bytes:
        profile = Profile.open(home)
        database = await Database.open(profile.database_path, bytes(32))
        try:
            return (await Owner.load(database, profile, "Ann", os.urandom))[1]
        finally:
            await database.aclose()
            profile.close()

    home, copy = tmp_path / "Ann", tmp_path / "copy"
    first = await opened(home)
    subprocess.run(["cp", "-a", home, copy], check=True)
    assert await opened(home) == first
    home.rename(tmp_path / "later")
    subprocess.run(["cp", "-a", copy, home], check=True)
    back = await opened(home)
    assert back != first
    assert await opened(home) == back
    # Elsewhere it goes on, as a home that has moved does.
    assert await opened(copy) == first
    copy.rename(tmp_path / "moved")
    assert await opened(tmp_path / "moved") == first


async def test_where_files_have_no_lasting_time_an_incarnation_lasts_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = itertools.count(1)
    monkeypatch.setattr(Profile, "generation_mark", lambda _: next(marks))
    profile = Profile.open(tmp_path / "Ann")
    database = await Database.open(profile.database_path, bytes(32))
    try:
        found = [(await Owner.load(database, profile, "Ann", os.urandom))[1] for _ in range(10)]
    finally:
        await database.aclose()
        profile.close()
    assert len(set(found)) == 4
    assert len(set(found[3:])) == 1


async def test_a_database_that_was_put_back_writes_in_a_new_incarnation(tmp_path: Path) -> None:
    profile = Profile.open(tmp_path / "Ann")
    database = await Database.open(profile.database_path, bytes(32))
    try:
        owner, first = await Owner.load(database, profile, "Ann", os.urandom)
        again, same = await Owner.load(database, profile, None, os.urandom)
        assert (owner.created, again.created) == (True, False)
        assert (again.id, same) == (owner.id, first)
        # What lies beside it has seen openings that this database has not.
        profile.keep_generation(9)
        back, other = await Owner.load(database, profile, None, os.urandom)
        assert back.id == owner.id
        assert other != first
    finally:
        await database.aclose()
        profile.close()
