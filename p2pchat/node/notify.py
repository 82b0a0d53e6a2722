"""Runs the owner's command where somebody mentions them.

What a peer wrote reaches the command in environment variables and nowhere else: there is no shell,
and no argument of the command is made of it. One runs at a time; who mentions us
too often is not heard.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from p2pchat.events import Event, Message
from p2pchat.node.bus import Bus
from p2pchat.text import printable
from signaling.rate import Rate

__all__ = ["Notifier", "variables"]

_log = logging.getLogger(__name__)
_COMMAND_S = 10.0
_TEXT_MAX = 4_096
_OLD_S = 86_400.0
"""What was written longer ago is history that comes late, and no news."""
_BURST, _PER_S = 5.0, 0.1
_SECRET = ("P2PCHAT_PASSPHRASE", "P2PCHAT_PASSWORD")


class Notifier:
    """`room_name` gives the name of a room by its id as text."""

    def __init__(self, bus: Bus, command: Sequence[str], room_name: Callable[[str], str]) -> None:
        self._bus = bus
        self._command = command
        self._room_name = room_name
        self._rate: Rate[str] = Rate(_BURST, _PER_S)

    async def run(self) -> None:
        """Until cancelled, or the bus is closed."""
        while True:
            with self._bus.subscribe() as feed:
                async for event in feed:
                    if self._is_news(event):
                        assert isinstance(event, Message)
                        await self._call(event)
            # It has fallen behind, which only a flood brings about: from here on, then.
            await asyncio.sleep(1)

    def _is_news(self, event: Event) -> bool:
        if not isinstance(event, Message) or not event.mention:
            return False
        age_s = time.time() - datetime.fromisoformat(event.time).timestamp()
        now = asyncio.get_running_loop().time()
        return age_s < _OLD_S and self._rate.take(event.author, now) == 0

    async def _call(self, event: Message) -> None:
        environment = variables(event, self._room_name(event.room), os.environ)
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            _log.warning("notify.command does not start", extra={"why": str(error)})
            return
        try:
            async with asyncio.timeout(_COMMAND_S):
                await process.wait()
        except TimeoutError:
            _log.warning("notify.command took too long and was ended")
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


def variables(event: Message, room_name: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of the command: ours without secrets, and what there is to tell."""
    kept = {name: value for name, value in environment.items() if name not in _SECRET}
    return kept | {
        "P2PCHAT_MENTION_TEXT": printable(event.text, lines=True)[:_TEXT_MAX],
        "P2PCHAT_MENTION_NAME": printable(event.name),
        "P2PCHAT_MENTION_PEER": event.author,
        "P2PCHAT_MENTION_ROOM": event.room,
        "P2PCHAT_MENTION_ROOM_NAME": printable(room_name),
        "P2PCHAT_MENTION_ID": event.id,
    }
