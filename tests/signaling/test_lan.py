import asyncio
import os
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from signaling.carriers import exchange
from signaling.carriers import lan as lan_module
from signaling.envelope import SlotKeys, offer_binding, open_answer, seal_offer
from signaling.sdp import Description
from tests.signaling.descriptions import HOST, PUBLIC, description
from tests.signaling.neighbours import Attempt, announced, lan

SLOT = SlotKeys.derive(bytes(32))
OTHER = SlotKeys.derive(b"\x01" * 32)
OFFER = description(HOST)
ANSWER = description(PUBLIC, role="active")
NONCE = "00" * 16
SALT = bytes(16)

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Seeker:
    """Makes an offer each time it is asked, and lets a test wait for them."""

    def __init__(self) -> None:
        self.attempts: asyncio.Queue[Attempt] = asyncio.Queue()

    async def __call__(self) -> Attempt:
        attempt = Attempt(OFFER)
        self.attempts.put_nowait(attempt)
        return attempt


class Server:
    """Answers each offer, and remembers them."""

    def __init__(self, answer: Description | None = ANSWER) -> None:
        self.offers: list[Description] = []
        self._answer = answer

    async def __call__(self, offer: Description) -> Description | None:
        self.offers.append(offer)
        return self._answer


@asynccontextmanager
async def neighbour(handler: Handler, **said: str) -> AsyncIterator[None]:
    """A neighbour that announces itself rightly, and talks as `handler` does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with (
        server,
        announced(server.sockets[0].getsockname()[1], {"v": "1", "n": NONCE, **said}),
    ):
        yield


async def test_two_who_share_a_slot_find_each_other_and_swap() -> None:
    seeker, server = Seeker(), Server()
    async with asyncio.timeout(10), lan() as one, lan() as two:
        two.serve(SLOT, server)
        one.seek(SLOT, seeker)
        attempt = await seeker.attempts.get()
        assert await attempt.answer == ANSWER
        assert server.offers == [OFFER]
        assert not attempt.abandoned.is_set()


async def test_order_of_coming_does_not_matter() -> None:
    seeker = Seeker()
    async with asyncio.timeout(10), lan() as one:
        one.seek(SLOT, seeker)
        async with lan() as two:
            two.serve(SLOT, Server())
            assert await (await seeker.attempts.get()).answer == ANSWER


async def test_a_found_neighbour_serves_slots_that_come_later() -> None:
    first, second = Seeker(), Seeker()
    async with asyncio.timeout(10), lan() as one, lan() as two:
        two.serve(SLOT, Server())
        two.serve(OTHER, Server())
        one.seek(SLOT, first)
        await (await first.attempts.get()).answer
        one.seek(OTHER, second)
        assert await (await second.attempts.get()).answer == ANSWER


async def test_one_visit_swaps_in_every_slot_in_common() -> None:
    slots = [SlotKeys.derive(bytes((n,)) * 32) for n in range(20)]
    seekers = [Seeker() for _ in slots]
    async with asyncio.timeout(10), lan() as one, lan() as two:
        for slot, seeker in zip(slots, seekers, strict=True):
            two.serve(slot, Server())
            one.seek(slot, seeker)
        for seeker in seekers:
            assert await (await seeker.attempts.get()).answer == ANSWER


async def test_a_neighbour_without_the_slot_sees_no_offer() -> None:
    seeker, server, stranger = Seeker(), Server(), Server()
    async with asyncio.timeout(10), lan() as one, lan() as two, lan() as three:
        three.serve(OTHER, stranger)
        two.serve(SLOT, server)
        one.seek(SLOT, seeker)
        await (await seeker.attempts.get()).answer
        assert not stranger.offers
        assert seeker.attempts.empty()


async def test_a_declined_offer_is_abandoned_and_made_again_on_retry() -> None:
    seeker, server = Seeker(), Server(None)
    async with asyncio.timeout(10), lan() as one, lan() as two:
        two.serve(SLOT, server)
        registration = one.seek(SLOT, seeker)
        declined = await seeker.attempts.get()
        await declined.abandoned.wait()
        server._answer = ANSWER
        registration.retry()
        assert await (await seeker.attempts.get()).answer == ANSWER


async def test_retry_offers_again_to_who_answered_before() -> None:
    seeker, server = Seeker(), Server()
    async with asyncio.timeout(10), lan() as one, lan() as two:
        two.serve(SLOT, server)
        registration = one.seek(SLOT, seeker)
        await (await seeker.attempts.get()).answer
        registration.retry()
        assert await (await seeker.attempts.get()).answer == ANSWER
    assert len(server.offers) == 2


async def test_a_closed_seek_offers_no_more() -> None:
    closed, standing = Seeker(), Seeker()
    async with asyncio.timeout(10), lan() as one, lan() as two:
        one.seek(OTHER, closed).close()
        two.serve(OTHER, Server())
        two.serve(SLOT, Server())
        one.seek(SLOT, standing)
        await (await standing.attempts.get()).answer
    assert closed.attempts.empty()


async def test_an_answer_that_comes_after_the_seek_closed_is_not_accepted() -> None:
    seeker, asked, go_on = Seeker(), asyncio.Event(), asyncio.Event()

    async def answer(offer: Description) -> Description:
        del offer
        asked.set()
        await go_on.wait()
        return ANSWER

    async with asyncio.timeout(10), lan() as one, lan() as two:
        two.serve(SLOT, answer)
        registration = one.seek(SLOT, seeker)
        await asked.wait()
        registration.close()
        go_on.set()
        attempt = await seeker.attempts.get()
        await attempt.abandoned.wait()
        assert not attempt.answer.done()


async def test_closing_the_carrier_in_the_middle_abandons_the_offer() -> None:
    seeker, asked = Seeker(), asyncio.Event()

    async def never(offer: Description) -> Description:
        del offer
        asked.set()
        await asyncio.Event().wait()
        return ANSWER

    async with asyncio.timeout(10):
        async with lan() as one, lan() as two:
            two.serve(SLOT, never)
            one.seek(SLOT, seeker)
            await asked.wait()
        attempt = await seeker.attempts.get()
        await attempt.abandoned.wait()


async def test_a_fault_of_one_answer_leaves_the_carrier_working(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, seeker = Seeker(), Seeker()

    async def fault(offer: Description) -> Description:
        raise RuntimeError("ours")

    async with asyncio.timeout(10), lan() as one, lan() as two:
        two.serve(SLOT, fault)
        two.serve(OTHER, Server())
        one.seek(SLOT, broken)
        await (await broken.attempts.get()).abandoned.wait()
        one.seek(OTHER, seeker)
        assert await (await seeker.attempts.get()).answer == ANSWER
    assert "answering a neighbour" in caplog.text


# -- hostile servers -------------------------------------------------------------------------------


async def rubbish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    del reader
    writer.write(os.urandom(70_000))
    await writer.drain()


async def too_many(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await exchange.read_opening(reader)
    await exchange.read_tags(reader)
    writer.write(struct.pack("!H", 65_535) + bytes(131_070))
    await writer.drain()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    del reader, writer


@pytest.mark.parametrize("handler", [rubbish, too_many, hang_up])
async def test_a_server_that_talks_rubbish_gets_no_offer_and_harms_no_other(
    handler: Handler,
) -> None:
    seeker, visited = Seeker(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visited.set()
        await handler(reader, writer)

    async with asyncio.timeout(10), lan() as one, neighbour(serve):
        one.seek(SLOT, seeker)
        await visited.wait()
        assert seeker.attempts.empty()
        async with lan() as two:
            two.serve(SLOT, Server())
            assert await (await seeker.attempts.get()).answer == ANSWER


@pytest.mark.parametrize("length", [0, 60, 1_000, 1_001, 65_535])
async def test_a_server_that_claims_the_slot_without_its_keys_is_abandoned(length: int) -> None:
    seeker = Seeker()

    async def claim(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await exchange.read_opening(reader)
        await exchange.read_tags(reader)
        await exchange.write_known(writer, [0])
        await exchange.read_offer(reader)
        writer.write(struct.pack("!H", length) + os.urandom(length))
        await writer.drain()

    async with asyncio.timeout(10), lan() as one, neighbour(claim):
        one.seek(SLOT, seeker)
        attempt = await seeker.attempts.get()
        await attempt.abandoned.wait()
        assert not attempt.answer.done()


async def test_a_server_that_says_nothing_is_left_after_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lan_module, "_EXCHANGE_S", 0.3)
    seeker, left = Seeker(), asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        await reader.read(-1)
        left.set()

    async with asyncio.timeout(10), lan() as one, neighbour(mute):
        one.seek(SLOT, seeker)
        await left.wait()


async def test_a_neighbour_of_another_version_is_not_visited() -> None:
    visited, seeker = asyncio.Event(), Seeker()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader, writer
        visited.set()

    async with asyncio.timeout(10), lan() as one, neighbour(serve, v="2"):
        one.seek(SLOT, seeker)
        async with lan() as two:
            two.serve(SLOT, Server())
            await (await seeker.attempts.get()).answer
    assert not visited.is_set()


# -- hostile seekers -------------------------------------------------------------------------------


class Visit:
    """A connection to a carrier's exchange."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ended(self) -> bytes:
        """What still came until the carrier hung up."""
        try:
            return await self.reader.read(-1)
        except ConnectionResetError:
            return b""


