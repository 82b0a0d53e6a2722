"""What somebody tries whose invite into a room was taken: to name another room than it is in."""

from functools import partial
from pathlib import Path

import pytest

from p2pchat.core.group import Group
from p2pchat.core.identity import direct_room
from p2pchat.core.wire import Heads, Run, Welcome, decode, encode
from p2pchat.node.joining import Joining
from tests.harness.crew import Crew

guarded = pytest.mark.parametrize("guard", [False, True], ids=["check taken out", "as it is"])


async def _invited(crew: Crew, guest: str, host: str) -> None:
    """`guest` has taken an invite of `host` into a room; the two are linked."""
    parts = crew[guest].parts
    await parts.database.write(partial(parts.joining.invited_by, host=crew[host].person, name=host))
    await crew.link(guest, host)
    room = direct_room(crew[guest].person, crew[host].person)
    ends = [crew[name].peers for name in (guest, host)]

    def stands() -> bool:
        sessions = [session for peers in ends for session in peers.sessions()]
        return len(sessions) == 2 and all(one.reconcile.tag(room) for one in sessions)

    await crew.until(stands)


@guarded
async def test_a_welcome_into_a_room_of_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, guard: bool
) -> None:
    """Of two who have not met yet: as a room of many it would keep them apart for ever."""
    async with Crew.open(tmp_path, "vic", "mallory", "zoe") as crew:
        vic, mallory, zoe = crew["vic"], crew["mallory"], crew["zoe"]
        room = direct_room(vic.person, zoe.person)
        if not guard:
            monkeypatch.setattr("p2pchat.node.joining.group_room", lambda *_: room)
        await _invited(crew, "vic", "mallory")
        false = Welcome(room, "party", mallory.person, bytes(32))
        await mallory.pipes["vic"].send(encode(false))
        # What comes on one link is read in order.
        await (await mallory.node.room(vic.id)).send("hello from mallory")
        await crew.until(lambda: direct_room(vic.person, mallory.person) in _written(crew, "vic"))
        if not guard:
            await crew.until(lambda: isinstance(vic.parts.rooms.get(room), Group))
            return
        await crew.link("vic", "zoe")
        await crew.until(lambda: "vic" in zoe.pipes)
        await (await vic.node.room(zoe.id)).send("hello zoe")
        await crew.until(lambda: room in _written(crew, "zoe"))
        assert {row.kind for row in await vic.node.rooms()} == {"direct"}


def _written(crew: Crew, name: str) -> set[bytes]:
    """Rooms of which `name` has an entry."""
    return {chains.room for chains in crew[name].parts.rooms.all() if chains.heads}


@guarded
async def test_a_welcome_by_somebody_removed_into_a_room_that_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, guard: bool
) -> None:
    """It has its guest, who was in the room for longer, share it once more."""
    if not guard:
        monkeypatch.setattr(Joining, "_is_new", lambda *_: True)
        monkeypatch.setattr("p2pchat.core.membership.Membership.was_removed", lambda *_: False)
    async with Crew.open(tmp_path, "ann", "vic", "mallory") as crew:
        ann, vic, mallory = crew["ann"], crew["vic"], crew["mallory"]
        room = await crew.found("ann")
        await crew.bring("ann", "vic", "mallory")
        await crew.link_all()
        await crew.settle()
        founding = ann.group(room).membership.founding()
        assert founding is not None
        await (await ann.room()).remove(mallory.id)
        await crew.until(lambda: mallory.person not in vic.group(room).members)
        await crew.cut_all()
        await crew.link("ann", "vic")
        await ann.say("now that it is gone")
        await crew.settle("ann", "vic")
        await (await vic.room()).leave()
        await crew.until(lambda: vic.person not in ann.group(room).members)
        await crew.cut_all()
        await _invited(crew, "vic", "mallory")
        await mallory.pipes["vic"].send(encode(Welcome(room, "crew", ann.person, founding.nonce)))
        await (await mallory.node.room(vic.id)).send("hello from mallory")
        await crew.until(lambda: direct_room(vic.person, mallory.person) in _written(crew, "vic"))
        if not guard:
            await crew.until(lambda: _has_shown(crew, room))
        assert _has_shown(crew, room) is not guard
        # Who is a member, as far as is known, takes it in again.
        await crew.cut_all()
        await crew.bring("ann", "vic")
        await crew.settle("ann", "vic")
        await vic.say("back again")
        await crew.settle("ann", "vic")


def _has_shown(crew: Crew, room: bytes) -> bool:
    """Whether vic has sent mallory anything of the room's journal."""
    session = crew["vic"].peers.session(crew["mallory"].person)
    tag = session.reconcile.tag(room) if session is not None else None
    frames = map(decode, crew["vic"].pipes["mallory"].sent)
    return any(isinstance(one, Heads | Run) and one.tag == tag for one in frames)
