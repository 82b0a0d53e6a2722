import msgspec
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.bounds import LIFETIME_S_MAX
from p2pchat.core.entry import (
    DEVICE,
    MESSAGE,
    Entry,
    MessageBody,
    certificate_of,
    decode_body,
    entry_id,
    parse_header,
    signature_holds,
)
from tests.harness.pair import Journal


def _changed(entry: Entry, **fields: object) -> bytes:
    return msgspec.msgpack.encode(msgspec.structs.replace(entry.header, **fields))


def test_a_header_is_read_as_it_was_written(journals: tuple[Journal, Journal]) -> None:
    entry = journals[0].begin([])[0]
    assert parse_header(entry.raw) == entry.header
    assert entry_id(entry.raw) == entry.id
    assert signature_holds(entry)


def test_headers_out_of_bounds_are_none(journals: tuple[Journal, Journal]) -> None:
    entry = journals[0].begin([])[1]
    for fields in (
        {"version": 2},
        {"room": bytes(31)},
        {"device": bytes(33)},
        {"incarnation": bytes(7)},
        {"seq": -1},
        {"seq": 0},  # has a prev
        {"prev": b""},
        {"after": (bytes(32),) * 2},
        {"after": tuple(bytes([n]) * 32 for n in range(5))},
        {"after": (bytes([2]) * 32, bytes([1]) * 32)},
        {"after": (b"short",)},
        {"time": 0},
        {"time": (1 << 64) - 1},
        {"kind": -1},
        {"epoch": bytes(31)},
        {"length": 1 << 20},
        {"body_hash": b""},
    ):
        assert parse_header(_changed(entry, **fields)) is None, fields


@given(st.binary(max_size=600))
def test_arbitrary_bytes_are_no_header(raw: bytes) -> None:
    assert parse_header(raw) is None


@given(st.integers(0, 10), st.binary(max_size=200))
def test_arbitrary_bytes_are_a_body_of_its_kind_or_none(kind: int, plaintext: bytes) -> None:
    body = decode_body(kind, plaintext)
    assert body is None or isinstance(body, msgspec.Struct)


def test_unknown_kinds_have_no_body_here() -> None:
    assert decode_body(77, b"\x90") is None
    assert decode_body(DEVICE, b"\x90") is None
    assert decode_body(MESSAGE, msgspec.msgpack.encode(("hi", None))) == MessageBody("hi")


def test_a_lifetime_is_within_its_bounds_or_the_message_is_none() -> None:
    for lifetime_s, whole in ((1, True), (LIFETIME_S_MAX, True), (0, False), (-1, False)):
        body = decode_body(MESSAGE, msgspec.msgpack.encode(("hi", None, lifetime_s)))
        assert (body == MessageBody("hi", None, lifetime_s)) == whole
    assert decode_body(MESSAGE, msgspec.msgpack.encode(("hi", None, LIFETIME_S_MAX + 1))) is None


def test_the_signature_is_no_part_of_the_id(journals: tuple[Journal, Journal]) -> None:
    entry = journals[0].begin([])[0]
    other = msgspec.structs.replace(entry, signature=bytes(64))
    assert other.id == entry.id
    assert not signature_holds(other)
    assert not signature_holds(msgspec.structs.replace(entry, signature=None))


def test_a_certificate_is_believed_of_the_device_that_it_is_of_alone(
    journals: tuple[Journal, Journal],
) -> None:
    first = journals[0].begin([])[0]
    assert certificate_of(first.header, first.body) == journals[0].identity.certificate
    assert certificate_of(first.header, None) is None
    other = msgspec.msgpack.encode(journals[1].identity.certificate)
    assert certificate_of(first.header, other) is None
    forged = msgspec.structs.replace(journals[0].identity.certificate, person=bytes(32))
    assert certificate_of(first.header, msgspec.msgpack.encode(forged)) is None
