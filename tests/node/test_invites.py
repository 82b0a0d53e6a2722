import asyncio
import dataclasses
import time
from pathlib import Path

import pytest

from p2pchat import errors, events
from p2pchat.node.node import Node
from p2pchat.store import invites
from signaling.blob import Kind, encode
from tests.node.people import WAIT_S, meet, person


async def _reply_of(guest: Node, blob: str) -> tuple[str, "asyncio.Task[events.Joined]"]:
    """The reply blob that a join prints, and the join that waits."""
    replies: asyncio.Queue[str] = asyncio.Queue()

    def hear(event: events.Event) -> None:
        if isinstance(event, events.ReplyReady):
            replies.put_nowait(event.blob)

    joining = asyncio.get_running_loop().create_task(guest.join(blob, on_event=hear))
    async with asyncio.timeout(WAIT_S):
        return await replies.get(), joining


async def test_an_invite_is_for_one_device(tmp_path: Path) -> None:
    async with (
        person(tmp_path, "Ann", lan=True) as ann,
        person(tmp_path, "Bob", lan=True) as bob,
        person(tmp_path, "Eve", lan=True) as eve,
    ):
        invitation = await ann.invite()
        await bob.join(invitation.blob, timeout=WAIT_S)
        assert (await invitation.wait()).name == "Bob"
        # The device that has it may come again: its first answer may have been lost.
        await bob.join(invitation.blob, timeout=WAIT_S)
        with pytest.raises(errors.Refused) as caught:
            await eve.join(invitation.blob, timeout=WAIT_S)
        assert caught.value.code == "invite-used"
        assert await eve.peers() == []
        assert await eve.rooms() == []


async def test_an_invite_outlives_its_makers_restart(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", lan=True) as ann:
        blob = (await ann.invite()).blob
    async with person(tmp_path, "Ann", lan=True), person(tmp_path, "Bob", lan=True) as bob:
        assert (await bob.join(blob, timeout=WAIT_S)).name == "Ann"


async def test_an_invite_that_is_over_waits_no_more_after_a_restart(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann") as ann, person(tmp_path, "Bob") as bob:
        await meet(ann, bob)
        await ann.withdraw((await ann.invite()).id)
        await ann.invite()
        assert (await ann.status()).invites == 1
    async with person(tmp_path, "Ann") as ann:
        assert (await ann.status()).invites == 1


async def test_a_withdrawn_invite_is_worth_nothing(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", lan=True) as ann, person(tmp_path, "Bob", lan=True) as bob:
        invitation = await ann.invite()
        await ann.withdraw(invitation.id)
        with pytest.raises(errors.Refused) as caught:
            await invitation.wait()
        assert caught.value.code == "invite-withdrawn"
        with pytest.raises(errors.Refused) as caught:
            await bob.join(invitation.blob, timeout=WAIT_S)
        assert caught.value.code == "invite-withdrawn"
        with pytest.raises(errors.Refused) as caught:
            await ann.withdraw("abcd")
        assert caught.value.code == "invite-unknown"


async def test_ones_own_invite_is_refused(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann") as ann:
        blob = (await ann.invite()).blob
        with pytest.raises(errors.Refused) as caught:
            await ann.join(blob, timeout=1)
        assert caught.value.code == "invite-own"


async def test_a_reply_belongs_to_one_invite(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann") as ann, person(tmp_path, "Bob") as bob:
        invitation = await ann.invite()
        with pytest.raises(errors.Refused) as caught:
            await ann.reply(encode(Kind.REPLY, bytes(80)))
        assert caught.value.code == "invite-unknown"
        reply, joining = await _reply_of(bob, invitation.blob)
        assert (await ann.reply(reply)).name == "Bob"
        assert (await joining).name == "Ann"
        await invitation.wait()
        with pytest.raises(errors.Refused) as caught:
            await ann.reply(reply)
        assert caught.value.code == "invite-used"


async def test_whoever_answers_has_to_be_who_made_the_invite(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", lan=True) as ann, person(tmp_path, "Bob", lan=True) as bob:
        from signaling.invite import Invite

        invite = Invite.parse((await ann.invite()).blob, 0)
        # The same secret under another name: what a thief of the blob could hand on.
        forged = Invite(bytes(32), invite.secret, invite.expires, invite.app)
        with pytest.raises(errors.Refused) as caught:
            await bob.join(forged.text(), timeout=WAIT_S)
        assert caught.value.code == "identity-mismatch"
        assert await bob.peers() == []


async def test_two_invites_between_two_people_are_one_room(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann") as ann, person(tmp_path, "Bob") as bob:
        first = await meet(ann, bob)
        second = await meet(bob, ann)
        assert first.room == second.room
        assert len(await ann.rooms()) == len(await ann.peers()) == 1


async def test_an_expired_invite_leaves_the_disk_a_month_later(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann") as ann:
        room = await ann.create_room("crew")
        await ann.invite(room.id, expires_s=60)
        online = ann._parts.online
        assert online is not None
        parts, door = online.invites, online.invites._door

        async def kept_after(days: float) -> int:
            later = lambda: time.time() + days * 86_400  # noqa: E731
            parts._door = dataclasses.replace(door, wall=later)
            await ann.invite()
            return len(await ann._parts.database.read(invites.living))

        assert await kept_after(29) == 2
        assert await kept_after(31) == 2
    async with person(tmp_path, "Ann") as ann:
        assert len(await ann._parts.database.read(invites.living)) == 2
