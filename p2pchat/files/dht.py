"""The node's end of the DHT: what the worker's libtorrent is told of it, and answers.

A crash of the worker fails what was asked of it; it joins the DHT again when it is back.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from nacl.signing import SigningKey

from p2pchat.files.commands import (
    Command,
    DhtFound,
    DhtGet,
    DhtJoin,
    DhtNodes,
    DhtPut,
    DhtStored,
)
from signaling.dhtnode import DhtUnavailable, Item

__all__ = ["Dht"]

_ANSWER_S = 60.0
"""libtorrent gives nodes that are gone 15 s, in each of the two steps of a put."""
_PENDING_MAX = 256


class Dht:
    """A `signaling.dhtnode.DhtNode`. Made by FileSession, which has the pipe."""

    def __init__(self, send: Callable[[Command], None]) -> None:
        self._send = send
        self._join: DhtJoin | None = None
        self._known = asyncio.Event()
        self._requests = 0
        self._pending: dict[int, asyncio.Future[DhtFound | DhtStored]] = {}
        self.nodes = 0
        """Other nodes that are known to answer."""

    def join(
        self, listen: str, bootstrap: Sequence[tuple[str, int]], state: Path, *, local: bool
    ) -> None:
        """Take part, also after a restart of the worker.

        `listen`: libtorrent's `listen_interfaces`, each with port 0. `state`: a file in which our
        port and the nodes met last are remembered. `local`: all of it is on this machine, where
        nodes share an address.
        """
        self._join = DhtJoin(listen, list(bootstrap), str(state), local)
        self._send(self._join)

    async def ready(self) -> None:
        await self._known.wait()

    async def get(self, key: bytes, newer_than: int) -> Item | None:
        found = await self._ask(lambda request: DhtGet(request, key, newer_than))
        assert isinstance(found, DhtFound)
        return None if found.seq <= newer_than else Item(found.value, found.seq)

    async def put(self, seed: bytes, value: bytes) -> int:
        public = bytes(SigningKey(seed).verify_key)
        stored = await self._ask(lambda request: DhtPut(request, _expanded(seed), public, value))
        assert isinstance(stored, DhtStored)
        return stored.nodes

    async def _ask(self, command: Callable[[int], DhtGet | DhtPut]) -> DhtFound | DhtStored:
        if not self._known.is_set():
            raise DhtUnavailable("no other node is known")
        if len(self._pending) >= _PENDING_MAX:
            raise DhtUnavailable("too much is asked of it at once")
        self._requests += 1
        request = self._requests
        future: asyncio.Future[DhtFound | DhtStored] = asyncio.get_running_loop().create_future()
        self._pending[request] = future
        try:
            self._send(command(request))
            async with asyncio.timeout(_ANSWER_S):
                return await future
        except TimeoutError:
            raise DhtUnavailable(f"no answer in {_ANSWER_S:.0f} s") from None
        finally:
            del self._pending[request]

    # -- what the session hears of the worker --------------------------------------------------

    def started(self) -> None:
        """The worker is there, maybe anew."""
        if self._join is not None:
            self._send(self._join)

    def hear(self, report: DhtFound | DhtStored | DhtNodes) -> None:
        if isinstance(report, DhtNodes):
            self.nodes = report.count
            if report.count:
                self._known.set()
            else:
                self._known.clear()
            return
        future = self._pending.get(report.request)
        if future is not None and not future.done():
            future.set_result(report)

    def lost(self) -> None:
        """The worker is dead."""
        self.nodes = 0
        self._known.clear()
        for future in self._pending.values():
            if not future.done():
                future.set_exception(DhtUnavailable("the process for files crashed"))


def _expanded(seed: bytes) -> bytes:
    """The private key as libtorrent wants it: RFC 8032, 5.1.5, steps 1 and 2."""
    digest = bytearray(hashlib.sha512(seed).digest())
    digest[0] &= 0xF8
    digest[31] &= 0x7F
    digest[31] |= 0x40
    return bytes(digest)
