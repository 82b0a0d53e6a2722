"""What the node and the process with libtorrent say to each other.

Commands go in, reports come out, each as MessagePack behind its length in four bytes. Both ends are
one program, yet a length is bounded: a stray print of some library must not be taken for one.
"""

import struct

import msgspec

__all__ = ["FRAME_MAX", "Add", "Command", "Connect", "DhtFound", "DhtGet", "DhtJoin", "DhtNodes",
           "DhtPut", "DhtStored", "Made", "Make", "PeerRow", "Ready", "Reannounce", "Recheck",
           "Remove", "Report", "State", "Torrent", "frame", "read_frame"]  # fmt: skip

FRAME_MAX = 16 * 1024 * 1024
"""A state of 10,000 torrents with 50 peers each would fit."""

_encode = msgspec.msgpack.Encoder().encode


class Add(msgspec.Struct, frozen=True, tag="add"):
    """Take part in a torrent. `torrent`: its .torrent file, made from the metadata if missing.

    `size`: of the one file in it, in bytes; 0 if not known.
    """

    info_hash: bytes
    folder: str
    torrent: str
    tracker: str
    size: int = 0


class Make(msgspec.Struct, frozen=True, tag="make"):
    """Hash `folder`/sealed into the .torrent file `torrent`."""

    request: int
    folder: str
    torrent: str


class Connect(msgspec.Struct, frozen=True, tag="connect"):
    info_hash: bytes
    address: str
    port: int


class Reannounce(msgspec.Struct, frozen=True, tag="reannounce"):
    info_hash: bytes


class Recheck(msgspec.Struct, frozen=True, tag="recheck"):
    info_hash: bytes


class Remove(msgspec.Struct, frozen=True, tag="remove"):
    info_hash: bytes


class DhtJoin(msgspec.Struct, frozen=True, tag="dht-join"):
    """Take part in the DHT. `listen`: addresses or interfaces, each with port 0.

    `state`: a file for our port and nodes met. `local`: all nodes share a machine.
    """

    listen: str
    bootstrap: list[tuple[str, int]]
    state: str
    local: bool


class DhtGet(msgspec.Struct, frozen=True, tag="dht-get"):
    """Find the mutable item of a public key with a seq above `newer_than`."""

    request: int
    key: bytes
    newer_than: int


class DhtPut(msgspec.Struct, frozen=True, tag="dht-put"):
    """Replace the mutable item of a key. `private`: expanded, 64 bytes."""

    request: int
    private: bytes
    key: bytes
    value: bytes


Command = Add | Make | Connect | Reannounce | Recheck | Remove | DhtJoin | DhtGet | DhtPut


class PeerRow(msgspec.Struct, frozen=True):
    """`transport`: webrtc, tcp, utp; `unknown` if libtorrent's word on it was lost."""

    address: str
    transport: str
    port: int = 0


class Torrent(msgspec.Struct, frozen=True):
    """How one torrent stands. Bytes, bytes/s. `state`: metadata, checking, downloading, seeding."""

    info_hash: bytes
    state: str
    done: int
    total: int
    rate: int
    peers: list[PeerRow]
    error: str


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    port: int


class Made(msgspec.Struct, frozen=True, tag="made"):
    request: int
    info_hash: bytes
    error: str


class State(msgspec.Struct, frozen=True, tag="state"):
    """The torrents that have changed."""

    torrents: list[Torrent]


class DhtFound(msgspec.Struct, frozen=True, tag="dht-found"):
    """`seq` -1: nothing was found. A value that is no string of bytes is told as an empty one."""

    request: int
    value: bytes
    seq: int


class DhtStored(msgspec.Struct, frozen=True, tag="dht-stored"):
    """How many nodes took it."""

    request: int
    nodes: int


class DhtNodes(msgspec.Struct, frozen=True, tag="dht-nodes"):
    """How many other nodes are known, whenever that changes."""

    count: int


Report = Ready | Made | State | DhtFound | DhtStored | DhtNodes


def frame(message: Command | Report) -> bytes:
    data = _encode(message)
    return struct.pack("!I", len(data)) + data


def read_frame(held: bytearray) -> bytes | None:
    """Take one whole frame off the front of what was read, if there is one.

    Raises ValueError: the other end says what cannot be a frame.
    """
    if len(held) < 4:
        return None
    (length,) = struct.unpack_from("!I", held)
    if length > FRAME_MAX:
        raise ValueError(f"a frame of {length} bytes")
    if len(held) < 4 + length:
        return None
    body = bytes(held[4 : 4 + length])
    del held[: 4 + length]
    return body
