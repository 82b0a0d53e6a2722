"""Invites, joins and knocks as they are asked for."""

from pathlib import Path

import pytest

from p2pchat import errors
from tests.harness.crew import Crew
from tests.node.people import acquaint, meet, person


async def test_a_join_that_nobody_approves_ends_in_time(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "carol") as crew:
        await crew.found("ann")
        await crew.bring("ann", "carol", ask=True)
        carol = crew["carol"]
        await carol.parts.joining.outcome(crew["ann"].person)
        session = carol.peers.held[crew["ann"].person]
        with pytest.raises(errors.Unreachable) as raised:
            await carol.node._meeting._let_in(session, 0.0)
        assert raised.value.code == "not-approved"


async def test_a_code_takes_no_password(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann") as ann:
        with pytest.raises(errors.Usage) as caught:
            await ann.invite(code=True, password="sesame")
        assert caught.value.code == "usage"


@pytest.mark.parametrize("invite_id", ["", "no hex", "00" * 16])
async def test_what_is_no_invite_of_ours_cannot_be_withdrawn(
    tmp_path: Path, invite_id: str
) -> None:
    async with person(tmp_path, "Ann") as ann:
        with pytest.raises(errors.Refused) as caught:
            await ann.withdraw(invite_id)
        assert caught.value.code == "invite-unknown"


async def test_who_is_no_member_invites_nobody(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann") as ann:
        room = await ann.create_room("crew")
        await room.leave()
        with pytest.raises(errors.Refused) as caught:
            await ann.invite("crew")
        assert caught.value.code == "not-a-member"


async def test_who_came_by_an_invite_is_told_with_the_room_that_it_led_into(
    tmp_path: Path,
) -> None:
    async with person(tmp_path, "Ann") as ann, person(tmp_path, "Bob") as bob:
        room = await ann.create_room("crew")
        joined = await meet(ann, bob, room.id)
        assert (joined.kind, joined.room, joined.name) == ("group", room.id, "crew")
        assert {row.name for row in await ann.peers()} == {"Bob"}


async def test_without_a_network_nobody_knocks_and_no_join_waits(tmp_path: Path) -> None:
    await acquaint(tmp_path, "Ann", "Bob")
    async with person(tmp_path, "Ann", online=False) as ann:
        with pytest.raises(errors.BadInput) as caught:
            ann.answer_knock("Bob", accept=True)
        assert caught.value.code == "knock-unknown"
        assert await ann.waiting() == []
        with pytest.raises(errors.BadInput) as caught:
            await ann.cancel_join("1")
        assert caught.value.code == "join-unknown"
