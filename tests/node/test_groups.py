"""Rooms of many on real journals: people come, are removed, meet again, and all agree."""

import random
from pathlib import Path

import pytest

from p2pchat import errors, events
from p2pchat.core.membership import Membership
from p2pchat.store import groups as table
from tests.harness.crew import Crew


async def test_a_newcomer_reads_what_was_said_before_and_writes(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        await crew.found("ann")
        await crew["ann"].say("before you came")
        await crew.bring("ann", "bob")
        await crew.settle()
        await crew["bob"].say("here I am")
        await crew.settle()
        assert await crew["bob"].texts() == ["before you came", "here I am"]
        assert await crew["ann"].texts() == ["before you came", "here I am"]


async def test_members_who_never_met_reach_each_other_without_the_inviter(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob", "carol")
        await crew.settle()
        bob, carol = crew["bob"], crew["carol"]
        assert bob.peers.contacts[carol.person] == carol.peers.contacts[bob.person]
        await crew.cut_all()
        await crew.link("bob", "carol")
        await bob.say("ann is gone")
        await crew.settle("bob", "carol")
        assert await carol.texts() == ["ann is gone"]


async def test_whom_a_member_removed_reads_nothing_more(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "mallory") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob", "mallory")
        await crew.link_all()
        await crew["mallory"].say("I am nice")
        await crew.settle()
        await (await crew["ann"].room()).remove("mallory")
        room = (await crew["ann"].room()).key
        await crew.settle("ann", "bob")
        await crew.until(lambda: crew["mallory"].person not in crew["mallory"].group(room).members)
        await crew["bob"].say("alone at last")
        await crew.settle("ann", "bob")
        assert await crew["ann"].texts() == ["I am nice", "alone at last"]
        assert await crew["mallory"].texts() == ["I am nice"]
        with pytest.raises(errors.Refused) as raised:
            await crew["mallory"].say("let me in")
        assert raised.value.code == "not-a-member"


async def test_a_removal_during_a_partition_takes_out_what_was_said_meanwhile(
    tmp_path: Path,
) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "mallory") as crew:
        room = await crew.found("ann")
        await crew.bring("ann", "bob", "mallory")
        await crew.link_all()
        await crew["mallory"].say("one")
        await crew.settle()
        await crew.cut_all()
        await (await crew["ann"].room()).remove("mallory")
        await crew.link("bob", "mallory")
        await crew["mallory"].say("two")
        await crew.settle("bob", "mallory")
        assert await crew["bob"].texts() == ["one", "two"]
        await crew.link("ann", "bob")
        await crew.settle("ann", "bob")
        assert await crew["ann"].texts() == await crew["bob"].texts() == ["one"]
        assert crew["mallory"].person not in crew["bob"].group(room).members


async def test_a_removal_that_is_undone_gives_back_what_it_took_out(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        room = await crew.found("ann")
        await crew.bring("ann", "bob", "carol")
        await crew.link_all()
        await (await crew["ann"].room()).set_role("bob", "admin")
        await (await crew["ann"].room()).set_role("carol", "admin")
        await crew["carol"].say("one")
        await crew.settle()
        await crew.cut_all()
        # Two admins of equal rank remove each other, and the founder has not heard of it.
        low, high = sorted(("bob", "carol"), key=lambda name: crew[name].person)
        await crew[high].say("said meanwhile")
        await (await crew[high].room()).remove(low)
        await (await crew[low].room()).remove(high)
        await crew[low].say("by the one who stays")
        await crew.link("ann", high)
        await crew.until(lambda: crew[low].person not in crew["ann"].group(room).members)
        await crew.link("ann", low)
        await crew.settle("ann", low)
        assert set(crew["ann"].group(room).members) == {crew["ann"].person, crew[low].person}
        assert await crew["ann"].texts() == ["one", "by the one who stays"]
        await crew.until(lambda: crew[high].person not in crew[high].group(room).members)


async def test_whoever_comes_back_writes_on(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob")
        await crew["bob"].say("one")
        await crew.settle()
        await (await crew["ann"].room()).remove("bob")
        room = (await crew["ann"].room()).key
        await crew.until(lambda: crew["bob"].person not in crew["bob"].group(room).members)
        await crew["ann"].say("while bob was out")
        await crew.bring("ann", "bob", ask=True)
        await crew.asked("ann")
        joining = crew["bob"].node._joining
        assert isinstance(await joining.outcome(crew["ann"].person), events.Pending)
        await (await crew["ann"].room()).approve("bob")
        assert isinstance(await joining.outcome(crew["ann"].person), events.Joined)
        await crew.settle()
        await crew["bob"].say("back")
        await crew.settle()
        assert await crew["bob"].texts() == ["one", "while bob was out", "back"]


async def test_any_member_approves_who_asks_and_the_inviter_may_be_gone(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob")
        await crew["ann"].say("old words")
        await crew.settle("ann", "bob")
        await crew.bring("ann", "carol", ask=True)
        await crew.until(lambda: bool(crew["carol"].node._joining.pending()))
        await crew.asked("bob")
        await crew.cut_all()
        await (await crew["bob"].room()).approve("carol")
        # bob looks for her by the secret of her request, at which she waits.
        await crew.until(lambda: bool(crew["bob"].peers.meetings))
        (secret,) = crew["bob"].peers.meetings
        assert crew["bob"].peers.meetings[secret] == crew["carol"].person
        assert crew["carol"].peers.meetings == {secret: None}
        await crew.link("bob", "carol")
        await crew.settle("bob", "carol")
        assert await crew["carol"].texts() == ["old words"]


async def test_whoever_is_denied_is_told(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "carol") as crew:
        await crew.found("ann")
        await crew.bring("ann", "carol", ask=True)
        await crew.until(lambda: bool(crew["carol"].node._joining.pending()))
        outcome = crew["carol"].node._joining.outcome(crew["ann"].person)
        await outcome
        await (await crew["ann"].room()).deny("carol")
        with pytest.raises(errors.Refused) as raised:
            await crew["carol"].node._joining.outcome(crew["ann"].person)
        assert raised.value.code == "join-denied"
        assert not await (await crew["ann"].room()).requests()
        assert not crew["carol"].node._joining.pending()


async def test_from_now_on_means_that_newcomers_cannot_read_what_was(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        await crew.found("ann")
        await (await crew["ann"].room()).set("history", "new")
        await crew["ann"].say("not for bob")
        await crew.bring("ann", "bob")
        await crew["ann"].say("for bob")
        await crew.settle()
        assert await crew["bob"].texts() == ["for bob"]


async def test_a_room_that_its_founder_left_goes_on(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        room = await crew.found("ann")
        await crew.bring("ann", "bob", "carol")
        await crew.link_all()
        await crew["ann"].say("farewell")
        await crew.settle()
        await (await crew["ann"].room()).leave()
        await crew.settle("bob", "carol")
        await crew.until(lambda: crew["ann"].person not in crew["bob"].group(room).members)
        await crew["bob"].say("well then")
        await crew.settle("bob", "carol")
        assert await crew["carol"].texts() == ["farewell", "well then"]
        assert await crew["ann"].texts() == ["farewell"]
        admins = [
            name
            for name in ("bob", "carol")
            if crew[name].group(room).membership.is_admin(crew[name].person)
        ]
        assert len(admins) == 1
        other = "carol" if admins == ["bob"] else "bob"
        await (await crew[admins[0]].room()).set("name", "ours")
        with pytest.raises(errors.Refused) as raised:
            await (await crew[other].room()).remove(admins[0])
        assert raised.value.code == "not-allowed"


async def test_a_restart_in_the_middle_of_letting_somebody_in_is_made_up_for(
    tmp_path: Path,
) -> None:
    async with Crew.open(tmp_path, "ann") as crew:
        room = await crew.found("ann")
    async with Crew.open(tmp_path, "bob") as crew:
        certificate = crew["bob"].node.identity.certificate
    async with Crew.open(tmp_path, "ann") as crew:
        arrival = table.Arrival(room, certificate, ask=False)
        await crew["ann"].node._database.write(lambda tx: table.add_arrival(tx, arrival))
    async with Crew.open(tmp_path, "ann") as crew:
        assert certificate.person in crew["ann"].group(room).members


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_members_do_to_each_other_while_apart_those_who_are_left_agree(
    tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    names = ("ann", "bob", "carol", "dave", "erin")
    async with Crew.open(tmp_path, *names) as crew:
        room = await crew.found("ann")
        await crew.bring("ann", *names[1:])
        await crew.link_all()
        for name in names[1:3]:
            await (await crew["ann"].room()).set_role(name, "admin")
        await crew.settle()
        await crew.cut_all()
        for step in range(25):
            name, other = rng.sample(names, 2)
            own = await crew[name].room()
            try:
                match rng.randrange(8):
                    case 0 | 1:
                        await crew.link(name, other)
                    case 2:
                        await crew.cut(name, other)
                    case 3:
                        await own.remove(other)
                    case 4:
                        await own.set_role(other, rng.choice(("admin", "member")))
                    case 5:
                        certificate = crew[other].node.identity.certificate
                        await crew[name].node._joining._admit(own.group(), certificate)
                    case _:
                        await own.send(f"{name} {step}")
            except errors.Error as error:
                if error.code not in ("not-a-member", "not-allowed", "peer-unknown"):
                    raise
        await crew.link_all()
        await crew.until(lambda: _agreed(crew, room))
        left = [name for name in names if crew[name].person in _truth(crew, room)]
        assert left
        if len(left) > 1:
            await crew.settle(*left)
        texts = [await crew[name].texts() for name in left]
        assert all(one == texts[0] for one in texts)


def _truth(crew: Crew, room: bytes) -> set[bytes]:
    """The members, by all acts that anybody has."""
    membership = Membership(room)
    for sailor in crew.all.values():
        membership.add(sailor.group(room).membership.acts())
    return set(membership.members)


def _agreed(crew: Crew, room: bytes) -> bool:
    """Whether all members see the same members, and nobody else believes to be one."""
    truth = _truth(crew, room)
    return all(
        set(sailor.group(room).members) == truth
        if sailor.person in truth
        else sailor.person not in sailor.group(room).members
        for sailor in crew.all.values()
    )
