import asyncio
import time
from pathlib import Path

from p2pchat import events
from p2pchat.core.wire import Summary, encode
from tests.node.people import WAIT_S, friends, heard


async def test_frames_that_break_the_rules_end_the_link(tmp_path: Path) -> None:
    async with friends(tmp_path) as (ann, bob):
        with bob.events() as feed:
            session = next(ann.online_parts.peers.sessions())
            await session._link.send(b"\xc1 no frame at all")
            assert (await heard(feed, events.Peer, state="disconnected")).reason == "bad-frame"


async def test_frames_that_cost_much_leave_others_their_turn(tmp_path: Path) -> None:
    async with friends(tmp_path) as (_, bob):
        session = next(bob.online_parts.peers.sessions())
        taken: list[object] = []

        def slow(frame: object) -> None:
            taken.append(frame)
            until = time.perf_counter() + 0.01
            while time.perf_counter() < until:
                pass

        session.reconcile.receive = slow  # type: ignore[method-assign]
        for _ in range(50):
            # As the channel does, in one turn of the loop.
            session._link._deliver(encode(Summary(bytes(16), bytes(32), 0)))
        most = before = 0
        async with asyncio.timeout(WAIT_S):
            while len(taken) < 50:
                await asyncio.sleep(0)
                most, before = max(most, len(taken) - before), len(taken)
        assert 0 < most < 10