@asynccontextmanager
async def visit(carrier: lan_module.LanCarrier) -> AsyncIterator[Visit]:
    reader, writer = await asyncio.open_connection("127.0.0.1", carrier._discovery._binding.port)
    try:
        yield Visit(reader, writer)
    finally:
        writer.close()


def tag(carrier: lan_module.LanCarrier, slot: SlotKeys = SLOT) -> bytes:
    return exchange.slot_tag(slot, carrier._discovery.nonce, SALT)


async def test_rubbish_from_a_seeker_ends_its_connection_only() -> None:
    server, seeker = Server(), Seeker()
    async with asyncio.timeout(10), lan() as one, lan() as two:
        one.serve(SLOT, server)
        for data in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"P2PL\x01" + SALT + b"\xff\xff",
            os.urandom(50_000),
        ):
            async with visit(one) as visitor:
                visitor.writer.write(data)
                assert await visitor.ended() == b""
        two.seek(SLOT, seeker)
        assert await (await seeker.attempts.get()).answer == ANSWER


async def test_a_seeker_learns_nothing_of_slots_it_does_not_know() -> None:
    async with asyncio.timeout(10), lan() as one:
        one.serve(SLOT, Server())
        async with visit(one) as visitor:
            await exchange.write_tags(visitor.writer, SALT, [os.urandom(16), tag(one, OTHER)])
            assert await exchange.read_known(visitor.reader, 2) == []
            assert await visitor.ended() == b""


