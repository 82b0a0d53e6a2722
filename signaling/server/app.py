"""The signalling server as one aiohttp application: mailbox, tracker, health, metrics.

Carries out what the machines decide (`signaling.mailbox`, `signaling.tracker`), and knows sockets
and the state. Clients are hostile: each has few bytes in flight either way, and one that does not
read what it is told is closed.
"""

import asyncio
import logging
import os
import secrets
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path

import msgspec
from aiohttp import ClientConnectionResetError, WSMsgType, web

from signaling import announce, mailbox, tracker
from signaling.mailbox import Item, Mailbox
from signaling.rate import Admission, source_of
from signaling.server.state import Listener, State, StateDown, open_state
from signaling.tasks import owned_tasks
from signaling.tracker import Tracker

__all__ = ["Server", "Settings"]

_log = logging.getLogger(__name__)
_HEARTBEAT_S = 45.0
"""Below the minute after which load balancers and NATs forget a silent connection."""
_UNSENT_MAX = 512
"""Items or messages that wait for one client; an honest one has few."""
_SEND_S = 20.0
_CLOSE_S = 5.0
_DOWN_S = 1.0
_REQUEST_S = 15.0
"""From a TCP connection to its WebSocket."""
_IDLE_S = 120.0
"""A client that neither watches, holds nor takes part in anything has no business here."""
_TIMER_S = _SWEEP_S = 5.0
_IDLE, _DOWN = 4408, 4503
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Settings:
    """`proxies`: networks whose X-Forwarded-For is believed."""

    host: str = "127.0.0.1"
    port: int = 8080
    state: str = ""
    clients: int = 20_000
    clients_each: int = 64
    mailbox_bounds: mailbox.Bounds = field(default_factory=mailbox.Bounds)
    tracker_bounds: tracker.Bounds = field(default_factory=tracker.Bounds)
    proxies: tuple[Network, ...] = ()


@dataclass(slots=True, eq=False)
class _Connection:
    """A WebSocket, what waits to be sent on it, and until when nothing is read from it."""

    socket: web.WebSocketResponse
    request: web.Request
    unsent: deque[bytes | Item] = field(default_factory=deque)
    sending: bool = False
    used: float = field(default_factory=time.monotonic)
    pause_s: float = 0.0


