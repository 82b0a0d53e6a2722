import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling import blob
from signaling.blob import Kind
from signaling.errors import SignalingError

TEXT = blob.encode(Kind.INVITE, bytes(range(120)))
CODES = {"blob-foreign", "blob-damaged", "blob-newer"}


def code_of(text: str) -> str:
    with pytest.raises(SignalingError) as caught:
        blob.decode(text)
    return caught.value.code


def raw(data: bytes) -> str:
    """A blob of any bytes with a right checksum, made by a second encoder."""
    data += hashlib.sha256(b"p2pchat/1/blob" + data).digest()[:4]
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[rest] + digits
    return "p2p1" + digits


@given(st.sampled_from(Kind), st.binary(max_size=1_100))
def test_a_blob_is_read_as_it_was_written(kind: Kind, payload: bytes) -> None:
    text = blob.encode(kind, payload)
    assert text.isalnum()
    assert text.isascii()
    assert text == raw(bytes((1, kind)) + payload)
    assert blob.decode(text) == (kind, payload)


@given(st.text(max_size=400) | st.text(max_size=400).map(lambda text: "p2p1" + text))
def test_arbitrary_text_is_refused_with_a_code(text: str) -> None:
    assert code_of(text) in CODES


@given(st.integers(4, len(TEXT) - 1), st.sampled_from("123ABCxyz"))
def test_one_wrong_character_is_damage(at: int, character: str) -> None:
    changed = TEXT[:at] + character + TEXT[at + 1 :]
    if changed != TEXT:
        assert code_of(changed) == "blob-damaged"


@given(st.integers(4, len(TEXT) - 1))
def test_a_blob_cut_short_is_damage(length: int) -> None:
    assert code_of(TEXT[:length]) == "blob-damaged"


@pytest.mark.parametrize(
    "around",
    [
        "  {}\n",
        '"{}"',
        "“{}”",
        "`{}`",
        "<{}>",
        "«{}»",
        "\ufeff{}\u200b",
    ],
)
def test_space_and_quotes_around_a_blob_do_not_matter(around: str) -> None:
    assert blob.decode(around.format(TEXT)) == (Kind.INVITE, bytes(range(120)))


def test_a_blob_wrapped_and_quoted_by_mail_is_read() -> None:
    lines = [TEXT[at : at + 40] for at in range(0, len(TEXT), 40)]
    assert blob.decode("> " + "\r\n> ".join(lines))[1] == bytes(range(120))


def test_digits_that_say_nothing_are_damage() -> None:
    assert code_of(TEXT[:4] + "1" + TEXT[4:]) == "blob-damaged"


@pytest.mark.parametrize("text", ["", "hello", "magnet:?xt=urn:btih:00", TEXT[1:], "x" * 5_000])
def test_what_is_no_blob_is_foreign(text: str) -> None:
    assert code_of(text) == "blob-foreign"


def test_a_huge_text_is_not_looked_at() -> None:
    assert code_of("p2p1" + "z" * 10_000_000) == "blob-foreign"


def test_only_a_right_checksum_makes_a_blob_newer() -> None:
    assert code_of(raw(b"\x02\x01rest")) == "blob-newer"
    assert code_of(raw(b"\x01\x09rest")) == "blob-newer"
    assert code_of(raw(b"\x02\x01rest")[:-1]) == "blob-damaged"


def test_errors_say_what_to_do() -> None:
    for text in ("hello", TEXT[:-1], raw(b"\x02\x01")):
        with pytest.raises(SignalingError) as caught:
            blob.decode(text)
        assert caught.value.message
        assert caught.value.hint
        assert str(caught.value) == caught.value.message
