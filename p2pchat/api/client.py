"""The typed client that every face uses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import msgspec

from p2pchat import errors
from p2pchat.events import Done, Event, Failure

__all__ = ["Client", "NotRunning"]

_LINE_MAX = 4 * 1024 * 1024
_DECODER = msgspec.json.Decoder(Event)


class NotRunning(Exception):
    """Nobody answers on the socket."""


class Client:
    """Use `Client.open`."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    @classmethod
    @asynccontextmanager
    async def open(cls, socket: Path) -> AsyncIterator["Client"]:
        connector = aiohttp.UnixConnector(str(socket))
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, read_bufsize=_LINE_MAX
        ) as http:
            yield cls(http)

    async def ask(self, route: str, request: msgspec.Struct | None = None) -> AsyncIterator[Event]:
        """Events of the answer, without its `error` and `done`.

        Raises the errors.Error that the node reports, and NotRunning if there is none.
        """
        body = msgspec.json.encode(request) if request is not None else b"{}"
        failure: Failure | None = None
        try:
            async with self._http.post(f"http://p2pchat/v1/{route}", data=body) as response:
                async for line in response.content:
                    event = _DECODER.decode(line)
                    if isinstance(event, Failure):
                        failure = event
                    elif isinstance(event, Done):
                        if failure is not None:
                            raise errors.error_for(failure.code, failure.message, failure.hint)
                        return
                    else:
                        yield event
        except (aiohttp.ClientError, ConnectionError, FileNotFoundError) as error:
            raise NotRunning from error
        raise NotRunning

    async def one(self, route: str, request: msgspec.Struct | None = None) -> Event:
        """The first event of the answer; the rest is heard out."""
        found = [event async for event in self.ask(route, request)]
        return found[0]

    async def answers(self) -> bool:
        """Whether a node is there."""
        with suppress(NotRunning):
            await self.one("identity")
            return True
        return False
