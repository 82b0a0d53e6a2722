"""The frames between the node and its worker."""

import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.files.commands import FRAME_MAX, Add, Command, Remove, frame, read_frame


@given(st.lists(st.binary(min_size=20, max_size=20), max_size=6), st.integers(1, 40))
def test_frames_come_out_whole_however_they_were_cut(hashes: list[bytes], step: int) -> None:
    stream = b"".join(frame(Remove(info_hash)) for info_hash in hashes)
    held, found = bytearray(), []
    for start in range(0, len(stream), step):
        held += stream[start : start + step]
        while (body := read_frame(held)) is not None:
            found.append(msgspec.msgpack.decode(body, type=Command))
    assert found == [Remove(info_hash) for info_hash in hashes]
    assert not held


def test_a_command_keeps_its_kind() -> None:
    body = read_frame(bytearray(frame(Add(b"h" * 20, "f", "t", "ws://", 7))))
    assert body is not None
    assert msgspec.msgpack.decode(body, type=Command) == Add(b"h" * 20, "f", "t", "ws://", 7)


def test_a_length_that_cannot_be_is_refused_before_its_bytes_come() -> None:
    with pytest.raises(ValueError, match="bytes"):
        read_frame(bytearray(struct.pack("!I", FRAME_MAX + 1)))
