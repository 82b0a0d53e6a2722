"""Events from the node to whoever listens. Bounded: a reader that sleeps loses its place."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from p2pchat.events import Event

__all__ = ["Bus", "Subscription"]

_WAITING_MAX = 10_000
"""Events that one reader may leave unread: a screenful a hundred times over, a few MB at most."""


class Subscription(AsyncIterator[Event]):
    """What was published since it was made. Ends when closed, or when the reader fell behind."""

    def __init__(self, bus: "Bus") -> None:
        self._bus = bus
        self._waiting: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._closed = False

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Event:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._waiting.popleft()

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        self._bus.forget(self)

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def put(self, event: Event) -> None:
        if len(self._waiting) >= _WAITING_MAX:
            self.close()
            return
        self._waiting.append(event)
        self._wake.set()


class Bus:
    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    def publish(self, event: Event) -> None:
        for subscription in list(self._subscriptions):
            subscription.put(event)

    def heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._subscriptions)

    def subscribe(self) -> Subscription:
        """From now on; close it, or use it as a context manager."""
        subscription = Subscription(self)
        self._subscriptions.add(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    def close(self) -> None:
        for subscription in list(self._subscriptions):
            subscription.close()
