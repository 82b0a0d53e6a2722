"""The typed client that every face uses.

One connection for each request, closed with it: that is how a node learns that nobody waits any
more. HTTP is h11's (RFC 9112), since a command should not pay for a client of the whole web.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import h11
import msgspec

from p2pchat import errors
from p2pchat.events import Done, Event, Failure

__all__ = ["Client", "NotRunning"]

_LINE_MAX = 4 * 1024 * 1024
_READ = 65_536
_CONNECT_S = 5.0
_DECODER = msgspec.json.Decoder(Event)


class NotRunning(Exception):
    """Nobody answers on the socket."""


class Client:
    """Use `Client.open`."""

    def __init__(self, socket: Path) -> None:
        self._socket = str(socket)

    @classmethod
    @asynccontextmanager
    async def open(cls, socket: Path) -> AsyncIterator["Client"]:
        yield cls(socket)

    async def ask(self, route: str, request: msgspec.Struct | None = None) -> AsyncIterator[Event]:
        """Events of the answer, without its `error` and `done`.

        Raises the errors.Error that the node reports, BadInput `text-malformed`, and NotRunning if
        there is no node.
        """
        try:
            body = msgspec.json.encode(request) if request is not None else b"{}"
        except UnicodeEncodeError:
            # Of a secret, or the name of a file, say: neither need be text.
            raise errors.BadInput(
                "text-malformed", "what was given is not valid UTF-8", "write it in UTF-8"
            ) from None
        failure: Failure | None = None
        try:
            async with asyncio.timeout(_CONNECT_S):
                reader, writer = await asyncio.open_unix_connection(self._socket)
        except (OSError, TimeoutError) as error:
            raise NotRunning from error
        try:
            async for line in _lines(reader, writer, f"/v1/{route}", body):
                event = _DECODER.decode(line)
                if isinstance(event, Failure):
                    failure = event
                elif isinstance(event, Done):
                    if failure is not None:
                        raise errors.error_for(failure.code, failure.message, failure.hint)
                    return
                else:
                    yield event
        except (OSError, h11.RemoteProtocolError) as error:
            raise NotRunning from error
        finally:
            writer.close()
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


async def _lines(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str, body: bytes
) -> AsyncIterator[bytes]:
    """The lines that come back for a request. Raises OSError, h11.RemoteProtocolError."""
    http = h11.Connection(h11.CLIENT)
    headers = [("Host", "p2pchat"), ("Content-Length", str(len(body))), ("Connection", "close")]
    for part in (
        h11.Request(method="POST", target=target, headers=headers),
        h11.Data(data=body),
        h11.EndOfMessage(),
    ):
        writer.write(http.send(part) or b"")
    await writer.drain()
    rest = bytearray()
    while True:
        match http.next_event():
            case h11.Response(status_code=status) if status != 200:
                raise h11.RemoteProtocolError(f"the node answered {status}")
            case h11.Data(data=data):
                *lines, last = data.split(b"\n")
                for line in lines:
                    yield bytes(rest + line)
                    rest.clear()
                rest += last
                if len(rest) > _LINE_MAX:
                    raise h11.RemoteProtocolError("a line without end")
            case h11.EndOfMessage() | h11.ConnectionClosed():
                return
            case h11.NEED_DATA:
                http.receive_data(await reader.read(_READ))
