"""A join waits for its inviter, tells how far it came, and goes on without anybody watching."""

import asyncio
import time
from pathlib import Path

import pytest

from p2pchat import errors, events
from p2pchat.node.node import Node
from p2pchat.store import pursuits
from signaling.invite import Invite
from tests.node.people import WAIT_S, heard, person


async def _invited(tmp_path: Path, **options: float) -> str:
    """An invite of Ann, who is offline again."""
    async with person(tmp_path, "Ann", lan=True) as ann:
        return (await ann.invite(**options)).blob  # type: ignore[arg-type]


async def _waiting(bob: Node, blob: str) -> list[events.Event]:
    """Join in vain, and leave it with the node; what was told."""
    told: list[events.Event] = []
    with pytest.raises(errors.Unreachable) as caught:
        await bob.join(blob, timeout=0.5, on_event=told.append, keep=True)
    assert caught.value.code == "join-waiting"
    return told


async def test_a_join_in_vain_tells_how_far_each_way_came(tmp_path: Path) -> None:
    blob = await _invited(tmp_path)
    told: list[events.Event] = []
    async with person(tmp_path, "Bob", lan=True) as bob:
        with pytest.raises(errors.Unreachable) as caught:
            await bob.join(blob, timeout=3, on_event=told.append)
        assert await bob.waiting() == []
    assert caught.value.code == "unreachable"
    assert "network" in caught.value.message
    assert "pasted back" in caught.value.message
    attempts = {one.via: one.stage for one in told if isinstance(one, events.Attempt)}
    assert attempts == {"lan": "nobody", "paste": "nobody"}
    (note,) = (one for one in told if isinstance(one, events.Note))
    assert "still looking for Ann" in note.text


async def _met(node: Node, name: str) -> None:
    """Until a node knows somebody: whoever joined may hear of it first."""
    with node.events() as feed:
        async with asyncio.timeout(WAIT_S):
            while [one.name for one in await node.peers()] != [name]:
                await anext(feed)


async def test_a_join_goes_on_across_restarts_until_the_inviter_comes(tmp_path: Path) -> None:
    blob = await _invited(tmp_path)
    async with person(tmp_path, "Bob", lan=True) as bob:
        told = await _waiting(bob, blob)
        (row,) = (one for one in told if isinstance(one, events.Waiting))
        assert row.name == "Ann"
        assert (await bob.status()).joins == 1
    async with person(tmp_path, "Bob", online=False) as bob:
        assert [one.number for one in await bob.waiting()] == [row.number]
    async with person(tmp_path, "Bob", lan=True) as bob:
        (resumed,) = await bob.waiting()
        assert resumed.text is not None
        with bob.events() as feed:
            async with person(tmp_path, "Ann", lan=True) as ann:
                joined = await heard(feed, events.Joined, invite=row.invite)
                assert joined.name == "Ann"
                await _met(ann, "Bob")
        assert await bob.waiting() == []
    async with person(tmp_path, "Bob", online=False) as bob:
        assert (await bob.status()).joins == 0


