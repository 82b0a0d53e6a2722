import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.brief import Brief
from p2pchat.core.chain import Branch, ForkProof
from p2pchat.core.wire import (
    Answer,
    BadFrame,
    Bodies,
    Body,
    Bye,
    Fork,
    Frame,
    Have,
    Heads,
    Introduce,
    Introduced,
    Lacking,
    Level,
    Near,
    Presence,
    Row,
    Run,
    Seen,
    SeenRow,
    Signal,
    Summary,
    Swarm,
    Typing,
    Want,
    decode,
    encode,
)

_tag = st.binary(min_size=16, max_size=16)
_id = st.binary(min_size=32, max_size=32)
_seq = st.integers(0, (1 << 63) - 1)
_rows = st.lists(st.builds(Row, _tag, _seq, _id), max_size=5).map(tuple)
_branch = st.builds(
    Branch,
    st.lists(st.binary(max_size=50), min_size=1, max_size=3).map(tuple),
    st.binary(min_size=64, max_size=64),
)
_ids = st.lists(_id, max_size=4).map(tuple)
_brief = st.builds(Brief, _seq, st.integers(0, 1 << 31), _ids, st.none() | _id)
frames = st.one_of(
    st.builds(Summary, _tag, _id, st.integers(0, 1 << 62)),
    st.builds(Heads, _tag, _rows, st.booleans()),
    st.tuples(_tag, _tag, _seq, _seq).map(lambda f: Want(f[0], f[1], *sorted(f[2:]))),
    st.integers(1, 4).flatmap(
        lambda n: st.builds(
            Run,
            _tag,
            st.tuples(st.binary(max_size=50), *[st.binary(max_size=50) | _brief] * (n - 1)),
            st.tuples(*[st.none() | st.binary(max_size=50)] * n),
            st.binary(min_size=64, max_size=64),
            st.booleans(),
        )
    ),
    st.builds(Have, _tag, _rows),
    st.builds(Level, _tag, _id),
    st.builds(Lacking, _tag, st.lists(_id, min_size=1, max_size=5).map(tuple)),
    st.builds(
        Bodies, _tag, st.lists(st.builds(Body, _id, st.binary(max_size=50)), max_size=5).map(tuple)
    ),
    st.builds(Fork, _tag, st.builds(ForkProof, _branch, _branch)),
    st.builds(
        Signal,
        _tag,
        st.sampled_from(["offer", "answer"]),
        st.binary(min_size=20, max_size=20),
        st.text(max_size=50),
    ),
    st.builds(Near, st.lists(_id, max_size=5).map(tuple)),
    st.builds(Introduce, _id, _tag, st.binary(max_size=1_000)),
    st.builds(Introduced, _id, _tag, st.binary(max_size=1_000)),
    st.builds(Answer, _tag, st.none() | st.binary(max_size=1_000)),
    st.builds(Swarm, _tag, st.integers(0, 65_535), st.booleans(), st.booleans()),
    st.builds(Presence, st.integers(0, 255)),
    st.builds(Typing, _tag, st.booleans()),
    st.builds(Seen, _tag, st.lists(st.builds(SeenRow, _tag, _seq), max_size=5).map(tuple)),
    st.builds(Bye, st.text(max_size=16)),
)


@given(frames)
def test_every_frame_is_read_as_it_was_written(frame: Frame) -> None:
    assert decode(encode(frame)) == frame


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_frame_or_the_peers_fault(data: bytes) -> None:
    with contextlib.suppress(BadFrame):
        decode(data)


def test_types_of_the_future_are_skipped() -> None:
    assert decode(msgspec.msgpack.encode([99, "anything", 5])) is None
    assert decode(msgspec.msgpack.encode([46, bytes(16)])) is None
    assert decode(msgspec.msgpack.encode([65_535])) is None


@pytest.mark.parametrize("type_", [0, 15, 65_536, -1, True, 99.0, "99", None])
def test_what_no_frame_begins_with_is_the_peers_fault(type_: object) -> None:
    with pytest.raises(BadFrame):
        decode(msgspec.msgpack.encode([type_, "anything"]))


def test_a_frame_may_grow_but_not_what_stands_in_it() -> None:
    told = [17, bytes(16), [[bytes(16), 5, bytes(32)]], False]
    frame = decode(msgspec.msgpack.encode(told))
    assert frame is not None
    assert decode(msgspec.msgpack.encode([*told, "more", [None]])) == frame
    told[2][0].append("more")  # type: ignore[index]
    with pytest.raises(BadFrame):
        decode(msgspec.msgpack.encode(told))


@pytest.mark.parametrize(
    "values",
    [
        [16, bytes(15), bytes(32), 0],
        [16, bytes(16), bytes(32), -1],
        [17, bytes(16), [[bytes(16), 0, bytes(31)]], False],
        [18, bytes(16), bytes(16), 5, 4],
        [19, bytes(16), [], [], bytes(64), False],
        [19, bytes(16), [b"a"], [b"a", b"b"], bytes(64), False],
        [19, bytes(16), [b"a"], [b"a"], bytes(63), False],
        [19, bytes(16), [[1, 3, [], None]], [b"a"], bytes(64), False],
        [19, bytes(16), [b"a", [1, 3, []]], [b"a", b"b"], bytes(64), False],
        [23, bytes(16), [[[*[bytes(32)] * 5, "Ann"], b"header", b"body", bytes(63)]]],
        [28, bytes(16), []],
        [28, bytes(16), [bytes(32)] * 65],
        [28, bytes(16), [bytes(31)]],
        [29, bytes(16), [[bytes(32)]]],
        [29, bytes(16), [[bytes(32), bytes(70_000)]]],
        [32, bytes(16), "neither", bytes(20), "sdp"],
        [32, bytes(16), "offer", bytes(21), "sdp"],
        [32, bytes(16), "offer", bytes(20), 8_193 * "x"],
        [33, bytes(16), 65_536, True, True],
        [40, [bytes(31)]],
        [40, [bytes(32)] * 65],
        [41, bytes(31), bytes(16), b""],
        [41, bytes(32), bytes(15), b""],
        [42, bytes(32), bytes(16), bytes(1_001)],
        [43, bytes(16), bytes(1_001)],
        [43, bytes(16), "text"],
        [34, 256],
        [34, -1],
        [35, bytes(15), True],
        [36, bytes(16), [[bytes(15), 1]]],
        [36, bytes(16), [[bytes(16), 1 << 63]]],
        [36, bytes(16), [[bytes(16), 1]] * 1_025],
        [47, 65 * "x"],
        [3],
        "text",
    ],
)
def test_malformed_frames_are_the_peers_fault(values: object) -> None:
    with pytest.raises(BadFrame):
        decode(msgspec.msgpack.encode(values))


def test_frames_above_the_bound_are_not_looked_at() -> None:
    with pytest.raises(BadFrame):
        decode(bytes(262_145))
