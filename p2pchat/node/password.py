"""Who may test a password, and when: the two ends of an invite that has one.

`core.handshake` asks before each test. The host counts it on disk first, so that neither a cut nor
a crash gives a guess away; the guest's carriers race, so it lets one link at a time try, else one
slip of the finger would cost as many guesses as there are ways to the friend.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from p2pchat import errors
from p2pchat.core.password import password_key
from p2pchat.store import invites as table
from p2pchat.store.database import Database

__all__ = ["Guarded", "OneTry", "Password", "Turn", "key_of"]


class Password(Protocol):
    """What a link whose invite has a password asks of whoever wanted the link."""

    @property
    def key(self) -> bytes: ...

    async def begin(self) -> int | str:
        """Called before a test: how many more there may be, or why not even this one (a code)."""

    def wrong(self, left: int) -> None:
        """The peer's was wrong."""


class Guarded:
    """The host's side; `told` hears of each wrong guess, with how many are left."""

    def __init__(
        self, key: bytes, invite_id: bytes, database: Database, told: Callable[[int], None]
    ) -> None:
        self.key = key
        self._invite_id = invite_id
        self._database = database
        self._told = told

    async def begin(self) -> int | str:
        return await self._database.write(partial(table.guess, id_=self._invite_id))

    def wrong(self, left: int) -> None:
        self._told(left)

    async def right(self) -> None:
        """It was right, and no claim follows that would give the guess back."""
        await self._database.write(partial(table.right, id_=self._invite_id))


class Turn:
    """Whose turn it is among the links of one join."""

    def __init__(self) -> None:
        self.holder: object = None


class OneTry:
    """The guest's side of one link; `over` when the link is."""

    def __init__(self, key: bytes, turn: Turn) -> None:
        self.key = key
        self._turn = turn

    async def begin(self) -> int | str:
        if self._turn.holder is not None:
            return "superseded"
        self._turn.holder = self
        return 0

    def over(self) -> None:
        if self._turn.holder is self:
            self._turn.holder = None

    def wrong(self, left: int) -> None:
        """Never: it is the host that looks."""


def key_of(password: str | None) -> bytes | None:
    """What a password proves; None where there is none. Raises errors.Usage for an empty one."""
    if password == "":
        raise errors.Usage("password-missing", "the password is empty", "give one of a few words")
    return None if password is None else password_key(password)
