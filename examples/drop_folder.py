"""A drop folder: fetches every share that friends put into a room.

    python examples/drop_folder.py HOME ROOM FOLDER

HOME is a profile that is a member of ROOM already (p2pchat join). Runs until Ctrl-C.
"""

import asyncio
import logging
import sys
from pathlib import Path

import p2pchat
from p2pchat.errors import Error
from p2pchat.events import Share, Transfer

__all__: list[str] = []


async def fetch(node: p2pchat.Node, magnet: str, folder: Path) -> None:
    try:
        async for event in node.get(magnet, dest=folder):
            if isinstance(event, Transfer) and event.state == "complete":
                print(event.path, flush=True)
    except Error as error:  # one bad share must not stop the others
        logging.warning("%s (%s)", error.message, error.hint)


async def main(home: str, reference: str, folder: Path) -> None:
    async with p2pchat.Node.open(home) as node, asyncio.TaskGroup() as fetching:
        room = await node.room(reference)
        with node.events() as events:
            async for event in events:
                if isinstance(event, Share) and event.room == room.id:
                    fetching.create_task(fetch(node, event.magnet, folder))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
    except KeyboardInterrupt:
        sys.exit(130)