async def test_a_seeker_shows_other_tags_each_time_and_not_how_many_contacts_it_has() -> None:
    # A neighbour that keeps its nonce would else know a seeker again, wherever it meets it.
    shown: asyncio.Queue[tuple[bytes, list[bytes]]] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await exchange.read_opening(reader)
        shown.put_nowait(await exchange.read_tags(reader))
        await exchange.write_known(writer, [])

    async with asyncio.timeout(10), lan() as one, neighbour(serve):
        registration = one.seek(SLOT, Seeker())
        first_salt, first = await shown.get()
        registration.retry()
        second_salt, second = await shown.get()
    nonce = bytes.fromhex(NONCE)
    assert exchange.slot_tag(SLOT, nonce, first_salt) in first
    assert exchange.slot_tag(SLOT, nonce, second_salt) in second
    assert not set(first) & set(second)
    assert len(first) == len(second) == exchange.TAGS_STEP


async def test_a_server_that_claims_to_know_a_filling_tag_gets_no_offer() -> None:
    seeker, asked = Seeker(), asyncio.Event()

    async def liar(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await exchange.read_opening(reader)
        _, tags = await exchange.read_tags(reader)
        await exchange.write_known(writer, [len(tags) - 1])
        assert await reader.read() == b""
        asked.set()

    async with asyncio.timeout(10), lan() as one, neighbour(liar):
        one.seek(SLOT, seeker)
        await asked.wait()
    assert seeker.attempts.empty()


async def test_an_overheard_tag_without_the_keys_gets_no_answer() -> None:
    server = Server()
    async with asyncio.timeout(10), lan() as one:
        one.serve(SLOT, server)
        for index, envelope in ((0, os.urandom(200)), (7, os.urandom(200))):
            async with visit(one) as visitor:
                await exchange.write_tags(visitor.writer, SALT, [tag(one)])
                assert await exchange.read_known(visitor.reader, 1) == [0]
                await exchange.write_offer(visitor.writer, index, envelope)
                assert await visitor.ended() == b""
    assert not server.offers


async def test_an_overheard_offer_is_not_answered_again() -> None:
    server = Server()
    envelope = seal_offer(SLOT, OFFER, time.time(), os.urandom)
    async with asyncio.timeout(10), lan() as one:
        one.serve(SLOT, server)
        async with visit(one) as visitor:
            await exchange.write_tags(visitor.writer, SALT, [tag(one)])
            await exchange.read_known(visitor.reader, 1)
            await exchange.write_offer(visitor.writer, 0, envelope)
            data = await exchange.read_answer(visitor.reader)
            assert data is not None
            assert open_answer(SLOT, data, offer_binding(envelope)) == ANSWER
        async with visit(one) as visitor:
            await exchange.write_tags(visitor.writer, SALT, [tag(one)])
            await exchange.read_known(visitor.reader, 1)
            await exchange.write_offer(visitor.writer, 0, envelope)
            assert await visitor.ended() == b""
    assert server.offers == [OFFER]


async def test_a_seeker_that_dawdles_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lan_module, "_EXCHANGE_S", 0.3)
    async with asyncio.timeout(10), lan() as one, visit(one) as visitor:
        visitor.writer.write(b"P2PL")
        assert await visitor.ended() == b""


async def test_connections_from_one_source_are_bounded() -> None:
    async with asyncio.timeout(10), AsyncExitStack() as stack:
        one = await stack.enter_async_context(lan())
        one.serve(SLOT, Server())
        held = [await stack.enter_async_context(visit(one)) for _ in range(exchange.Gate.OPEN_EACH)]
        for visitor in held:
            await exchange.write_tags(visitor.writer, SALT, [tag(one)])
            assert await exchange.read_known(visitor.reader, 1) == [0]
        async with visit(one) as surplus:
            assert await surplus.ended() == b""
        held[0].writer.close()
        while one._gate._open["127.0.0.1"] == exchange.Gate.OPEN_EACH:
            await asyncio.sleep(0)
        async with visit(one) as next_one:
            await exchange.write_tags(next_one.writer, SALT, [tag(one)])
            assert await exchange.read_known(next_one.reader, 1) == [0]
