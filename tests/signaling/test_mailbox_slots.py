"""Values in slots over the real server."""

import asyncio
import os
from contextlib import aclosing

import pytest

from signaling.carriers import mailbox_slots as module
from signaling.carriers.mailbox_slots import MailboxSlots
from signaling.carriers.slots import SLOT_BYTES, VALUE_MAX, SlotLines
from signaling.tasks import owned_tasks
from tests.signaling.test_mailbox_carrier import at, serving
from tests.signaling.test_slots import Ends, following

SLOT = bytes(SLOT_BYTES)
LARGEST = b"x" * VALUE_MAX


@pytest.mark.parametrize("early", [False, True])
async def test_a_value_is_seen_by_who_watches_before_and_after_it_came(early: bool) -> None:
    async with (
        asyncio.timeout(10),
        serving() as url,
        at(url) as one,
        at(url) as two,
        owned_tasks() as tasks,
    ):
        async with aclosing(MailboxSlots(two).watch(SLOT)) as values:
            if early:
                coming = tasks.create_task(following(values))
                await asyncio.wait({coming}, timeout=0.1)
            await MailboxSlots(one).put(SLOT, LARGEST)
            assert await (coming if early else anext(values)) == LARGEST
            await MailboxSlots(one).put(SLOT, b"next")
            assert await anext(values) == b"next"
        # Nobody keeps a connection for a slot that nobody looks at.
        assert one.idle
        assert two.idle


async def test_who_watches_hears_again_over_the_next_connection() -> None:
    async with (
        asyncio.timeout(20),
        serving() as url,
        at(url) as carrier,
        aclosing(MailboxSlots(carrier).watch(SLOT)) as values,
    ):
        await MailboxSlots(carrier).put(SLOT, b"one")
        assert await anext(values) == b"one"
        connection = carrier._connection
        assert connection is not None
        await connection._socket.close()
        await MailboxSlots(carrier).put(SLOT, b"two")
        while await anext(values) != b"two":
            pass


async def test_a_server_that_is_away_is_an_error_of_the_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_CONNECT_S", 0.1)
    async with at("http://127.0.0.1:9") as carrier:
        with pytest.raises(OSError, match="mailbox"):
            await MailboxSlots(carrier).put(SLOT, b"x")
        assert carrier.idle


async def test_two_talk_on_a_line_over_a_mailbox() -> None:
    ends = Ends()
    async with (
        asyncio.timeout(10),
        serving() as url,
        at(url) as one,
        at(url) as two,
        owned_tasks() as tasks,
    ):
        SlotLines(MailboxSlots(one), tasks, os.urandom).listen(7, ends.host)
        SlotLines(MailboxSlots(two), tasks, os.urandom).call(7, ends.guest)
        assert await ends.done.get() == (b"ba", b"dc")
