"""An echo bot: says back what anybody says to it.

    python examples/echo_bot.py [HOME]

Prints an invite; whoever joins by it can talk to the bot, also after the bot was started again.
"""

import asyncio
import sys

import p2pchat
from p2pchat.events import Joined, Message

__all__: list[str] = []


async def main(home: str) -> None:
    async with p2pchat.Node.open(home, name="echo") as node:
        # From here on nothing is missed, also what arrives while we make the invite.
        with node.events() as events:
            print((await node.invite()).blob, flush=True)
            async for event in events:
                if isinstance(event, Joined):
                    print(f"joined by {event.name}", flush=True)
                elif isinstance(event, Message) and event.author != node.peer_id:
                    room = await node.room(event.room)
                    await room.send(f"you said: {event.text}", reply_to=event.id)


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "echo-home"))
    except KeyboardInterrupt:
        sys.exit(130)
