"""How far linked members and we differ, room by room, and waiting until nobody does."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from p2pchat import errors, events
from p2pchat.core.facts import Progress
from p2pchat.core.identity import id_text
from p2pchat.node.bus import Bus
from p2pchat.node.directory import Directory

if TYPE_CHECKING:
    from p2pchat.node.peers import Peers
    from p2pchat.node.session import Session

__all__ = ["sync", "sync_event", "sync_rows"]


def sync_event(session: "Session", fact: Progress) -> events.Sync:
    state = "in-sync" if fact.level else "pulling" if fact.compared else "comparing"
    return events.Sync(
        room=id_text(fact.room),
        peer=id_text(session.peer),
        behind=fact.behind,
        ahead=fact.ahead,
        state=state,  # type: ignore[arg-type]
    )


def sync_rows(peers: "Peers", directory: Directory) -> list[events.Sync]:
    return [
        directory.named(sync_event(session, progress), session.peer, progress.room)
        for session in peers.sessions()
        for progress in session.reconcile.progress()
        # Whoever has heard that we are gone from a room compares it with us no more.
        if progress.compared or not directory.is_gone(progress.room)
    ]


async def sync(
    peers: "Peers",
    directory: Directory,
    bus: Bus,
    room: str | None,
    timeout: float,
    *,
    wait: bool,
) -> AsyncIterator[events.Sync]:
    """Compare with everybody linked, of one room (its id) or all, as `Node.sync` has it."""
    shown: dict[tuple[str, str], events.Sync] = {}
    with bus.subscribe() as feed:
        for session in peers.sessions():
            for progress in session.reconcile.progress():
                if room in (None, id_text(progress.room)):
                    session.compare(progress.room)
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            states = [state for state in sync_rows(peers, directory) if room in (None, state.room)]
            for state in states:
                if shown.get((state.room, state.peer)) != state:
                    shown[state.room, state.peer] = state
                    yield state
            compared = bool(states) and all(state.state != "comparing" for state in states)
            level = all(state.state == "in-sync" for state in states)
            if compared and (level or not wait):
                return
            try:
                async with asyncio.timeout_at(deadline):
                    await anext(feed)
            except TimeoutError:
                break
    if not shown:
        raise errors.Unreachable(
            "unreachable",
            f"no member was online within {timeout:.0f} s",
            "both need p2pchat running at the same time: p2pchat up",
        )
    raise errors.Unreachable(
        "not-synced",
        f"not in sync after {timeout:.0f} s",
        "it goes on in the background while p2pchat up runs; see p2pchat status",
    )
