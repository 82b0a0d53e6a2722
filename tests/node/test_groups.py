"""Rooms of many on real journals: people come, are removed, meet again, and all agree."""

import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from p2pchat import errors, events
from p2pchat.core.entry import DELETE, DeleteBody, Entry, entry_id
from p2pchat.core.membership import Membership
from p2pchat.store import groups as table
from p2pchat.store import journal, withheld
from p2pchat.store.database import Connection
from tests.harness.crew import Crew, Sailor


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
        assert not await (await crew["ann"].room()).requests()
        await crew.bring("ann", "bob", ask=True)
        await crew.asked("ann")
        joining = crew["bob"].parts.joining
        assert isinstance(await joining.outcome(crew["ann"].person), events.Pending)
        await (await crew["ann"].room()).approve("bob")
        assert isinstance(await joining.outcome(crew["ann"].person), events.Joined)
        await crew.settle()
        await crew["bob"].say("back")
        await crew.settle()
        await (await crew["ann"].room()).remove("bob")
        # What he asked is answered, and lets nobody in by mistake.
        assert not await (await crew["ann"].room()).requests()
        await crew.until(lambda: crew["bob"].person not in crew["bob"].group(room).members)
        await crew.bring("ann", "bob", ask=True)
        await crew.asked("ann")
        await (await crew["ann"].room()).approve("bob")
        await crew.settle()
        assert await crew["bob"].texts() == ["one", "while bob was out", "back"]


