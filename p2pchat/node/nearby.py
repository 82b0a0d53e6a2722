"""People and rooms on this network: to be seen, to look, to knock (docs/protocol.md, 3b).

Nobody is seen who did not choose to (`lan.visible`, `lan.rooms`, or for as long as a command asks
for it); who is not seen cannot be knocked at, and that is the switch. A knock costs its host a
line and a row until somebody answers it: few wait at once, fewer of one source, and the next has
to wait. What an accepted knock brings is an ordinary invite, into a room one that asks its members,
so all that follows is as everywhere else. `signaling.knocking` says who may send what.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from p2pchat import errors, events
from p2pchat.core.bounds import KNOCKS_EACH, KNOCKS_MAX, VISIBLE_ROOMS_MAX
from p2pchat.core.group import Group
from p2pchat.core.identity import Random, id_text
from p2pchat.core.knock import Knock, Listing, VisibleRoom, check_words
from p2pchat.text import printable, tidy_name
from signaling import knocking
from signaling.carriers.lan_lines import NEARBY, LanLines
from signaling.carriers.lines import Line, Listening
from signaling.invite import Invite
from signaling.rate import Rate
from signaling.tasks import owned_tasks

__all__ = ["LOOK_S", "Nearby", "visible_rooms"]

_log = logging.getLogger(__name__)
LOOK_S = 3.0
"""How long to look: mDNS answers within a second, twice that where a frame is lost."""
_LISTING_S = 10.0
"""For the frames up to a knock, which need nobody."""
_KNOCK_S = 300.0
"""How long a knock waits for a person."""
_COLLECT_S = 0.5
"""How long to go on looking for others of the name, once one is found."""
_BURST, _PER_S = 3.0, 1 / 20
"""Knocks that one source may make in a row, and from then on."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    id: str
    name: str
    words: str
    source: str
    room: bytes | None
    decision: "asyncio.Future[bool]"


