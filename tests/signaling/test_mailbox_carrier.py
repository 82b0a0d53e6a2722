"""The mailbox carrier against the real server, and against servers that lie."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signaling import letter, mailbox
from signaling.carriers import mailbox as carrier_module
from signaling.carriers.mailbox import MailboxCarrier
from signaling.envelope import SlotKeys, offer_binding, seal_answer, seal_offer
from signaling.letter import Kind
from signaling.mailbox import Item, Put, Watch
from signaling.sdp import Description
from signaling.server.app import Server, Settings
from tests.signaling.descriptions import HOST, PUBLIC, description
from tests.signaling.neighbours import Attempt

SLOT = SlotKeys.derive(bytes(32))
OTHER = SlotKeys.derive(b"\x01" * 32)
OFFER = description(HOST)
ANSWER = description(PUBLIC, role="active")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrier_module, "_FIRST_S", 0.1)
    monkeypatch.setattr(carrier_module, "_LONGEST_S", 0.2)


class Seeker:
    """Makes an offer each time it is asked, and lets a test wait for them."""

    def __init__(self) -> None:
        self.attempts: asyncio.Queue[Attempt] = asyncio.Queue()

    async def __call__(self) -> Attempt:
        attempt = Attempt(OFFER)
        self.attempts.put_nowait(attempt)
        return attempt


class Answerer:
    """Answers each offer, and remembers them."""

    def __init__(self, answer: Description | None = ANSWER) -> None:
        self.offers: list[Description] = []
        self.answer = answer

    async def __call__(self, offer: Description) -> Description | None:
        self.offers.append(offer)
        return self.answer


@asynccontextmanager
async def serving(port: int = 0, **settings: object) -> AsyncIterator[str]:
    async with Server.open(Settings(port=port, **settings)) as server:  # type: ignore[arg-type]
        yield f"http://127.0.0.1:{server.port}"


def at(url: str) -> AbstractAsyncContextManager[MailboxCarrier]:
    return MailboxCarrier.open(url, random=os.urandom, wall=time.time)


async def test_two_who_share_a_slot_find_each_other_and_swap() -> None:
    seeker, server = Seeker(), Answerer()
    async with asyncio.timeout(10), serving() as url, at(url) as one, at(url) as two:
        two.serve(SLOT, server)
        one.seek(SLOT, seeker)
        attempt = await seeker.attempts.get()
        assert await attempt.answer == ANSWER
        assert server.offers == [OFFER]
        assert not attempt.abandoned.is_set()
        assert not one.ignored
        assert not two.ignored


async def test_order_of_coming_does_not_matter() -> None:
    seeker = Seeker()
    async with asyncio.timeout(10), serving() as url, at(url) as one:
        one.seek(SLOT, seeker)
        await one.connected.wait()
        async with at(url) as two:
            two.serve(SLOT, Answerer())
            assert await (await seeker.attempts.get()).answer == ANSWER


async def test_who_comes_back_is_offered_to_at_once() -> None:
    seeker = Seeker()
    async with asyncio.timeout(10), serving() as url, at(url) as one:
        one.seek(SLOT, seeker)
        for _ in range(3):
            async with at(url) as two:
                two.serve(SLOT, Answerer())
                assert await (await seeker.attempts.get()).answer == ANSWER


async def test_a_declined_offer_is_abandoned_and_made_again_on_retry() -> None:
    seeker, server = Seeker(), Answerer(None)
    async with asyncio.timeout(10), serving() as url, at(url) as one, at(url) as two:
        two.serve(SLOT, server)
        registration = one.seek(SLOT, seeker)
        await (await seeker.attempts.get()).abandoned.wait()
        server.answer = ANSWER
        registration.retry()
        assert await (await seeker.attempts.get()).answer == ANSWER
        registration.retry()
        assert await (await seeker.attempts.get()).answer == ANSWER
    assert len(server.offers) == 3


async def test_two_guests_of_one_invite_are_both_answered() -> None:
    first, second, server = Seeker(), Seeker(), Answerer()
    async with (
        asyncio.timeout(10),
        serving() as url,
        at(url) as host,
        at(url) as one,
        at(url) as two,
    ):
        host.serve(SLOT, server)
        one.seek(SLOT, first)
        two.seek(SLOT, second)
        assert await (await first.attempts.get()).answer == ANSWER
        assert await (await second.attempts.get()).answer == ANSWER


async def test_a_closed_registration_is_silent() -> None:
    seeker, closed, server = Seeker(), Seeker(), Answerer()
    async with asyncio.timeout(10), serving() as url, at(url) as one, at(url) as two:
        two.serve(OTHER, Answerer()).close()
        one.seek(OTHER, closed)
        one.seek(SLOT, seeker)
        two.serve(SLOT, server)
        assert await (await seeker.attempts.get()).answer == ANSWER
        assert closed.attempts.empty()


async def test_a_connection_that_breaks_is_made_again() -> None:
    seeker = Seeker()
    async with asyncio.timeout(10), serving() as url, at(url) as one, at(url) as two:
        one.seek(SLOT, seeker)
        await one.connected.wait()
        assert one._connection is not None
        await one._connection._socket.close()
        two.serve(SLOT, Answerer())
        assert await (await seeker.attempts.get()).answer == ANSWER


async def test_after_a_move_it_connects_anew_and_waits_for_no_backoff(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeker = Seeker()
    async with asyncio.timeout(20):
        async with serving() as url, at(url) as one:
            port = int(url.rpartition(":")[2])
            one.seek(SLOT, seeker)
            await one.connected.wait()
            before = one._connection
            one.reconnect()
            while one._connection in (before, None):
                await asyncio.sleep(0.01)
            monkeypatch.setattr(carrier_module, "_FIRST_S", 3_600.0)
            monkeypatch.setattr(carrier_module, "_LONGEST_S", 3_600.0)
        async with at(url) as one:
            one.seek(SLOT, seeker)
            await asyncio.sleep(0.3)
            async with serving(port):
                one.reconnect()
                await one.connected.wait()


async def test_a_server_that_is_away_costs_nothing_and_is_found_when_it_is_back() -> None:
    seeker, server = Seeker(), Answerer()
    async with asyncio.timeout(10):
        async with serving() as url:
            port = int(url.rpartition(":")[2])
        async with at(url) as one, at(url) as two:
            one.seek(SLOT, seeker)
            two.serve(SLOT, server)
            await asyncio.sleep(0.3)
            assert not one.connected.is_set()
            async with serving(port):
                assert await (await seeker.attempts.get()).answer == ANSWER
                await one.connected.wait()
            # It goes away, and comes back with an empty memory.
            while two.connected.is_set() or one.connected.is_set():
                await asyncio.sleep(0.01)
            async with serving(port):
                assert await (await seeker.attempts.get()).answer == ANSWER


async def test_nobody_is_connected_to_without_a_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrier_module, "_LINGER_S", 0.01)
    async with asyncio.timeout(10), serving() as url, at(url) as one:
        await asyncio.sleep(0.1)
        assert not one.connected.is_set()
        slot = one.seek(SLOT, Seeker())
        await one.connected.wait()
        slot.close()
        while one.connected.is_set():
            await asyncio.sleep(0.01)
        assert one.idle


# -- servers that lie ------------------------------------------------------------------------------

Said = Callable[[web.WebSocketResponse, bytes], Awaitable[None]]


@asynccontextmanager
async def liar(says: Said) -> AsyncIterator[str]:
    """A server that answers each message as `says` does."""

    async def handle(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            try:
                await says(socket, message.data)
            except ConnectionError:
                break
        return socket

    app = web.Application()
    app.router.add_get("/mailbox", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():
            await asyncio.sleep(0.01)


async def test_garbage_and_what_was_not_asked_for_is_counted_and_left() -> None:
    said = iter(
        [
            b"",
            b"\xc1",
            os.urandom(400),
            mailbox.encode([Item(os.urandom(16), 5, b"x")]),
            bytes(mailbox.MESSAGE_MAX + 1),
            "text",
        ]
    )

    async def says(socket: web.WebSocketResponse, _: bytes) -> None:
        what = next(said, None)
        if isinstance(what, str):
            await socket.send_str(what)
        elif what is not None:
            await socket.send_bytes(what)
        await socket.close()

    async with liar(says) as url, at(url) as one:
        seeker = Seeker()
        one.seek(SLOT, seeker)
        one.serve(OTHER, Answerer())
        await _until(lambda: one.ignored["malformed"] >= 2 and one.ignored["not binary"] >= 1)
        assert one.ignored["not asked for"] == 1
        assert seeker.attempts.empty()


async def test_letters_of_others_and_old_ones_are_ignored() -> None:
    """Everything that a server could have kept of this slot, told under every name we look at."""
    nonce = bytes(16)
    envelope = seal_offer(SLOT, OFFER, 0, os.urandom)
    binding = offer_binding(envelope)
    old = {
        kind: letter.seal_letter(SLOT, kind, name, content, os.urandom)
        for kind, name, content in (
            (Kind.GREETING, bytes(16), nonce),
            (Kind.OFFER, letter.offer_name(SLOT, nonce), envelope),
            (
                Kind.ANSWER,
                letter.answer_name(SLOT, binding),
                seal_answer(SLOT, ANSWER, binding, 0, os.urandom),
            ),
        )
    }

    async def says(socket: web.WebSocketResponse, data: bytes) -> None:
        for operation in mailbox.decode_operations(data):
            if isinstance(operation, Watch):
                await socket.send_bytes(
                    mailbox.encode([Item(operation.name, 60, sealed) for sealed in old.values()])
                )

    server, seeker = Answerer(), Seeker()
    async with liar(says) as url, at(url) as one:
        one.serve(SLOT, server)
        one.seek(SLOT, seeker)
        await _until(lambda: one.ignored["not for us"] >= 6)
        assert not server.offers
        assert seeker.attempts.empty()


async def test_an_offer_told_again_is_answered_once() -> None:
    sent = asyncio.Event()

    async def says(socket: web.WebSocketResponse, data: bytes) -> None:
        # As an honest server would, but everything three times, and greetings back to the greeter.
        for operation in mailbox.decode_operations(data):
            if isinstance(operation, Put) and operation.ttl_s:
                item = Item(operation.name, operation.ttl_s, operation.data)
                await socket.send_bytes(mailbox.encode([item] * 3))
                sent.set()

    server, seeker = Answerer(), Seeker()
    async with asyncio.timeout(10), liar(says) as url, at(url) as one:
        one.serve(SLOT, server)
        one.seek(SLOT, seeker)
        assert await (await seeker.attempts.get()).answer == ANSWER
        await _until(lambda: one.ignored["again"] == 2)
        assert len(server.offers) == 1


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3_600), st.binary(max_size=1_028))))
async def test_no_letter_of_a_liar_is_taken(told: list[tuple[int, int, bytes]]) -> None:
    names = [*letter.greeting_names(SLOT, time.time()), bytes(16)]
    carrier = MailboxCarrier("ws://127.0.0.1:1/mailbox", random=os.urandom, wall=time.time)
    seeker = Seeker()
    slot = carrier.seek(SLOT, seeker)
    for which, ttl_s, data in told:
        carrier._greeted(slot, Item(names[which % len(names)], ttl_s, data), 0.0)
    assert not slot.ways
    assert carrier.ignored.total() == len(told)


async def test_a_server_that_greets_without_end_is_bounded() -> None:
    name = letter.greeting_names(SLOT, time.time())[0]
    carrier = MailboxCarrier("ws://127.0.0.1:1/mailbox", random=os.urandom, wall=time.time)
    slot = carrier.seek(SLOT, Seeker())
    for _ in range(50):
        sealed = letter.seal_letter(SLOT, Kind.GREETING, name, os.urandom(16), os.urandom)
        carrier._greeted(slot, Item(name, 60, sealed), 0.0)
    assert len(slot.ways) == 8


async def test_a_page_that_is_no_mailbox_is_left_alone() -> None:
    async with asyncio.timeout(10), serving() as url, at(f"{url}/health") as one:
        one.seek(SLOT, Seeker())
        await asyncio.sleep(0.3)
        assert not one.connected.is_set()
        async with aiohttp.ClientSession() as client, client.get(f"{url}/health") as answer:
            assert (await answer.json()) == {"ok": True}
