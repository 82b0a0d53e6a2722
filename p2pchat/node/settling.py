"""Brings the order to rest where an entry that came late has moved more than one transaction may.

A turn of the store at a time, so that whatever else is written goes in between. What is left lies
on disk: a node that ends meanwhile goes on when it begins again.
"""

import logging
from collections.abc import Callable

from p2pchat.core.chain import Chains
from p2pchat.errors import Error
from p2pchat.node.talk import Talk
from p2pchat.store import journal
from p2pchat.store.database import Connection, Database

__all__ = ["Settling"]

_log = logging.getLogger(__name__)


class Settling:
    def __init__(
        self, database: Database, chains: Callable[[bytes], Chains | None], talk: Talk
    ) -> None:
        self._database = database
        self._chains = chains
        self._talk = talk
        self._under_way = False

    def wake(self) -> None:
        """There may be something left."""
        if self._under_way:
            return
        try:
            self._database.post(self._step, self._stepped)
        except Error:  # it is closing
            return
        self._under_way = True

    def _step(self, tx: Connection) -> bytes | None:
        found = journal.settle(tx)
        if found is None:
            return None
        room, moved = found
        chains = self._chains(room)
        if chains is not None:
            fold = self._talk.fold(tx, chains)
            fold.move(moved)
            fold.settle()
        return room

    def _stepped(self, room: bytes | None, error: BaseException | None) -> None:
        self._under_way = False
        if error is not None:
            _log.warning("the order is not at rest: %s", error)
        elif room is not None:
            self.wake()
