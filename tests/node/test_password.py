"""The attack that a password is against: somebody has the blob, and a list of likely passwords."""

import asyncio
from pathlib import Path

import pytest

from p2pchat import errors, events
from p2pchat.node.node import Node
from p2pchat.node.password import Guarded, OneTry, Turn
from p2pchat.store import invites
from p2pchat.store.database import Database
from tests.node.people import WAIT_S, heard, person

_PASSWORD = "acid pelican"
_LIKELY = ["123456", "password", "qwerty", "letmein", _PASSWORD]


async def _tried(eve: Node, blob: str, passwords: list[str]) -> list[str]:
    """What each password came to, until one opens."""
    found = []
    for password in passwords:
        try:
            await eve.join(blob, timeout=WAIT_S, password=password)
        except errors.Refused as refused:
            found.append(refused.code)
        else:
            return [*found, "in"]
    return found


async def test_with_the_password_a_friend_comes_in(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", lan=True) as ann, person(tmp_path, "Bob", lan=True) as bob:
        invitation = await ann.invite(password=_PASSWORD)
        with pytest.raises(errors.Usage) as missing:
            await bob.join(invitation.blob, timeout=WAIT_S)
        assert missing.value.code == "password-missing"
        with pytest.raises(errors.Refused) as caught:
            await bob.join(invitation.blob, timeout=WAIT_S, password="acid penguin")
        assert caught.value.code == "password-wrong"
        assert "2 tries are left" in caught.value.message
        assert (await bob.join(invitation.blob, timeout=WAIT_S, password=_PASSWORD)).name == "Ann"
        assert (await invitation.wait()).name == "Bob"
        # The device that has it may come again, and the right password is no guess.
        for _ in range(3):
            await bob.join(invitation.blob, timeout=WAIT_S, password=_PASSWORD)


async def test_three_wrong_passwords_end_an_invite_across_a_restart(tmp_path: Path) -> None:
    async with person(tmp_path, "Eve", lan=True) as eve:
        async with person(tmp_path, "Ann", lan=True) as ann:
            blob = (await ann.invite(password=_PASSWORD)).blob
            with ann.events() as feed:
                assert await _tried(eve, blob, _LIKELY[:2]) == ["password-wrong"] * 2
                for left in (2, 1):
                    await heard(feed, events.Note, code="password-wrong", left=left)
        async with person(tmp_path, "Ann", lan=True) as ann:
            with ann.events() as feed:
                assert await _tried(eve, blob, _LIKELY[2:]) == [
                    "password-wrong", "invite-locked", "invite-locked",
                ]  # fmt: skip
                note = await heard(feed, events.Note, code="password-wrong", left=0)
            assert "dead" in note.text
        async with person(tmp_path, "Ann", lan=True) as ann:
            assert await _tried(eve, blob, [_PASSWORD]) == ["invite-locked"]
            assert await ann.peers() == []


async def test_whoever_waits_hears_that_the_invite_is_locked(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", lan=True) as ann, person(tmp_path, "Eve", lan=True) as eve:
        invitation = await ann.invite(password=_PASSWORD)
        await _tried(eve, invitation.blob, _LIKELY[:3])
        with pytest.raises(errors.Refused) as caught:
            async with asyncio.timeout(WAIT_S):
                await invitation.wait()
        assert caught.value.code == "invite-locked"


async def test_without_the_count_a_list_of_passwords_opens_the_invite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def uncounted(self: Guarded) -> int:
        return 2

    monkeypatch.setattr(Guarded, "begin", uncounted)
    async with person(tmp_path, "Ann", lan=True) as ann, person(tmp_path, "Eve", lan=True) as eve:
        blob = (await ann.invite(password=_PASSWORD)).blob
        assert await _tried(eve, blob, _LIKELY) == ["password-wrong"] * 4 + ["in"]


async def test_an_empty_password_is_none(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann") as ann:
        with pytest.raises(errors.Usage) as caught:
            await ann.invite(password="")
        assert caught.value.code == "password-missing"


async def test_a_guess_is_on_disk_when_it_may_begin(tmp_path: Path) -> None:
    path, told = tmp_path / "journal.db", list[int]()
    database = await Database.open(path, bytes(32))
    await database.write(lambda tx: invites.add(tx, b"id", b"secret", 100, b"key"))
    guarded = Guarded(b"key", b"id", database, told.append)
    assert await guarded.begin() == 2
    other = await Database.open(path, bytes(32))
    assert await other.write(lambda tx: invites.guess(tx, b"id")) == 1
    await other.aclose()
    guarded.wrong(1)
    assert told == [1]
    await database.aclose()


async def test_of_the_links_of_a_join_one_at_a_time_tries() -> None:
    turn = Turn()
    one, other = OneTry(b"key", turn), OneTry(b"key", turn)
    assert await one.begin() == 0
    assert await other.begin() == "superseded"
    other.over()  # it had no turn to give back
    assert await other.begin() == "superseded"
    one.over()
    assert await other.begin() == 0