class Nearby:
    def __init__(
        self,
        lines: LanLines | None,
        name: Callable[[], str],
        rooms: Callable[[], Sequence[tuple[bytes, str]]],
        invite: Callable[[bytes | None], Awaitable[Invite]],
        publish: Callable[[events.Event], None],
        random: Random,
        *,
        visible: bool,
        listen: bool,
    ) -> None:
        """`rooms`: those to show, each with its name. `invite`: makes one, to a room maybe.

        `listen`: also while this person is not visible, for the rooms that are or come to be.
        """
        self._lines = lines
        self._name = name
        self._rooms = rooms
        self._invite = invite
        self._publish = publish
        self._random = random
        self._tag = random(8)
        self._tags: dict[bytes, bytes] = {}
        """room -> what it is called here"""
        self._waiting: dict[str, _Waiting] = {}
        self._rate: Rate[str] = Rate(_BURST, _PER_S, sources_max=1_024)
        self._leases = int(visible)
        self._always = listen
        self._listening: Listening | None = None
        self.refused = 0
        """Knocks that came too fast, or when too many waited."""
        self._settle()

    def close(self) -> None:
        self._leases, self._always = 0, False
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    # -- being seen ----------------------------------------------------------------------------

    @property
    def visible(self) -> bool:
        """Whether this person is listed, and not just rooms."""
        return self._leases > 0

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Be visible for as long as the context lasts. Raises errors.Unreachable."""
        self._require_lines()
        self._leases += 1
        self._settle()
        try:
            yield
        finally:
            self._leases = max(0, self._leases - 1)
            self._settle()

    def _settle(self) -> None:
        """Listen if there is anything to show."""
        wanted = self._leases > 0 or self._always
        if wanted and self._listening is None and self._lines is not None:
            self._listening = self._lines.listen(NEARBY, self._answer, _KNOCK_S + _LISTING_S)
        elif not wanted and self._listening is not None:
            self._listening.close()
            self._listening = None

    def _listing(self) -> Listing:
        rooms = self._rooms()[:VISIBLE_ROOMS_MAX]
        for room, _ in rooms:
            self._tags.setdefault(room, self._random(8))
        shown = tuple(VisibleRoom(self._tags[room], name) for room, name in rooms)
        name = self._name() if shown or self.visible else ""
        return Listing(self._tag, name, self.visible, shown)

    async def _answer(self, line: Line) -> None:
        machine = knocking.Host(self._listing().encode(), self._random)
        knock = None
        async with asyncio.timeout(_LISTING_S):
            while knock is None:
                machine.receive(await line.receive())
                for output in machine.outputs():
                    match output:
                        case knocking.Send(frame):
                            await line.send(frame)
                        case knocking.Knocked(payload):
                            knock = payload
                        case _:
                            raise ValueError("not a knock")
        delivered = await self._decide(line, machine.check, knock)
        if isinstance(delivered, bytes):
            machine.accept(delivered)
        else:
            machine.refuse(delivered)
        for output in machine.outputs():
            assert isinstance(output, knocking.Send)
            await line.send(output.frame)

    async def _decide(self, line: Line, check: int, payload: bytes) -> bytes | str:
        """What to deliver, or why not."""
        knock = Knock.decode(payload)
        rooms = {self._tags.get(room): room for room, _ in self._rooms()}
        if knock is None or not (knock.target in rooms or knock.target == self._tag):
            raise ValueError("not a knock at anybody here")
        if knock.target == self._tag and not self.visible:
            return "knock-declined"
        from_there = sum(one.source == line.source for one in self._waiting.values())
        if (
            len(self._waiting) >= KNOCKS_MAX
            or from_there >= KNOCKS_EACH
            or self._rate.take(line.source, asyncio.get_running_loop().time()) != 0
        ):
            self.refused += 1
            return "knock-busy"
        waiting = _Waiting(
            self._random(4).hex(),
            knock.name,
            check_words(check),
            line.source,
            rooms.get(knock.target),
            asyncio.get_running_loop().create_future(),
        )
        self._waiting[waiting.id] = waiting
        state = "gone"
        try:
            self._publish(self._event(waiting, "waiting"))
            accepted = await self._decided(line, waiting)
            if accepted is None:
                raise EOFError("whoever knocked has gone")
            invite = await self._invite(waiting.room) if accepted else None
            state = "accepted" if accepted else "declined"
        finally:
            del self._waiting[waiting.id]
            self._publish(self._event(waiting, state))
        return invite.text().encode() if invite is not None else "knock-declined"

    async def _decided(self, line: Line, waiting: _Waiting) -> bool | None:
        """What a person says; None if who knocked does not wait for it."""
        async with owned_tasks() as tasks:
            leaving = tasks.create_task(_left(line))
            leaving.add_done_callback(lambda _: waiting.decision.cancel())
            try:
                return await waiting.decision
            except asyncio.CancelledError:
                if not leaving.done():  # it is this talk that is to end
                    raise
                return None

    # -- answering knocks ----------------------------------------------------------------------

    def waiting(self) -> list[events.Knock]:
        """Knocks that nobody has answered."""
        return [self._event(one, "waiting") for one in self._waiting.values()]

    def answer(self, reference: str, *, accept: bool) -> events.Knock:
        """Let somebody in who knocks (by name, words, or the beginning of the knock's id), or not.

        Raises errors.BadInput: `knock-unknown`, `peer-ambiguous`.
        """
        wanted = reference.strip().removeprefix("@")
        said = wanted.lower().replace("-", " ").split()
        open_ = [one for one in self._waiting.values() if not one.decision.done()]
        found = [one for one in open_ if one.name == wanted or one.words.split() == said]
        if not found and len(wanted) >= 4:
            found = [one for one in open_ if one.id.startswith(wanted.lower())]
        if not found:
            raise errors.BadInput(
                "knock-unknown",
                f"nobody named {printable(reference)!r} knocks here",
                "p2pchat nearby lists who does; a knock ends when whoever knocked gives up",
            )
        if len(found) > 1:
            raise errors.BadInput(
                "peer-ambiguous",
                f"{len(found)} who are named {printable(reference)!r} knock",
                "name one by the three words: p2pchat approve word-word-word",
            )
        found[0].decision.set_result(accept)
        return self._event(found[0], "accepted" if accept else "declined")

    def _event(self, waiting: _Waiting, state: str) -> events.Knock:
        room = waiting.room
        names = dict(self._rooms())
        return events.Knock(
            knock=waiting.id,
            name=waiting.name,
            words=waiting.words,
            state=state,  # type: ignore[arg-type]
            room=id_text(room) if room is not None else None,
            room_name=names.get(room) if room is not None else None,
        )

    # -- looking -------------------------------------------------------------------------------

    async def look(self, seconds: float = LOOK_S) -> AsyncIterator[events.Nearby]:
        """Who is visible, as they are found. Raises errors.Unreachable."""
        lines = self._require_lines()
        told: asyncio.Queue[Listing] = asyncio.Queue(256)
        seen: set[bytes] = set()

        async def talk(line: Line) -> None:
            machine = knocking.Guest(self._random)
            listing = await _listed(machine, line)
            if listing is not None and listing.tag not in seen and not told.full():
                seen.add(listing.tag)
                told.put_nowait(listing)

        call = lines.call(NEARBY, talk)
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            while True:
                try:
                    async with asyncio.timeout_at(deadline):
                        listing = await told.get()
                except TimeoutError:
                    return
                for row in _rows(listing):
                    yield row
        finally:
            call.close()

    async def knock(
        self, reference: str, timeout: float | None, on_event: Callable[[events.Event], None]
    ) -> events.Knock:
        """Ask whoever is meant to let us in; the event has the invite that they gave.

        `on_event` hears of the words to compare. Raises errors.Unreachable, errors.Refused
        `knock-declined`, errors.BadInput `peer-ambiguous`.
        """
        lines = self._require_lines()
        limit = _KNOCK_S if timeout is None else timeout
        asking = _Asking(reference, self._name(), self._random, on_event)
        call = lines.call(NEARBY, asking.talk, _KNOCK_S + _LISTING_S)
        try:
            async with asyncio.timeout(limit):
                # Who is not found in this time is not there, however long the answer may take.
                return await asking.run(min(limit, 4 * LOOK_S))
        except TimeoutError:
            raise errors.Unreachable(
                "unreachable",
                f"no answer to the knock within {limit:.0f} s",
                "speak to them, and knock again",
            ) from None
        finally:
            call.close()

    def _require_lines(self) -> LanLines:
        if self._lines is None:
            raise errors.Unreachable(
                "unreachable",
                "nobody can be seen, nor see us: discovery is off here",
                "set lan.enabled=true, or use p2pchat invite",
            )
        return self._lines


class _Asking:
    """One knock of ours: find whoever is meant, then ask one of them, once."""

    def __init__(
        self,
        reference: str,
        name: str,
        random: Random,
        on_event: Callable[[events.Event], None],
    ) -> None:
        self._reference = reference
        self._name = name
        self._random = random
        self._on_event = on_event
        self._found: dict[bytes, events.Nearby] = {}
        self._first = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._chosen: asyncio.Future[bytes] = loop.create_future()
        self._outcome: asyncio.Future[events.Knock] = loop.create_future()
        self._knocked = False

    async def run(self, look_s: float) -> events.Knock:
        try:
            async with asyncio.timeout(look_s):
                await self._first.wait()
        except TimeoutError:
            raise errors.Unreachable(
                "unreachable",
                f"nobody visible on this network is named {printable(self._reference)!r}",
                "p2pchat nearby lists who is; they run: p2pchat nearby --visible",
            ) from None
        await asyncio.sleep(_COLLECT_S)
        if len(self._found) > 1:
            rows = ", ".join(f"{one.id[:8]} ({one.kind})" for one in self._found.values())
            raise errors.BadInput(
                "peer-ambiguous",
                f"{len(self._found)} here are named {printable(self._reference)!r}: {rows}",
                "name one by the beginning of its id",
            )
        self._chosen.set_result(next(iter(self._found)))
        return await self._outcome

    async def talk(self, line: Line) -> None:
        machine = knocking.Guest(self._random)
        async with asyncio.timeout(_LISTING_S):
            listing = await _listed(machine, line)
        if listing is None:
            return
        meant = {
            bytes.fromhex(row.id): row for row in _rows(listing) if _means(self._reference, row)
        }
        if not meant:
            return
        self._found.update(meant)
        self._first.set()
        target = await asyncio.shield(self._chosen)
        if target not in meant or self._knocked:
            return
        self._knocked = True
        try:
            await self._knock(machine, line, meant[target])
        except errors.Error as error:
            if not self._outcome.done():
                self._outcome.set_exception(error)

    async def _knock(self, machine: knocking.Guest, line: Line, row: events.Nearby) -> None:
        asked = events.Knock(
            knock=row.id[:8],
            name=row.by or row.name,
            words=check_words(machine.check),
            state="asking",
            room_name=row.name if row.kind == "room" else None,
        )
        machine.knock(Knock(self._name, bytes.fromhex(row.id)).encode())
        try:
            for output in machine.outputs():
                if isinstance(output, knocking.Send):
                    await line.send(output.frame)
            self._on_event(asked)
            machine.receive(await line.receive())
        except (OSError, EOFError, ValueError) as error:
            raise _gone(asked.name) from error
        for output in machine.outputs():
            match output:
                case knocking.Accepted(payload):
                    given = payload.decode("ascii", "replace")
                    answered = events.Knock(
                        knock=asked.knock,
                        name=asked.name,
                        words=asked.words,
                        state="accepted",
                        room_name=asked.room_name,
                        blob=given,
                    )
                    if not self._outcome.done():
                        self._outcome.set_result(answered)
                case knocking.Refused("knock-busy"):
                    raise errors.Unreachable(
                        "knock-busy",
                        f"too many knock at {asked.name} just now",
                        "try again in a minute",
                    )
                case knocking.Refused():
                    raise errors.Refused(
                        "knock-declined",
                        f"{asked.name} did not let you in",
                        "were the three words the same on both sides? ask, and knock again",
                    )
                case _:
                    raise _gone(asked.name)


def visible_rooms(
    wanted: Sequence[str], groups: Iterable[tuple[Group, str]], me: bytes
) -> list[tuple[bytes, str]]:
    """Of rooms of many and their names, those that `lan.rooms` means and we are a member of."""
    return [
        (group.room, name)
        for group, name in groups
        if me in group.members
        and any(
            one == name or (len(one) >= 8 and id_text(group.room).startswith(one.lower()))
            for one in wanted
        )
    ]


async def _left(line: Line) -> None:
    """Until the other end has gone; anything that it says now is no better."""
    try:
        await line.receive()
    except (OSError, EOFError, ValueError) as error:
        _log.debug("a knock ended: %r", error)


async def _listed(machine: knocking.Guest, line: Line) -> Listing | None:
    """What the other end says it is; None if that is nothing."""
    while True:
        for output in machine.outputs():
            match output:
                case knocking.Send(frame):
                    await line.send(frame)
                case knocking.Listed(payload):
                    return Listing.decode(payload)
                case _:
                    raise ValueError("not a listing")
        machine.receive(await line.receive())


def _rows(listing: Listing) -> list[events.Nearby]:
    rows = []
    if listing.person:
        rows.append(events.Nearby(id=listing.tag.hex(), name=listing.name, kind="person"))
    return rows + [
        events.Nearby(
            id=room.tag.hex(), name=tidy_name(room.name, "?"), kind="room", by=listing.name
        )
        for room in listing.rooms
    ]


def _means(reference: str, row: events.Nearby) -> bool:
    wanted = reference.strip()
    if wanted.startswith("@"):
        return row.kind == "person" and row.name.casefold() == wanted[1:].casefold()
    prefix = len(wanted) >= 4 and row.id.startswith(wanted.lower())
    return prefix or row.name.casefold() == wanted.casefold()


def _gone(name: str) -> errors.Unreachable:
    return errors.Unreachable(
        "unreachable",
        f"{name} was there, and is no more",
        "are they still on this network, and visible? knock again",
    )
