"""Routes of history: level with others, out to a file, in from one."""

from typing import TYPE_CHECKING

from p2pchat import errors
from p2pchat.api.routes.asking import Request, Seconds, Stream, absolute

if TYPE_CHECKING:
    # Commands import this for its requests, and most of them need no node of their own.
    from p2pchat.node.node import Node

__all__ = [
    "ExportRequest",
    "ImportRequest",
    "SyncRequest",
    "export",
    "import_",
    "sync",
]


class SyncRequest(Request, frozen=True, kw_only=True):
    room: str | None = None
    wait: bool = False
    timeout: Seconds = 30.0


class ExportRequest(Request, frozen=True, kw_only=True):
    """`passphrase`: the whole profile, encrypted; else JSON Lines of a room, or of all.

    `path` may be a named pipe that somebody reads.
    """

    path: str
    room: str | None = None
    passphrase: str | None = None


class ImportRequest(Request, frozen=True, kw_only=True):
    path: str
    passphrase: str | None = None


async def sync(node: "Node", request: SyncRequest) -> Stream:
    async for event in node.sync(request.room, wait=request.wait, timeout=request.timeout):
        yield event


async def export(node: "Node", request: ExportRequest) -> Stream:
    yield await node.export(
        absolute(request.path), room=request.room, passphrase=request.passphrase
    )


async def import_(node: "Node", request: ImportRequest) -> Stream:
    def passphrase() -> str:
        if request.passphrase is None:
            raise errors.Usage(
                "passphrase-missing",
                "the archive is under a passphrase",
                "run it in a terminal, or give P2PCHAT_ARCHIVE_PASSPHRASE or "
                "--archive-passphrase-file FILE",
            )
        return request.passphrase

    yield await node.import_(absolute(request.path), passphrase=passphrase)
