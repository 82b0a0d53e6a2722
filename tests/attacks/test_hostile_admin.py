"""What an admin tries with removals that no honest program writes."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from p2pchat.core.acts import REMOVE, Cut, Remove
from p2pchat.core.clock import stamp
from p2pchat.core.entry import Entry
from p2pchat.core.wire import Run, encode
from p2pchat.store import groups as table
from tests.harness.crew import Crew, Sailor


def _removal(admin: Sailor, room: bytes, person: bytes, cuts: Sequence[Cut] = ()) -> Entry:
    """A removal in the admin's own log, with cuts of its choice."""
    rooms, group = admin.parts.rooms, admin.group(room)
    return group.write(
        rooms.identity(),
        rooms._incarnation,
        time=stamp(time.time()),
        kind=REMOVE,
        body=Remove(group.membership.seen(admin.person), person, tuple(cuts)),
        random=os.urandom,
    )


async def _send(crew: Crew, entry: Entry, name: str, peer: str) -> None:
    own, room = crew[name], entry.header.room

    def tag() -> bytes | None:
        session = own.peers.session(crew[peer].person)
        return session.reconcile.tag(room) if session is not None else None

    await crew.until(lambda: tag() is not None)
    frame = Run(tag(), (entry.raw,), (entry.body,), entry.signature, False)  # type: ignore[arg-type]
    await own.pipes[peer].send(encode(frame))


async def test_a_removal_of_the_founder_that_leaves_nothing_of_its_log(tmp_path: Path) -> None:
    """What the room was founded by goes and comes back for ever, and nothing else is written."""
    async with Crew.open(tmp_path, "ann", "bob", "dan", "mallory", "eve") as crew:
        room = await crew.found("ann")
        await crew.bring("ann", "bob", "dan", "mallory")
        await (await crew["ann"].room()).set_role("mallory", "admin")
        await crew.link_all("ann", "bob", "dan", "mallory")
        await crew.settle("ann", "bob", "dan", "mallory")
        await crew.cut_all()
        await crew.link("bob", "dan")
        await crew.link("bob", "mallory")
        removal = _removal(crew["mallory"], room, crew["ann"].person)
        await _send(crew, removal, "mallory", "bob")
        for name in ("bob", "dan"):
            group = crew[name].group(room)
            await crew.until(lambda group=group: crew["ann"].person not in group.members)
        await crew["dan"].say("do you hear me?")
        await crew.reads(crew["bob"], ["do you hear me?"])
        # Newcomers find how it began, too.
        await crew.bring("bob", "eve")
        await crew.settle("bob", "dan", "eve")
        await crew.reads(crew["eve"], ["do you hear me?"])
        assert crew["ann"].person not in crew["eve"].group(room).members


async def test_a_removal_of_the_founder_that_takes_out_what_made_its_author_an_admin(
    tmp_path: Path,
) -> None:
    """More acts than are kept of somebody removed: all that the removal has seen stays judged."""
    async with Crew.open(tmp_path, "ann", "bob", "mallory", "eve") as crew:
        ann, bob, mallory = crew["ann"], crew["bob"], crew["mallory"]
        room = await crew.found("ann")
        await crew.bring("ann", "bob", "mallory")
        for _ in range(33):
            await (await ann.room()).set_role(mallory.id, "admin")
            await (await ann.room()).set_role(bob.id, "admin")
        await (await ann.room()).set_role(bob.id, "member")
        await crew.link_all("ann", "bob", "mallory")
        await crew.settle("ann", "bob", "mallory")
        await crew.cut_all()
        await crew.link("bob", "mallory")
        await _send(crew, _removal(mallory, room, ann.person), "mallory", "bob")
        await crew.until(lambda: ann.person not in bob.group(room).members)
        await bob.say("without ann")
        assert set(bob.group(room).members) == {bob.person, mallory.person}
        assert not bob.group(room).excess()
        await crew.bring("bob", "eve")
        await crew.settle("bob", "eve")
        await crew.cut_all()
        # As after a restart.
        anew = await bob.parts.database.read(
            lambda tx: table.load(tx, room, bob.node.identity.certificate.prekey)
        )
        assert set(anew.members) == set(bob.group(room).members)
        assert set(anew.membership.acts()) == set(bob.group(room).membership.acts())


async def test_whoever_comes_back_after_nothing_of_its_log_was_left_forks_nothing(
    tmp_path: Path,
) -> None:
    """It would begin the very log anew, and be taken for somebody who writes two histories."""
    async with Crew.open(tmp_path, "ann", "bob", "mallory") as crew:
        ann, bob, mallory = crew["ann"], crew["bob"], crew["mallory"]
        room = await crew.found("ann")
        await crew.bring("ann", "bob", "mallory")
        await (await ann.room()).set_role(mallory.id, "admin")
        await crew.link_all("ann", "bob", "mallory")
        await bob.say("before")
        await crew.settle("ann", "bob", "mallory")
        await crew.cut_all()
        await crew.link("ann", "mallory")
        await _send(crew, _removal(mallory, room, bob.person), "mallory", "ann")
        await crew.until(lambda: bob.person not in ann.group(room).members)
        await crew.link("ann", "bob")
        await crew.until(lambda: bob.person not in bob.group(room).members)
        await crew.bring("ann", "bob", ask=True)
        await crew.asked("ann")
        await (await ann.room()).approve("bob")
        await crew.until(lambda: bob.person in bob.group(room).members)
        await bob.say("after")
        await crew.settle("ann", "bob")
        assert (await ann.texts())[-1] == "after"
        assert not ann.group(room).forks
        assert not bob.group(room).forks