async def test_an_invite_with_a_password_goes_on_with_it(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", lan=True) as ann:
        blob = (await ann.invite(password="horse")).blob
    async with person(tmp_path, "Bob", lan=True) as bob:
        with pytest.raises(errors.Unreachable):
            await bob.join(blob, timeout=0.5, password="horse", keep=True)
    async with person(tmp_path, "Bob", lan=True) as bob, person(tmp_path, "Ann", lan=True) as ann:
        await _met(ann, "Bob")


async def test_a_join_that_is_given_up_looks_no_more(tmp_path: Path) -> None:
    blob = await _invited(tmp_path)
    async with person(tmp_path, "Bob", lan=True) as bob:
        await _waiting(bob, blob)
        # The same invite again is the same join.
        await _waiting(bob, blob)
        (row,) = await bob.waiting()
        with pytest.raises(errors.BadInput) as caught:
            await bob.cancel_join("999")
        assert caught.value.code == "join-unknown"
        assert (await bob.cancel_join(str(row.number))).invite == row.invite
        assert await bob.waiting() == []
        assert bob.online_parts.pursuits.told(bytes.fromhex(row.invite)) is None
        # Nobody is told of one that works after all.
        async with person(tmp_path, "Ann", lan=True) as ann:
            await bob.join(blob, timeout=WAIT_S)
            assert [one.name for one in await ann.peers()] == ["Bob"]


async def test_who_looks_on_and_goes_away_ends_no_join_that_waited(tmp_path: Path) -> None:
    blob = await _invited(tmp_path)
    async with person(tmp_path, "Bob", lan=True) as bob:
        for waited in (False, True):
            told = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                joining = tasks.create_task(
                    bob.join(blob, on_event=lambda _, told=told: told.set(), keep=True)  # type: ignore[misc]
                )
                async with asyncio.timeout(WAIT_S):
                    await told.wait()
                joining.cancel()
            assert len(await bob.waiting()) == waited
            if not waited:
                await _waiting(bob, blob)
        (row,) = await bob.waiting()
        assert row.text is not None
        with bob.events() as feed:
            async with person(tmp_path, "Ann", lan=True):
                await heard(feed, events.Joined, invite=row.invite)


async def test_how_a_join_in_the_background_ends_is_told(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", lan=True) as ann:
        invitation = await ann.invite()
    async with person(tmp_path, "Bob", lan=True) as bob:
        await _waiting(bob, invitation.blob)
        with bob.events() as feed:
            async with person(tmp_path, "Ann", online=False) as ann:
                await ann._parts.database.write(
                    lambda tx: tx.execute("UPDATE invites SET state = 'dead'")
                )
            async with person(tmp_path, "Ann", lan=True):
                note = await heard(feed, events.Note, code="invite-withdrawn")
        assert note.invite == invitation.id
        assert "Ann" in note.text
        assert await bob.waiting() == []


async def test_one_that_has_expired_meanwhile_is_forgotten(tmp_path: Path) -> None:
    blob = await _invited(tmp_path)
    invite = Invite.parse(blob, 0)
    old = Invite(invite.inviter, bytes(16), int(time.time()) - 900, invite.app)
    async with person(tmp_path, "Bob", online=False) as bob:
        await bob._parts.database.write(
            lambda tx: pursuits.keep(tx, old.id, old.text(), None, float(old.expires), 1.0)
        )
        assert len(await bob.waiting()) == 1
    async with person(tmp_path, "Bob", lan=True) as bob:
        assert await bob.waiting() == []
        with pytest.raises(errors.Refused) as caught:
            await bob.join(old.text(), timeout=1, keep=True)
        assert caught.value.code == "invite-expired"


async def test_without_any_way_a_join_says_so_at_once(tmp_path: Path) -> None:
    invite = Invite.parse(await _invited(tmp_path), 0)
    bare = Invite(invite.inviter, invite.secret, invite.expires, invite.app)
    async with person(tmp_path, "Bob") as bob:
        with pytest.raises(errors.Unreachable) as caught:
            await bob.join(bare.text(), keep=True)
        assert caught.value.code == "unreachable"
        assert await bob.waiting() == []


async def test_no_more_joins_go_on_than_a_node_can_look_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2pchat.node.pursuits._KEPT_MAX", 1)
    async with person(tmp_path, "Ann", lan=True) as ann:
        first, second = (await ann.invite()).blob, (await ann.invite()).blob
    async with person(tmp_path, "Bob", lan=True) as bob:
        await _waiting(bob, first)
        told: list[events.Event] = []
        with pytest.raises(errors.Unreachable) as caught:
            await bob.join(second, timeout=0.5, on_event=told.append, keep=True)
        assert caught.value.code == "unreachable"
        notes = [one.text for one in told if isinstance(one, events.Note)]
        assert any("p2pchat cancel N" in text for text in notes)
        assert len(await bob.waiting()) == 1
        # One that waits goes on after another look at it.
        await _waiting(bob, first)
        await bob.cancel_join("1")
        await _waiting(bob, second)
