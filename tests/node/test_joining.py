"""How somebody comes into a room, and what of it outlives a restart."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest

from p2pchat import errors, events
from p2pchat.core.identity import id_text
from p2pchat.core.wire import Decline, Pending, Run, Welcome, decode
from p2pchat.store.database import Connection
from p2pchat.store.groups import Arrival, Join, add_arrival, add_join
from tests.harness.crew import Crew


async def test_whoever_asked_is_shown_as_waiting_and_still_is_after_a_restart(
    tmp_path: Path,
) -> None:
    async with Crew.open(tmp_path, "ann", "carol") as crew:
        room = await crew.found("ann")
        await crew.bring("ann", "carol", ask=True)
        pending = await crew["carol"].parts.joining.outcome(crew["ann"].person)
        assert pending == events.Pending(room=id_text(room), name="crew")
    async with Crew.open(tmp_path, "ann", "carol") as crew:
        (row,) = [row for row in await crew["carol"].node.rooms() if row.kind == "group"]
        assert (row.room, row.name, row.state) == (id_text(room), "crew", "pending")
        assert list(crew["carol"].peers.meetings.values()) == [None]
        (request,) = await (await crew["ann"].room()).requests()
        assert (request.peer, request.name) == (crew["carol"].id, "carol")
        await (await crew["ann"].room()).approve(request.peer[:6])
        await crew.link("ann", "carol")
        await crew.settle()
        assert [row.state for row in await crew["carol"].node.rooms() if row.kind == "group"] == [
            "member"
        ]


async def test_a_room_is_not_joined_by_the_word_of_somebody_who_did_not_invite(
    tmp_path: Path,
) -> None:
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        await crew.found("ann")
        await crew.link("ann", "bob")
        await crew.until(lambda: bool(crew["ann"].pipes))
        ann, bob = crew["ann"], crew["bob"]
        await ann.parts.joining._admit((await ann.room()).group(), bob.node.identity.certificate)
        # It is said hello, and does not know why.
        sent = ann.pipes["bob"].sent
        await crew.until(lambda: any(frame[1:2] == b"\x19" for frame in sent))
        assert [row for row in await bob.node.rooms() if row.kind == "group"] == []


async def test_who_asks_twice_by_one_name_is_named_by_id(tmp_path: Path) -> None:
    async with Crew.open(tmp_path / "1", "twin") as crew:
        one = crew["twin"].node.identity.certificate
    async with Crew.open(tmp_path / "2", "twin") as crew:
        other = crew["twin"].node.identity.certificate
    async with Crew.open(tmp_path / "3", "ann") as crew:
        from p2pchat.store import groups as table

        room = await crew.found("ann")
        ann = crew["ann"].node
        for certificate in (one, other):
            await ann._parts.joining._let_in(table.Arrival(room, certificate, ask=True))
        crewed = await crew["ann"].room()
        with pytest.raises(errors.BadInput) as raised:
            await crewed.approve("twin")
        assert raised.value.code == "peer-ambiguous"
        assert len(await crewed.requests()) == 2
        await crewed.approve(id_text(other.person)[:12])
        assert [request.peer for request in await crewed.requests()] == [id_text(one.person)]


async def test_a_host_that_asks_anew_and_anew_has_us_wait_at_one_place(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "carol") as crew:
        room = await crew.found("ann")
        await crew.bring("ann", "carol", ask=True)
        joining = crew["carol"].parts.joining
        await joining.outcome(crew["ann"].person)
        session = crew["carol"].peers.held[crew["ann"].person]
        for number in range(20):
            await joining.invited(session, Pending(room, "crew", bytes([number]) * 32))
        assert list(joining._serving) == [bytes([19]) * 32]


async def test_a_member_who_comes_by_an_invite_again_is_told_that_it_is_in(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob")
        await crew["bob"].say("here I am")
        await crew.settle()
        await crew.bring("ann", "bob", ask=True)
        joined = await crew["bob"].parts.joining.outcome(crew["ann"].person)
        assert isinstance(joined, events.Joined)
        assert joined.kind == "group"
        assert not await (await crew["ann"].room()).requests()


async def test_a_newcomer_is_sent_everything_once_whoever_let_it_in(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob")
        # More than is served before others: the host's log must not pass that of the founder.
        for number in range(20):
            await crew["bob"].say(f"before you came {number}")
        await crew.settle("ann", "bob")
        await crew.bring("bob", "carol")
        await crew.settle()
        sent, answered = (
            [decode(frame) for frame in crew[one].pipes[other].sent]
            for one, other in (("bob", "carol"), ("carol", "bob"))
        )
        assert not [frame for frame in answered if isinstance(frame, Decline)]
        count = sum(len(frame.headers) for frame in sent if isinstance(frame, Run))
        room = (await crew["carol"].room()).key
        heads = crew["carol"].group(room).heads
        own = crew["carol"].parts.rooms.own_chain(room)
        assert count == sum(head.seq + 1 for chain, head in heads.items() if chain != own)


async def test_a_newcomer_is_welcomed_once_as_its_link_begins_and_keeps_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Join] = []

    def keep(tx: Connection, join: Join) -> None:
        kept.append(join)
        add_join(tx, join)

    async with Crew.open(tmp_path, "ann", "bob") as crew:
        ann, bob = crew["ann"].parts, crew["bob"].parts
        room = await crew.found("ann")
        arrival = Arrival(room, bob.owner.identity.certificate, ask=False)
        await ann.database.write(lambda tx: add_arrival(tx, arrival))
        said: list[Welcome] = []

        async def send(frame: Welcome) -> None:
            said.append(frame)

        link = SimpleNamespace(peer=crew["bob"].person, send=send)
        await ann.joining.entered(link)  # type: ignore[arg-type]
        (welcome,) = said
        await bob.database.write(lambda tx: bob.joining.invited_by(tx, crew["ann"].person, "ann"))
        monkeypatch.setattr("p2pchat.store.groups.add_join", keep)
        link = SimpleNamespace(peer=crew["ann"].person, share=lambda group: None)
        for _ in range(3):
            await bob.joining.invited(link, welcome)  # type: ignore[arg-type]
        assert [join.room for join in kept] == [room]
        assert bob.rooms.get(room) is not None


@pytest.mark.parametrize("generations", [1, 3])
async def test_whoever_left_comes_back_by_a_member_it_has_never_heard_of(
    tmp_path: Path, generations: int
) -> None:
    newcomers = ["carol", "dave", "erin"][:generations]
    async with Crew.open(tmp_path, "ann", "bob", *newcomers) as crew:
        room = await crew.found("ann")
        await crew.bring("ann", "bob")
        await crew["bob"].say("before I left")
        await crew.settle("ann", "bob")
        await (await crew["bob"].room()).leave()
        await crew.until(lambda: crew["bob"].person not in crew["ann"].group(room).members)
        await crew.cut_all()
        for host, guest in itertools.pairwise(["ann", *newcomers]):
            await crew.bring(host, guest)
            await crew.settle(*["ann", *newcomers][: newcomers.index(guest) + 2])
            await crew[guest].say(f"{guest} is here")
        await crew.settle("ann", *newcomers)
        await crew.cut_all()
        await crew.bring(newcomers[-1], "bob")
        await crew.settle("bob", newcomers[-1])
        await crew["bob"].say("back")
        await crew.settle("bob", newcomers[-1])
        said = ["before I left", *(f"{name} is here" for name in newcomers), "back"]
        await crew.reads(crew["bob"], said)
        await crew.link_all()
        await crew.settle()
        for sailor in crew.all.values():
            await crew.reads(sailor, said)
        await crew.until(crew.level)


async def test_a_leave_that_nobody_heard_of_is_heard_by_whoever_invites_again(
    tmp_path: Path,
) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        room = await crew.found("ann")
        await crew.bring("ann", "bob")
        await crew["bob"].say("before I left")
        await crew.settle("ann", "bob")
        await crew.cut_all()
        await (await crew["bob"].room()).leave()
        await crew.bring("ann", "carol")
        await crew.settle("ann", "carol")
        await crew.cut_all()
        # To carol bob is a member still: the first invite only tells her that he is none.
        await crew.bring("carol", "bob", ask=True)
        await crew.until(lambda: crew["bob"].person not in crew["carol"].group(room).members)
        await crew.bring("carol", "bob")
        await crew.settle("bob", "carol")
        await crew["bob"].say("back")
        await crew.reads(crew["carol"], ["before I left", "back"])
