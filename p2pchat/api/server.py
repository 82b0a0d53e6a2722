"""The API on the profile's Unix socket, and on loopback TCP where `api.port` is set.

Every answer is NDJSON: events as they come, an `error` if it failed, and always a `done` line.
Whoever goes away cancels what it asked for. The socket's mode (0600) guards it; TCP wants the token
and, against pages in a browser, a Host of this machine and no foreign Origin.
"""

import asyncio
import hmac
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec
from aiohttp import ClientConnectionError, web

from p2pchat import errors, events
from p2pchat.api.routes import READING, ROUTES
from p2pchat.node.node import Node
from p2pchat.store.database import disk_full
from p2pchat.store.profile import unwritable

__all__ = ["TOKEN_FILE", "serve"]

_log = logging.getLogger(__name__)
TOKEN_FILE = "api.token"  # noqa: S105  (a file's name)
_REQUEST_MAX = 8 << 20
"""A page with a proof in it is the largest, its characters escaped."""


@asynccontextmanager
async def serve(node: Node, stop: asyncio.Event) -> AsyncIterator[None]:
    """Serve until the context ends. `stop` is set when somebody asks the node to end."""
    path = node.profile.socket_path
    port = node.config.api.port
    token = _token(node) if port else ""
    app = web.Application(client_max_size=_REQUEST_MAX)
    app.router.add_post("/v1/{route}", _Handler(node, stop, token).handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1, handler_cancellation=True)
    await runner.setup()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            # We hold the profile's lock, so whatever is there belongs to nobody any more.
            path.unlink(missing_ok=True)
            listener.bind(str(path))
            path.chmod(0o600)
            await web.SockSite(runner, listener).start()
            if port:
                await web.TCPSite(runner, "127.0.0.1", port).start()
        except OSError as error:
            raise unwritable(node.home, error) from error
        # Out here: what fails while we serve is no matter of the profile's.
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        await runner.cleanup()
        listener.close()


def _token(node: Node) -> str:
    path = node.home / TOKEN_FILE
    with suppress(FileNotFoundError):
        return path.read_text().strip()
    token = secrets.token_urlsafe(32)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token)
    return token


class _Handler:
    def __init__(self, node: Node, stop: asyncio.Event, token: str) -> None:
        self._node = node
        self._stop = stop
        self._token = token

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self._check(request)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        try:
            await self._answer(request, response)
        except (ConnectionError, ClientConnectionError):
            if not _has_gone(request):
                raise
        return response

    async def _answer(self, request: web.Request, response: web.StreamResponse) -> None:
        """Raises as `response.write` does once whoever asked has gone, at any line."""
        name = request.match_info["route"]
        body = await request.read()
        await response.prepare(request)
        done = events.Done(ok=True, exit=0)
        try:
            if name == "down":
                self._stop.set()
            else:
                await self._stream(name, body, response)
        except errors.Error as error:
            done = await _tell(response, error)
        except Exception as error:
            if isinstance(error, (ConnectionError, ClientConnectionError)) and _has_gone(request):
                raise
            # A request's edge: reported, and the node goes on.
            _log.exception("a request failed", extra={"route": name})
            done = await _tell(
                response,
                errors.Error(
                    "internal",
                    "p2pchat met a fault of its own",
                    "see node.log in the profile; please report it",
                ),
            )
        await _write(response, done)
        await response.write_eof()

    async def _stream(self, name: str, body: bytes, response: web.StreamResponse) -> None:
        if name not in ROUTES:
            raise errors.Usage("usage", f"there is no route {name!r}", "see docs/architecture.md")
        if self._node.only_read and name not in READING:
            raise disk_full()
        kind, handler = ROUTES[name]
        try:
            asked = msgspec.json.decode(body or b"{}", type=kind)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise errors.Usage("usage", f"malformed request: {error}", "see its fields") from error
        async for event in handler(self._node, asked):
            await _write(response, event)

    def _check(self, request: web.Request) -> None:
        """Who comes over TCP has to show the token, and not be a page in a browser."""
        transport = request.transport
        family = transport.get_extra_info("socket").family if transport else None
        if family == socket.AF_UNIX:
            return
        host = request.host.rsplit(":", 1)[0]
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if host not in ("127.0.0.1", "localhost") or request.headers.get("Origin"):
            raise web.HTTPForbidden
        if not self._token or not hmac.compare_digest(given.encode(), self._token.encode()):
            raise web.HTTPUnauthorized


def _has_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


async def _tell(response: web.StreamResponse, error: errors.Error) -> events.Done:
    await _write(response, events.Failure(code=error.code, message=error.message, hint=error.hint))
    return events.Done(ok=False, exit=error.exit_code)


async def _write(response: web.StreamResponse, event: events.Event) -> None:
    await response.write(msgspec.json.encode(events.as_json(event)) + b"\n")
