"""Headers on the wire, without what whoever has the entry before and the body knows already.

In a run each header repeats who writes where, and names by hash what stands beside it: three
quarters of its bytes, and two fifths of all that a resync of short messages would send.
"""

from collections.abc import Iterator, Sequence

import msgspec

from p2pchat.core.bounds import RUN_FULL_BYTES_MAX
from p2pchat.core.entry import Entry, Header, body_hash, entry_id, header_holds, parse_header

__all__ = ["Brief", "in_brief", "in_full"]

_AROUND = 8
"""Bytes around a header and a body in a frame."""

_encode = msgspec.msgpack.Encoder().encode


class Brief(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is new in the header of the next entry of a chain. `epoch` None: as the one before."""

    time: int
    kind: int
    after: tuple[bytes, ...]
    epoch: bytes | None


def in_brief(entries: Sequence[Entry]) -> Iterator[bytes | Brief]:
    """The headers of entries of one chain that follow each other, each as short as can be.

    The first stands in full, and so does one that could not be made again byte for byte: its body
    is missing, or it was written by a program that adds to headers, or encodes them its own way.
    """
    before: Header | None = None
    for entry in entries:
        header = entry.header
        if before is None or entry.body is None or _encode(header) != entry.raw:
            yield entry.raw
        else:
            epoch = None if header.epoch == before.epoch else header.epoch
            yield Brief(header.time, header.kind, header.after, epoch)
        before = header


def in_full(
    headers: Sequence[bytes | Brief], bodies: Sequence[bytes | None]
) -> list[tuple[bytes, Header, bytes]] | None:
    """The headers, their bytes before them and their entries' ids behind them.

    None if one breaks a rule that needs no other entry to see, or cannot be made, or if all are
    more than anybody could serve again. Of those that were brief the body fits.
    """
    size = 0
    found: list[tuple[bytes, Header, bytes]] = []
    header: Header | None = None
    id_ = b""
    for given, body in zip(headers, bodies, strict=True):
        if isinstance(given, bytes):
            header = parse_header(given)
        else:
            header = _following(header, id_, given, body)
        if header is None:
            return None
        raw = given if isinstance(given, bytes) else _encode(header)
        # A body that is missing may come later, and then has to be served as well.
        size += len(raw) + header.length + _AROUND
        if size > RUN_FULL_BYTES_MAX:
            return None
        id_ = entry_id(raw)
        found.append((raw, header, id_))
    return found


def _following(
    before: Header | None, prev: bytes, brief: Brief, body: bytes | None
) -> Header | None:
    if before is None or body is None:
        return None
    header = Header(
        before.version,
        before.room,
        before.device,
        before.incarnation,
        before.seq + 1,
        prev,
        brief.after,
        brief.time,
        brief.kind,
        before.epoch if brief.epoch is None else brief.epoch,
        len(body),
        body_hash(body),
    )
    return header if header_holds(header) else None
