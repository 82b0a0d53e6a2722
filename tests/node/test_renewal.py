"""A node goes on in new logs where others have more of its own, and not at anybody's will."""

import copy
import itertools
import shutil
from pathlib import Path

from p2pchat.core.clock import stamp
from p2pchat.core.entry import MESSAGE, Entry, MessageBody
from p2pchat.core.identity import direct_room
from p2pchat.core.wire import Heads, Row, Run, Summary, decode, encode
from p2pchat.node.renewal import Renewal
from tests.harness.crew import Crew, Sailor
from tests.node.test_repair import _chains_of

_numbers = itertools.count(1 << 40)


async def _claim(crew: Crew, liar: str, victim: str, room: bytes) -> bytes:
    """Say to have more of the log that the victim writes in; that log."""
    own = crew[victim].parts.rooms.own_chain(room)
    session = crew[liar].peers.session(crew[victim].person)
    assert session is not None
    await crew.until(lambda: session.tag(room) is not None)
    tag = session.tag(room)
    assert tag is not None
    pipe, answers = crew[liar].pipes[victim], crew[victim].pipes[liar].sent
    before = len(answers)
    row = Row(own, next(_numbers), bytes(32))
    await pipe.send(encode(Heads(tag, (row,), reply=False)))
    # Whose answer leaves once the claim has been dealt with.
    await pipe.send(encode(Summary(tag, bytes(32), 0)))
    await crew.until(lambda: any(isinstance(decode(one), Heads) for one in answers[before:]))
    return own


async def test_a_member_that_claims_without_end_costs_one_log(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "vic", "bob", "mal") as crew:
        await crew.found("bob")
        await crew.bring("bob", "vic", "mal")
        await crew.link_all()
        await crew.settle()
        room = (await crew["vic"].room()).key
        vic = crew["vic"].parts.rooms
        first = await _claim(crew, "mal", "vic", room)
        assert first != vic.own_chain(room)
        for liar in ("mal", "bob", "mal"):
            own = await _claim(crew, liar, "vic", room)
            assert own == vic.own_chain(room)
        # Another run, in which nothing was begun anew yet.
        crew["vic"].switchboard._renewal = Renewal(crew["vic"].parts.database, vic)
        await crew.cut("vic", "mal")
        await crew.link("vic", "mal")
        await crew.until(lambda: crew["mal"].peers.session(crew["vic"].person) is not None)
        own = await _claim(crew, "mal", "vic", room)
        assert own == vic.own_chain(room), "its word was worth nothing the last time"
        await _claim(crew, "bob", "vic", room)
        assert own != vic.own_chain(room)


async def test_a_contact_has_no_say_in_rooms_that_it_is_not_in(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "bob", "vic", "mal") as crew:
        await crew.found("bob")
        await crew.bring("bob", "vic")
        await crew.link_all()
        await crew.settle("bob", "vic")
        vic, room = crew["vic"], (await crew["vic"].room()).key
        direct = direct_room(vic.person, crew["mal"].person)
        await crew.until(
            lambda: vic.parts.rooms.get(direct) is not None and "vic" in crew["mal"].pipes
        )
        for text in ("one", "two", "three", "four"):
            await (await vic.node.room(crew["mal"].id)).send(text)
            await crew["vic"].say(text)
            await _claim(crew, "mal", "vic", direct)
        await crew.settle("bob", "vic")
        group = crew["bob"].group(room)
        assert sum(group.person_of(chain) == vic.person for chain in group.heads) == 2


def _twin(sailor: Sailor, room: bytes) -> Entry:
    """What another run of the same home would write next."""
    rooms = sailor.parts.rooms
    chains = rooms.get(room)
    assert chains is not None
    own = rooms.own_chain(room)
    head = copy.copy(chains.heads[own])
    entry = chains.write(
        rooms.identity(),
        rooms._incarnation,
        time=stamp(1_800_000_000),
        kind=MESSAGE,
        body=MessageBody("from the other run"),
        random=bytes,
        epoch=chains.writing_epoch() or b"",
    )
    chains.restore(own, head)
    return entry


async def test_an_entry_of_ours_that_we_lack_needs_nobodys_word(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "vic", "bob") as crew:
        await crew.found("bob")
        await crew.bring("bob", "vic")
        await crew.settle()
        room = (await crew["vic"].room()).key
        vic = crew["vic"].parts.rooms
        for _ in range(3):
            await crew["vic"].say("here")
            await crew.settle()
            entry = _twin(crew["vic"], room)
            session = crew["bob"].peers.session(crew["vic"].person)
            assert session is not None
            assert entry.signature is not None
            tag = session.tag(room)
            assert tag is not None
            run = Run(tag, (entry.raw,), (entry.body,), entry.signature, pushed=True)
            await crew["bob"].pipes["vic"].send(encode(run))
            await crew.until(lambda entry=entry: vic.own_chain(room) != entry.chain)
        await crew["vic"].say("and on")
        await crew.settle()
        assert (await crew["bob"].texts())[-1] == "and on"


async def _written(crew: Crew, text: str) -> None:
    """vic writes to bob once the two are level, and is heard."""
    bob, vic = crew["bob"], crew["vic"]
    room = direct_room(bob.person, vic.person)
    await crew.link("bob", "vic")

    def level() -> bool:
        one, other = bob.parts.rooms.get(room), vic.parts.rooms.get(room)
        if one is None or other is None or "vic" not in bob.pipes:
            return False  # they are meeting
        return one.digest() == other.digest() and crew.level("bob", "vic")

    await crew.until(level)
    await (await vic.node.room(bob.id)).send(text)
    await crew.until(level)


async def test_who_was_believed_and_has_shown_it_is_believed_again(tmp_path: Path) -> None:
    home = tmp_path / "vic"
    async with Crew.open(tmp_path, "bob", "vic") as crew:
        await _written(crew, "before")
    for number in range(2):
        shutil.copytree(home, tmp_path / "copy")
        async with Crew.open(tmp_path, "bob", "vic") as crew:
            await _written(crew, "lost by the copy")
        shutil.rmtree(home)
        (tmp_path / "copy").rename(home)
        async with Crew.open(tmp_path, "bob", "vic") as crew:
            await _written(crew, "and on")
            assert await _chains_of(crew["vic"].node) == 2 + number
            [chains] = crew["bob"].parts.rooms.all()
            assert not chains.forks
