"""Whose profile this is: the identity that it was made with, and the name it is shown under.

Each opening also says in which incarnation to write: a database that was put back from a copy must
not write what it has written once.
"""

import asyncio
import getpass
import os
from functools import partial

import msgspec

from p2pchat import events
from p2pchat.core.identity import Identity, Random, id_text
from p2pchat.errors import Error
from p2pchat.store import meta
from p2pchat.store.database import Connection, Database
from p2pchat.store.profile import REMEDY, Profile
from p2pchat.text import checked_name

__all__ = ["Owner"]


class Owner:
    """Use `Owner.load`. `created`: whether the identity was made by this opening."""

    def __init__(self, database: Database, identity: Identity, *, created: bool) -> None:
        self._database = database
        self.identity = identity
        self.created = created

    @classmethod
    async def load(
        cls, database: Database, profile: Profile, name: str | None, random: Random
    ) -> tuple["Owner", bytes]:
        """The owner, made where there is none, and the incarnation to write in.

        Raises errors.BadInput where the name for a new one is bad; Error `home-damaged`.
        """
        beside = await asyncio.to_thread(profile.generation)
        mark = await asyncio.to_thread(_mark, profile)

        if database.only_read:
            # Nothing is written in this opening, so that it does not count.
            identity, incarnation = await database.read(_stored)
            return cls(database, identity, created=False), incarnation

        def read(tx: Connection) -> tuple[Identity, bytes, bool, int]:
            stored, incarnation = meta.get(tx, "identity"), meta.get(tx, "incarnation")
            within = int(meta.get(tx, "generation") or b"0")
            if stored is None and beside:
                raise Error(
                    "home-damaged",
                    f"the journal {profile.database_path} has no identity any more",
                    REMEDY,
                )
            if stored is None:
                chosen = checked_name(name or os.environ.get("P2PCHAT_NAME") or _login_name())
                identity = Identity.create(chosen, random)
                meta.put(tx, "identity", msgspec.msgpack.encode(identity))
            else:
                identity = msgspec.msgpack.decode(stored, type=Identity)
            # One more than beside it: the last opening was cut off between the two.
            behind = within not in (beside, beside + 1)
            if _is_put_back(tx, within, mark) or behind or incarnation is None:
                incarnation = random(8)
                meta.put(tx, "incarnation", incarnation)
            generation = max(within, beside) + 1
            meta.put(tx, "generation", str(generation).encode())
            return identity, incarnation, stored is None, generation

        identity, incarnation, created, generation = await database.write(read)
        await asyncio.to_thread(profile.keep_generation, generation)
        mark = await asyncio.to_thread(_mark, profile)
        await database.write(partial(_keep_mark, generation=generation, mark=mark))
        return cls(database, identity, created=created), incarnation

    def me(self) -> Identity:
        """The identity as it is now: a new name makes another certificate."""
        return self.identity

    @property
    def person(self) -> bytes:
        return self.identity.person

    @property
    def id(self) -> str:
        return id_text(self.identity.person)

    @property
    def name(self) -> str:
        return self.identity.certificate.safe_name()

    async def rename(self, name: str) -> None:
        """Be shown under another name from now on. Raises errors.BadInput."""
        renamed = self.identity.renamed(checked_name(name))
        await self._database.write(
            lambda tx: meta.put(tx, "identity", msgspec.msgpack.encode(renamed))
        )
        self.identity = renamed

    def row(self, home: str) -> events.Identity:
        return events.Identity(
            peer=self.id,
            name=self.name,
            home=home,
            device=id_text(self.identity.device),
            created=self.created,
        )


def _stored(tx: Connection) -> tuple[Identity, bytes]:
    stored, incarnation = meta.get(tx, "identity"), meta.get(tx, "incarnation")
    if stored is None or incarnation is None:
        raise Error("disk-full", "the disk is full: no identity can be made", "free some space")
    return msgspec.msgpack.decode(stored, type=Identity), incarnation


_Mark = tuple[str, int]
"""Where a home is, and when the file of its count was last changed."""


def _mark(profile: Profile) -> _Mark:
    return str(profile.home.resolve()), profile.generation_mark()


def _keep_mark(tx: Connection, generation: int, mark: _Mark) -> None:
    meta.put(tx, "mark", msgspec.msgpack.encode((generation, mark)))


def _is_put_back(tx: Connection, generation: int, mark: _Mark) -> bool:
    """Whether the whole home, its count included, was put in its own place again from a copy.

    A copy elsewhere goes on: it may be the home now, and where both run, that is to be seen. Where
    a file system keeps no time of change each opening would look so, and each would begin a log;
    so there it is not looked at any more.
    """
    found = meta.get(tx, "mark")
    if found is None:
        return False
    counted, (home, changed) = msgspec.msgpack.decode(found, type=tuple[int, _Mark])
    if counted != generation or home != mark[0]:
        return False  # after an opening that was cut off, or elsewhere
    often = int(meta.get(tx, "put back") or b"0") + 1 if changed != mark[1] else 0
    meta.put(tx, "put back", b"%d" % min(often, _OFTEN))
    return 0 < often < _OFTEN


_OFTEN = 4
"""Openings in a row."""


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user in the password database, as in some containers
        return "somebody"