class Server:
    """Use `Server.open`."""

    def __init__(self, settings: Settings, tasks: asyncio.TaskGroup) -> None:
        self._settings = settings
        self._tasks = tasks
        self._admission = Admission(settings.clients, settings.clients_each)
        self._mailbox = Mailbox(settings.mailbox_bounds)
        self._tracker = Tracker(settings.tracker_bounds, secrets.randbelow, os.urandom(8))
        self._state: State
        self._clients: dict[mailbox.Client, _Connection] = {}
        self._peers: dict[tracker.Peer, _Connection] = {}
        self._counts: Counter[str] = Counter()
        # TCP connections that are WebSockets; those that are not, with when they were first seen.
        self._upgraded: set[web.RequestHandler] = set()
        self._waiting: dict[web.RequestHandler, float] = {}
        self._announcing: deque[bytes] = deque(maxlen=4_096)
        self._announce_wake = asyncio.Event()
        self._started = time.monotonic()
        self._down_at = 0.0
        self.port = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator["Server"]:
        """Serve while the context lasts.

        Raises StateUnusable, OSError if the address cannot be used.
        """
        async with owned_tasks() as tasks:
            server = cls(settings, tasks)
            listener = Listener(server._changed, server._missed, server._heard)
            async with open_state(
                settings.state, listener, time.time, settings.mailbox_bounds.items
            ) as state:
                server._state = state
                async with server._serve():
                    tasks.create_task(server._keep_time())
                    if state.shared:
                        tasks.create_task(server._announce())
                    yield server

    @asynccontextmanager
    async def _serve(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/mailbox", self._serve_mailbox)
        app.router.add_get("/announce", self._serve_tracker)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._settings.host, self._settings.port, backlog=1_024)
            await site.start()
            self._tasks.create_task(self._sweep(runner))
            self.port = runner.addresses[0][1]
            yield
        finally:
            for connection in [*self._clients.values(), *self._peers.values()]:
                # 1001, going away: clients come back by themselves, here or elsewhere.
                self._spawn(self._close(connection, 1001))
            await runner.cleanup()

    # -- connections ---------------------------------------------------------------------------

    def _source(self, request: web.Request) -> str:
        """Who is at the other end, behind the proxies that we believe."""
        hops = request.headers.get("X-Forwarded-For", "").split(",")[-8:]
        address = request.remote or ""
        while hops and self._trusted(address):
            address = hops.pop().strip()
        return source_of(address)

    def _trusted(self, address: str) -> bool:
        try:
            parsed = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        return any(parsed in network for network in self._settings.proxies)

    @asynccontextmanager
    async def _connection(
        self, request: web.Request, size_max: int
    ) -> AsyncIterator[tuple[str, _Connection]]:
        """A WebSocket from a source that may have one more."""
        source = self._source(request)
        socket = web.WebSocketResponse(
            max_msg_size=size_max, heartbeat=_HEARTBEAT_S, compress=False, timeout=2.0
        )
        if not socket.can_prepare(request):
            raise web.HTTPUpgradeRequired(text="this is for WebSocket\n")
        refused = self._admission.enter(source, time.monotonic())
        if refused is not None:
            self._counts[f"refused_{refused}"] += 1
            headers = {"Retry-After": "60"}
            if refused == 429:
                raise web.HTTPTooManyRequests(headers=headers)
            raise web.HTTPServiceUnavailable(headers=headers)
        try:
            await socket.prepare(request)
            self._upgraded.add(request.protocol)
            yield source, _Connection(socket, request)
        finally:
            self._upgraded.discard(request.protocol)
            self._admission.leave(source)

    async def _serve_mailbox(self, request: web.Request) -> web.StreamResponse:
        async with self._connection(request, mailbox.MESSAGE_MAX) as (source, connection):
            client = mailbox.Client(source)
            self._clients[client] = connection
            try:
                async for message in connection.socket:
                    if message.type is not WSMsgType.BINARY:
                        await self._close(connection, mailbox.BAD)
                        break
                    self._counts["mailbox_messages"] += 1
                    await self._carry_out(self._mailbox.receive(client, message.data, time.time()))
                    if not await self._rest(connection):
                        break
            except StateDown as down:
                self._down(down)
                await self._close(connection, _DOWN)
            finally:
                del self._clients[client]
                try:
                    await self._carry_out(self._mailbox.leave(client))
                except StateDown as down:
                    _log.debug("what was held is over by itself: %s", down)
            return connection.socket

    async def _serve_tracker(self, request: web.Request) -> web.StreamResponse:
        async with self._connection(request, announce.MESSAGE_MAX) as (source, connection):
            peer = tracker.Peer(source)
            self._peers[peer] = connection
            try:
                async for message in connection.socket:
                    # Some clients send their JSON in binary frames.
                    if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                        break
                    text = message.data
                    if isinstance(text, bytes):
                        text = text.decode(errors="replace")
                    self._tell_peers(self._tracker.receive(peer, text, time.monotonic()))
                    if not await self._rest(connection):
                        break
            finally:
                del self._peers[peer]
                self._tell_peers(self._tracker.leave(peer))
            return connection.socket

    async def _rest(self, connection: _Connection) -> bool:
        """Wait as long as the client has to; whether it may go on."""
        connection.used = time.monotonic()
        pause_s, connection.pause_s = connection.pause_s, 0.0
        if pause_s:
            await asyncio.sleep(pause_s)
        return not connection.socket.closed

    def _send(self, connection: _Connection, message: bytes | Item) -> None:
        if connection.socket.closed:
            return
        if len(connection.unsent) >= _UNSENT_MAX:
            self._counts["unread"] += 1
            self._abort(connection)
            return
        connection.unsent.append(message)
        if not connection.sending:
            # A task only while there is something: most clients wait in silence, and are many.
            connection.sending = self._spawn(self._drain(connection))

    async def _drain(self, connection: _Connection) -> None:
        unsent, socket = connection.unsent, connection.socket
        try:
            async with asyncio.timeout(_SEND_S) as patience:
                while unsent:
                    message = unsent.popleft()
                    if isinstance(message, Item):
                        items = [message]
                        while unsent and len(items) < mailbox.OPERATIONS_MAX:
                            another = unsent.popleft()
                            assert isinstance(another, Item)
                            items.append(another)
                        await socket.send_bytes(mailbox.encode(items))
                    else:
                        await socket.send_frame(message, WSMsgType.TEXT)
                    patience.reschedule(asyncio.get_running_loop().time() + _SEND_S)
        except TimeoutError:
            self._abort(connection)
        except (ConnectionError, ClientConnectionResetError):
            unsent.clear()
        finally:
            connection.sending = False

    async def _close(self, connection: _Connection, code: int) -> None:
        self._counts[f"closed_{code}"] += 1
        try:
            async with asyncio.timeout(_CLOSE_S):
                await connection.socket.close(code=code)
        except TimeoutError:
            self._abort(connection)
        except (ConnectionError, ClientConnectionResetError):
            _log.debug("gone before it was closed")

    def _abort(self, connection: _Connection) -> None:
        """It does not read: not what it was told, nor that it is closed."""
        connection.unsent.clear()
        if connection.request.transport is not None:
            connection.request.transport.abort()

    def _spawn(self, work: Coroutine[object, object, None]) -> bool:
        guarded = _guarded(work)
        try:
            self._tasks.create_task(guarded)
        except RuntimeError:  # the server is closing
            guarded.close()
            work.close()
            return False
        return True

    # -- mailbox -------------------------------------------------------------------------------

    async def _carry_out(self, outputs: Sequence[mailbox.Output]) -> None:
        """Raises StateDown."""
        changes: list[mailbox.Keep | mailbox.Drop] = []
        for output in outputs:
            match output:
                case mailbox.Keep() | mailbox.Drop():
                    self._counts["puts" if isinstance(output, mailbox.Keep) else "drops"] += 1
                    changes.append(output)
                    continue
            # What was put before in this message is there for what comes after.
            await self._apply(changes)
            match output:
                case mailbox.Look(client, name):
                    await self._look(client, name)
                case mailbox.Pause(client, seconds):
                    self._clients[client].pause_s = seconds
                case mailbox.Close(client, code):
                    await self._close(self._clients[client], code)
        await self._apply(changes)

    async def _apply(self, changes: list[mailbox.Keep | mailbox.Drop]) -> None:
        if changes:
            await self._state.apply(changes)
            changes.clear()

    async def _look(self, client: mailbox.Client, name: bytes) -> None:
        """Raises StateDown."""
        found = await self._state.items(name)
        if client in self._clients:
            for data, expires in found:
                self._tell(client, name, data, expires)

    def _down(self, down: StateDown) -> None:
        """The clients find out, and come back: what they put may not be there."""
        now = time.monotonic()
        if now - self._down_at < _DOWN_S:
            # All were closed just now; whoever has come since finds out when it says something.
            return
        self._down_at = now
        _log.warning("the state does not answer: %s", down)
        for connection in self._clients.values():
            self._spawn(self._close(connection, _DOWN))

    def _tell(self, client: mailbox.Client, name: bytes, data: bytes, expires: float) -> None:
        ttl_s = min(mailbox.TTL_MAX_S, max(1, round(expires - time.time()))) if expires else 0
        self._counts["told"] += 1
        self._send(self._clients[client], Item(name, ttl_s, data))

    def _changed(self, name: bytes, data: bytes, expires: float) -> None:
        for client in self._mailbox.watchers(name):
            if client in self._clients:
                self._tell(client, name, data, expires)

    def _missed(self) -> None:
        """Other instances were not heard for a while: tell all watchers what lies there."""
        self._spawn(self._look_again())

    async def _look_again(self) -> None:
        for client in list(self._clients):
            for name in list(client.watched):
                try:
                    await self._look(client, name)
                except StateDown as down:
                    self._down(down)
                    return

    # -- tracker -------------------------------------------------------------------------------

    def _tell_peers(self, outputs: Sequence[tracker.Output]) -> None:
        for output in outputs:
            match output:
                case tracker.Tell(peer, fields):
                    if peer in self._peers:
                        self._send(self._peers[peer], msgspec.json.encode(fields))
                case tracker.Share(message):
                    if self._state.shared:
                        self._announcing.append(message)
                        self._announce_wake.set()
                case tracker.Pause(peer, seconds):
                    self._peers[peer].pause_s = seconds
                case tracker.Close(peer, code):
                    self._spawn(self._close(self._peers[peer], code))

    async def _announce(self) -> None:
        """Tell the other instances, in order."""
        while True:
            await self._announce_wake.wait()
            self._announce_wake.clear()
            while self._announcing:
                try:
                    await self._state.announce(self._announcing.popleft())
                except StateDown as down:
                    # Seats are announced again; an offer that is lost is made again.
                    _log.debug("the other instances do not hear: %s", down)

    def _heard(self, message: bytes) -> None:
        self._tell_peers(self._tracker.hear(message, time.monotonic()))

    # -- time, health, metrics -----------------------------------------------------------------

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(_TIMER_S)
            self._mailbox.handle_timer(time.time())
            self._tracker.handle_timer(time.monotonic())

    async def _sweep(self, runner: web.AppRunner) -> None:
        """End what costs a socket and does nothing with it."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = time.monotonic()
            for members in (self._clients, self._peers):
                for member, connection in members.items():
                    if member.busy:
                        connection.used = now
                    elif now - connection.used > _IDLE_S:
                        connection.used = now
                        self._spawn(self._close(connection, _IDLE))
            standing = runner.server.connections if runner.server else []
            self._waiting = {
                protocol: self._waiting.get(protocol, now)
                for protocol in standing
                if protocol not in self._upgraded
            }
            for protocol, since in self._waiting.items():
                if now - since > _REQUEST_S:
                    protocol.force_close()

    async def _health(self, _request: web.Request) -> web.Response:
        try:
            await self._state.check()
        except StateDown as down:
            _log.warning("unhealthy: %s", down)
            return web.json_response({"ok": False, "why": "the state does not answer"}, status=503)
        return web.json_response({"ok": True})

    async def _metrics(self, _request: web.Request) -> web.Response:
        """Numbers only, in the text format of Prometheus: no names, no addresses."""
        counts = self._counts
        figures: dict[str, float] = {
            "uptime_seconds": time.monotonic() - self._started,
            "resident_memory_bytes": _resident_bytes(),
            "connections": self._admission.entered,
            "mailbox_clients": len(self._clients),
            "mailbox_watched_names": len(self._mailbox.watched),
            "mailbox_messages_total": counts["mailbox_messages"],
            "mailbox_puts_total": counts["puts"],
            "mailbox_drops_total": counts["drops"],
            "mailbox_told_total": counts["told"],
            **{f"mailbox_{name}": value for name, value in self._state.figures().items()},
            "tracker_clients": len(self._peers),
            "tracker_swarms": self._tracker.swarms,
            "tracker_seats": self._tracker.seats,
            "tracker_announces_total": self._tracker.announces,
            "tracker_offers_total": self._tracker.offers,
            "tracker_answers_total": self._tracker.answers,
            "tracker_malformed_total": self._tracker.malformed,
            "unread_total": counts["unread"],
        }
        for code in (429, 503):
            figures[f'refused_total{{status="{code}"}}'] = counts[f"refused_{code}"]
        for code in (mailbox.BAD, _IDLE, mailbox.FLOOD, _DOWN):
            figures[f'closed_total{{code="{code}"}}'] = counts[f"closed_{code}"]
        lines, typed = [], set[str]()
        for name, value in figures.items():
            family = "p2pchat_signal_" + name.partition("{")[0]
            if family not in typed:
                typed.add(family)
                kind = "counter" if family.endswith("_total") else "gauge"
                lines.append(f"# TYPE {family} {kind}")
            lines.append(f"p2pchat_signal_{name} {value:.10g}")
        return web.Response(text="\n".join(lines) + "\n")


async def _guarded(work: Coroutine[object, object, None]) -> None:
    try:
        await work
    except Exception:  # noqa: BLE001  (a task's edge: one client must not end the others)
        _log.exception("serving a client")


def _resident_bytes() -> int:
    """0 where there is no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
