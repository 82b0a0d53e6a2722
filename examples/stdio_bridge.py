"""A bridge between a room and this process's stdin and stdout, one message a line.

    tail -f /var/log/syslog | python examples/stdio_bridge.py HOME @ann
    python examples/stdio_bridge.py HOME crew | some-program

HOME is a profile that is a member of the room already (p2pchat join). Ends with stdin.
"""

import asyncio
import sys

import p2pchat
from p2pchat.events import Message
from p2pchat.text import printable

__all__: list[str] = []


async def outward(node: p2pchat.Node, room_id: str) -> None:
    with node.events() as events:
        async for event in events:
            if (
                isinstance(event, Message)
                and event.room == room_id
                and event.author != node.peer_id
            ):
                # What peers write may hold terminal escapes; stdout may be a terminal.
                print(f"{printable(event.name)}: {printable(event.text)}", flush=True)


async def main(home: str, reference: str) -> None:
    async with p2pchat.Node.open(home) as node, asyncio.TaskGroup() as tasks:
        room = await node.room(reference)
        listening = tasks.create_task(outward(node, room.id))
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line.strip():
                await room.send(line.rstrip("\n"))
        listening.cancel()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        asyncio.run(main(sys.argv[1], sys.argv[2]))
    except KeyboardInterrupt:
        sys.exit(130)
