"""The mailboxes of a node: the one that its settings name, and those that friends' invites named.

A contact is looked for at our own mailbox and at the one by which we met it. An invite may name any
server; so few are kept, and none is spoken to unless somebody there is looked for.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from p2pchat.config import NetConfig, is_here
from p2pchat.core.identity import Random
from p2pchat.store import meta
from p2pchat.store.database import Connection
from signaling.address import mailbox_url
from signaling.carriers import Carrier
from signaling.carriers.interfaces import interfaces_of
from signaling.carriers.mailbox import MailboxCarrier

__all__ = ["Mailboxes"]

_log = logging.getLogger(__name__)
_PREFIX = "mailbox/"
_FOREIGN_MAX = 16
"""Servers of friends; each is a connection for as long as we run."""


class Mailboxes:
    """`own` as `Config.mailbox_address` gives it; `interfaces` those that the node may use."""

    def __init__(
        self,
        own: str,
        interfaces: Sequence[str],
        tasks: asyncio.TaskGroup,
        random: Random,
        wall: Callable[[], float],
    ) -> None:
        self.own = own
        self._interfaces = interfaces
        self._confined = NetConfig(interfaces=list(interfaces)).is_local
        self._tasks = tasks
        self._random = random
        self._wall = wall
        self._carriers: dict[str, MailboxCarrier] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._met_at: dict[bytes, str] = {}

    def load(self, tx: Connection) -> None:
        """What earlier runs remembered."""
        for name, value in meta.beginning(tx, _PREFIX).items():
            self._met_at[bytes.fromhex(name.removeprefix(_PREFIX))] = value.decode()

    def remember(self, tx: Connection, person: bytes, url: str) -> None:
        """We met this person at a mailbox that is not ours."""
        meta.put(tx, _PREFIX + person.hex(), url.encode())
        self._met_at[person] = url

    def always(self) -> list[Carrier]:
        """Our own, for every slot."""
        carrier = self.at(self.own)
        return [carrier] if carrier is not None else []

    @property
    def idle(self) -> bool:
        """Whether nobody is looked for at our own."""
        carrier = self._carriers.get(self.own)
        return carrier is None or carrier.idle

    def beside(self, person: bytes) -> list[Carrier]:
        """Where else a contact may be."""
        return self.named(self._met_at.get(person, ""))

    def named(self, url: str) -> list[Carrier]:
        """The carrier of a mailbox that an invite has named, if it is not ours anyway."""
        carrier = self.at(url) if url != self.own else None
        return [carrier] if carrier is not None else []

    def at(self, url: str) -> MailboxCarrier | None:
        if not url:
            return None
        carrier = self._carriers.get(url)
        if carrier is None:
            if self._confined and not is_here(url):
                # An invite has named it; our own settings name none such.
                return None
            try:
                checked = mailbox_url(url)
            except ValueError:
                return None
            if len(self._carriers) > _FOREIGN_MAX and not self._make_room():
                _log.info("too many mailboxes; %s is not used", url)
                return None
            carrier = MailboxCarrier(
                checked, random=self._random, wall=self._wall, local=self._local()
            )
            self._carriers[url] = carrier
            self._running[url] = self._tasks.create_task(carrier.run())
        return carrier

    def reconnect(self) -> None:
        """The machine has slept or moved: connections of before may be dead."""
        for carrier in self._carriers.values():
            carrier.reconnect()

    def _make_room(self) -> bool:
        for url, carrier in self._carriers.items():
            if carrier.idle and url != self.own:
                del self._carriers[url]
                self._running.pop(url).cancel()
                return True
        return False

    def _local(self) -> str | None:
        """The address to speak from, where the settings say which."""
        found = interfaces_of(self._interfaces) if self._interfaces else []
        return str(found[0].ip) if found else None