async def test_any_member_approves_who_asks_and_the_inviter_may_be_gone(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob")
        await crew["ann"].say("old words")
        await crew.settle("ann", "bob")
        await crew.bring("ann", "carol", ask=True)
        await crew.until(lambda: bool(crew["carol"].parts.joining.pending()))
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
        await crew.until(lambda: bool(crew["carol"].parts.joining.pending()))
        outcome = crew["carol"].parts.joining.outcome(crew["ann"].person)
        await outcome
        await (await crew["ann"].room()).deny("carol")
        with pytest.raises(errors.Refused) as raised:
            await crew["carol"].parts.joining.outcome(crew["ann"].person)
        assert raised.value.code == "join-denied"
        assert not await (await crew["ann"].room()).requests()
        assert not crew["carol"].parts.joining.pending()


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
        await crew["ann"].parts.database.write(lambda tx: table.add_arrival(tx, arrival))
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
                        await crew[name].parts.joining._admit(own.group(), certificate)
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
        membership.add(sailor.group(room).membership.acts().values())
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


# -- what is said of messages ---------------------------------------------------------------------


async def _trio(crew: Crew) -> None:
    await crew.found("ann")
    await crew.bring("ann", "bob", "carol")
    await crew.link_all()
    await crew.settle()


async def _bodies(sailor: Sailor) -> int:
    """How many bodies of messages and edits are on its disk."""

    def read(tx: Connection) -> int:
        query = "SELECT count(*) FROM entries WHERE kind IN (0, 3, 5) AND body IS NOT NULL"
        return int(tx.execute(query).fetchone()[0])

    return await sailor.parts.database.read(read)


async def _deleted(sailor: Sailor) -> list[bool]:
    return [message.deleted async for message in (await sailor.room()).history(last=None)]


async def _found(sailor: Sailor, word: str) -> list[str]:
    return [one.text async for one in (await sailor.room()).history(last=None, search=word)]


async def test_edits_reactions_pins_and_deletes_reach_all_members(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        await _trio(crew)
        ann, bob, carol = [await crew[name].room() for name in ("ann", "bob", "carol")]
        first, second = await ann.send("an apple"), await bob.send("a blunder")
        await crew.settle()
        await crew.cut("ann", "carol")
        await ann.edit(first.id, "a pear")
        await carol.react(first.id, "+1")
        await bob.react(first.id, "+1")
        await carol.pin(first.id)
        await bob.delete(second.id)
        await crew.settle()
        read = [
            [message async for message in room.history(last=None)] for room in (ann, bob, carol)
        ]
        assert [[one.text for one in some] for some in read] == [["a pear", ""]] * 3
        for some in read:
            assert some[0].edited
            assert some[0].pinned
            assert [len(one.peers) for one in some[0].reactions or ()] == [2]
        for sailor in crew.all.values():
            assert await _found(sailor, "apple") == await _found(sailor, "blunder") == []
            assert await _found(sailor, "pear") == ["a pear"]
            assert [one.id for one in await (await sailor.room()).pins()] == [first.id]
            assert await _bodies(sailor) == 2
        newcomer = await crew.hire("dave")
        await crew.bring("bob", "dave")
        await crew.settle()
        assert await newcomer.texts() == ["a pear", ""]


async def test_an_admin_deletes_what_others_wrote_and_nobody_else_does(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        await _trio(crew)
        ann, bob, carol = [await crew[name].room() for name in ("ann", "bob", "carol")]
        mine = await ann.send("mine")
        await crew.settle()  # so that his stands behind hers, and not in the same millisecond
        spam = await bob.send("buy this")
        await crew.settle()
        with pytest.raises(errors.Refused) as raised:
            await carol.delete(spam.id)
        assert raised.value.code == "not-yours"
        assert "admin" in raised.value.message
        # Nor does it count when a program of one's own writes it.
        target = await crew["carol"].parts.rooms.find(carol.key, mine.id)
        await crew["carol"].node.write(carol.key, DELETE, DeleteBody(target))
        await ann.delete(spam.id)
        await crew.settle()
        for sailor in crew.all.values():
            assert await sailor.texts() == ["mine", ""]
            assert await _found(sailor, "buy") == []
            assert await _bodies(sailor) == 1


async def test_a_delete_counts_for_as_long_as_its_author_is_admin_or_was_to_the_last(
    tmp_path: Path,
) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol", "dave") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob", "carol", "dave")
        await crew.link_all()
        ann, carol = await crew["ann"].room(), await crew["carol"].room()
        await ann.set_role("bob", "admin")
        await ann.set_role("dave", "admin")
        one, two = await carol.send("one"), await carol.send("two")
        await crew.settle()
        await crew.cut_all()
        # Ann and Bob know of it, Carol and Dave have the bodies still.
        await (await crew["bob"].room()).delete(one.id)
        await crew.link("ann", "bob")
        await crew.settle("ann", "bob")
        assert await crew["ann"].texts() == ["", "two"]
        await ann.set_role("bob", "member")
        await crew.settle("ann", "bob")
        for name in ("ann", "bob"):
            assert await _deleted(crew[name]) == [False]
        await crew.link_all()
        await crew.settle()
        for sailor in crew.all.values():
            await crew.reads(sailor, ["one", "two"])
            assert await _found(sailor, "one") == ["one"]
        # One who goes as an admin leaves things as they are.
        dave = await crew["dave"].room()
        await dave.delete(two.id)
        await crew.settle()
        await dave.leave()
        await crew.settle("ann", "bob", "carol")
        for name in ("ann", "bob", "carol"):
            assert await crew[name].texts() == ["one", ""]
            assert await _deleted(crew[name]) == [False, True]


async def test_what_an_admin_deleted_before_anybody_knew_it_to_be_one_is_deleted_then(
    tmp_path: Path,
) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        await _trio(crew)
        message = await (await crew["carol"].room()).send("a word")
        await crew.settle()
        target = await crew["bob"].parts.rooms.find((await crew["bob"].room()).key, message.id)
        await crew["bob"].node.write((await crew["bob"].room()).key, DELETE, DeleteBody(target))
        await crew.settle()
        assert await crew["carol"].texts() == ["a word"]
        await (await crew["ann"].room()).set_role("bob", "admin")
        await crew.settle()
        for sailor in crew.all.values():
            assert await sailor.texts() == [""]
            assert await _bodies(sailor) == 0


async def test_what_a_removed_admin_deleted_unseen_is_not_deleted(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "mallory", "bob") as crew:
        await crew.found("ann")
        await crew.bring("ann", "mallory", "bob")
        await crew.link_all()
        await (await crew["ann"].room()).set_role("mallory", "admin")
        message = await (await crew["bob"].room()).send("evidence")
        await crew.settle()
        await crew.cut_all()
        await (await crew["ann"].room()).remove("mallory")
        await crew.link("bob", "mallory")
        await (await crew["mallory"].room()).delete(message.id)
        await crew.settle("bob", "mallory")
        assert await crew["bob"].texts() == [""]
        await crew.link("ann", "bob")
        await crew.settle("ann", "bob")
        for name in ("ann", "bob"):
            await crew.reads(crew[name], ["evidence"])
            assert await _found(crew[name], "evidence") == ["evidence"]


async def test_to_show_the_acts_of_one_person_reads_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever declines chains again and again has each asked for its author's acts."""
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        room = await crew.found("ann")
        await crew.bring("ann", "bob")
        for number in range(20):
            await (await crew["ann"].room()).set("topic", str(number))
        await (await crew["bob"].room()).set("topic", "bob's")
        await crew.settle()
        read: list[bytes] = []
        standing = withheld.standing

        def counted(tx: Connection, ids: Iterable[bytes]) -> list[Entry]:
            ids = list(ids)
            read.extend(ids)
            return standing(tx, ids)

        monkeypatch.setattr(withheld, "standing", counted)
        monkeypatch.setattr(journal, "acts", None)
        ann = crew["ann"]
        (act,) = await ann.parts.groups.acts_of(ann.group(room), crew["bob"].person, 64)
        assert read == [entry_id(act.header)]
        acts = await ann.parts.groups.acts_of(ann.group(room), ann.person, 5)
        assert len(acts) == 5
        assert len(read) == 6
        assert b"19" in acts[-1].body


async def test_an_act_that_came_alone_is_shown_no_more_once_its_chain_has_brought_it(
    tmp_path: Path,
) -> None:
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        room = await crew.found("ann")
        await crew.bring("ann", "bob")
        await crew.settle()
        ann, bob = crew["ann"], crew["bob"]
        await crew.cut_all()
        await ann.say("what stands before it in its chain")
        await (await ann.room()).set("topic", "what there is")
        groups, group = bob.parts.groups, bob.group(room)
        acts = await ann.parts.groups.acts_of(ann.group(room), ann.person, 1)
        assert await groups.contested(group, acts)
        assert await groups.withheld_acts(group) == acts
        await crew.link("ann", "bob")
        await crew.settle()
        assert await groups.withheld_acts(group) == []


async def test_where_nothing_is_forked_the_disk_is_not_asked_for_forked_acts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[bytes] = []
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        room = await crew.found("ann")
        await crew.bring("ann", "bob")
        await crew.settle()
        ann = crew["ann"]
        monkeypatch.setattr(
            "p2pchat.store.groups.forked_acts", lambda tx, group: looked.append(group.room) or []
        )
        assert await ann.parts.groups.forked_acts(ann.group(room)) == []
        assert looked == []
