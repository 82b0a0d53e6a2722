"""Spoken codes: a few words on the phone in place of a blob (docs/protocol.md, 3a).

Who invites listens at the code's nameplate, on every carrier that has lines, as long as the invite
is open. Who joins calls there, proves the code once, and is delivered an ordinary invite; from then
on `invites` does the rest. `signaling.pairing` says who may send what; here a guess is counted on
disk before it is looked at, and a join shows its proof to one host only, whoever else answers.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from p2pchat import errors
from p2pchat.core.bounds import GUESSES_MAX
from p2pchat.core.identity import Random
from p2pchat.events import Event, Note
from p2pchat.node.invites import Invites
from p2pchat.node.outcome import locked, mapped, tries
from p2pchat.node.password import Guarded
from p2pchat.store.database import Database
from signaling import pairing
from signaling.carriers import Carrier
from signaling.carriers.dht import DhtCarrier
from signaling.carriers.dht_slots import DhtSlots
from signaling.carriers.lines import Line, Lines
from signaling.carriers.mailbox import MailboxCarrier
from signaling.carriers.mailbox_slots import MailboxSlots
from signaling.carriers.slots import SlotLines
from signaling.code import Code
from signaling.dhtnode import DhtNode
from signaling.invite import Invite

__all__ = ["Codes", "shared_lines"]

_log = logging.getLogger(__name__)
_CALL_S = 120.0
"""How long to look for whoever made the code, who is on the phone and waits."""


@dataclass(frozen=True, slots=True)
class _Hosted:
    invite: Invite
    nameplate: int
    secret: bytes


def shared_lines(
    carriers: Sequence[Carrier], dht: DhtNode, tasks: asyncio.TaskGroup, random: Random
) -> list[Lines]:
    """Lines over the carriers that keep values: our own mailbox, and the DHT where it is used.

    The mailboxes of friends have none: who is told a code knows of no server but their own.
    """
    found: list[Lines] = []
    for carrier in carriers:
        if isinstance(carrier, MailboxCarrier):
            found.append(SlotLines(MailboxSlots(carrier), tasks, random))
        elif isinstance(carrier, DhtCarrier):
            found.append(SlotLines(DhtSlots(dht, tasks), tasks, random))
    return found


class Codes:
    def __init__(
        self,
        database: Database,
        invites: Invites,
        lines: Sequence[Lines],
        random: Random,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._database = database
        self._invites = invites
        self._lines = lines
        self._random = random
        self._tasks = tasks
        self._hosted: dict[bytes, _Hosted] = {}

    # -- host ----------------------------------------------------------------------------------

    async def resume(self) -> None:
        """Listen for the codes that an earlier run left behind."""
        for invite, nameplate, secret in await self._invites.coded():
            self._host(_Hosted(invite, nameplate, secret))

    async def create(
        self, expires_s: float, into: tuple[bytes, bool] | None = None
    ) -> tuple[Invite, Code]:
        """A new invite, as `Invites.create` has it, and its code. Raises errors.Unreachable."""
        self._require_lines()
        # More than the carriers ask for where many codes are out, so that a free one is soon drawn.
        reach = max(4 * len(self._hosted), *(lines.nameplates for lines in self._lines))
        code = Code.make(reach, self._random)
        while any(hosted.nameplate == code.nameplate for hosted in self._hosted.values()):
            code = Code.make(reach, self._random)
        invite = await self._invites.create(expires_s, into, code=code)
        self._host(_Hosted(invite, code.nameplate, code.secret))
        return invite, code

    def _host(self, hosted: _Hosted) -> None:
        self._hosted[hosted.invite.id] = hosted
        self._tasks.create_task(self._listen(hosted))

    def _guarded(self, hosted: _Hosted) -> Guarded:
        told = partial(self._invites.guessed, hosted.invite.id, what="code")
        return Guarded(hosted.secret, hosted.invite.id, self._database, told)

    async def _listen(self, hosted: _Hosted) -> None:
        guarded = self._guarded(hosted)
        listening = [
            lines.listen(hosted.nameplate, partial(self._answer, hosted, guarded))
            for lines in self._lines
        ]
        try:
            await self._invites.over(hosted.invite)
        finally:
            for registration in listening:
                registration.close()
            del self._hosted[hosted.invite.id]

    async def _answer(self, hosted: _Hosted, guarded: Guarded, line: Line) -> None:
        machine = pairing.Host(
            hosted.nameplate, hosted.secret, hosted.invite.text().encode(), self._random
        )
        try:
            while machine.state != "closed":
                machine.receive(await line.receive())
                for output in machine.outputs():
                    match output:
                        case pairing.Send(frame):
                            await line.send(frame)
                        case pairing.Guess():
                            allowed = await guarded.begin()
                            if isinstance(allowed, int):
                                machine.guess(allowed)
                            else:
                                machine.refuse(allowed)
                        case pairing.Right():
                            await guarded.right()
                        case pairing.Wrong(left):
                            guarded.wrong(left)
                        case _:
                            raise ValueError("not a pairing")
        finally:
            # A wrong guess is told, too, if whoever guessed did not stay for the answer.
            for output in machine.outputs():
                if isinstance(output, pairing.Wrong):
                    guarded.wrong(output.left)

    # -- guest ---------------------------------------------------------------------------------

    async def fetch(
        self, text: str, timeout: float | None, on_event: Callable[[Event], None]
    ) -> str:
        """The blob of the invite that a code stands for.

        Raises errors.BadInput, errors.Refused, errors.Unreachable.
        """
        with mapped():
            code = Code.parse(text)
        self._require_lines()
        if any(
            (own.nameplate, own.secret) == (code.nameplate, code.secret)
            for own in self._hosted.values()
        ):
            raise errors.Refused(
                "invite-own",
                "this code is your own",
                "tell it to your friend, who runs: p2pchat join CODE",
            )
        on_event(Note(text=f"looking for whoever made the code {code.nameplate}-…"))
        join = _Join(code, self._random)
        limit = _CALL_S if timeout is None else timeout
        calls = [lines.call(code.nameplate, join.talk) for lines in self._lines]
        try:
            async with asyncio.timeout(limit):
                return await join.outcome
        except TimeoutError:
            raise errors.Unreachable(
                "unreachable",
                f"nobody who made a code {code.nameplate}-… was found in {limit:.0f} s",
                "is p2pchat invite --code still waiting there? check the number; you need to be on "
                "one network, or to have one mailbox (mailbox.url) or the DHT at both ends",
            ) from None
        finally:
            for call in calls:
                call.close()

    def _require_lines(self) -> None:
        if not self._lines:
            raise errors.Unreachable(
                "unreachable",
                "codes need a way to find the other: there is no discovery, mailbox or DHT here",
                "set lan.enabled=true, or name a mailbox; or use an invite without --code",
            )


class _Join:
    """One join by a code: of all who answer at the nameplate, one gets to see our proof."""

    def __init__(self, code: Code, random: Random) -> None:
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._code = code
        self._random = random
        self._shown = False

    async def talk(self, line: Line) -> None:
        machine = pairing.Guest(self._code.nameplate, self._code.secret, self._random)
        shown = False
        try:
            while True:
                for output in machine.outputs():
                    match output:
                        case pairing.Send(frame):
                            await line.send(frame)
                        case pairing.Guess():
                            if self._shown:
                                return
                            self._shown = shown = True
                            machine.guess()
                        case pairing.Delivered(payload):
                            self._settle(payload.decode("ascii"))
                        case pairing.Refused(code, left):
                            self._settle(_refused(code, left))
                        case _:
                            raise ValueError("not a pairing")
                if machine.state == "closed":
                    return
                machine.receive(await line.receive())
        finally:
            if shown:
                # Whoever it was had its one look at our proof, and did not say what it saw.
                self._settle(
                    errors.Unreachable(
                        "unreachable",
                        "the other side ended in the middle of it",
                        "ask your friend whether a wrong code was seen there; if not, join again",
                    )
                )

    def _settle(self, result: str | errors.Error) -> None:
        if self.outcome.done():
            return
        if isinstance(result, str):
            self.outcome.set_result(result)
        else:
            self.outcome.set_exception(result)


def _refused(code: str, left: int) -> errors.Error:
    match code:
        case "password-wrong":
            left = min(left, GUESSES_MAX)
            return errors.Refused(
                "password-wrong",
                f"that is not the code; {tries(left)}",
                "check the words with your friend, and join again"
                if left
                else "ask your friend for a new code: this one is dead",
            )
        case "invite-locked":
            return locked("ask your friend for a new one", what="code")
    return errors.Refused(code, "the invite of this code is over", "ask your friend for a new code")
