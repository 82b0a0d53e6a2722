"""Our magnets: round trip, what other programs do to them, and what is refused."""

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.errors import BadInput
from p2pchat.files.magnet import Magnet

_ONE = Magnet(bytes(range(20)), "two words & more", 70_000, bytes(range(32)))


@given(
    st.binary(min_size=20, max_size=20),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
    st.integers(1, (1 << 50) - 1),
    st.binary(min_size=32, max_size=32),
)
def test_every_magnet_comes_back_as_it_was(
    info_hash: bytes, name: str, size: int, key: bytes
) -> None:
    magnet = Magnet(info_hash, name, size, key)
    assert Magnet.parse(magnet.text()) == magnet


def test_wrapped_and_quoted_magnets_are_taken() -> None:
    text = _ONE.text()
    assert Magnet.parse(f'  "{text[:50]}\n  {text[50:]}"\n') == _ONE


def test_a_base32_info_hash_is_taken_in_either_case() -> None:
    hashed = base64.b32encode(_ONE.info_hash).decode()
    for text in (hashed, hashed.lower()):
        assert Magnet.parse(_ONE.text().replace(_ONE.info_hash.hex(), text)) == _ONE


@given(st.text(max_size=200))
def test_any_text_is_a_magnet_or_bad_input(text: str) -> None:
    for candidate in (text, "magnet:?" + text, _ONE.text() + text):
        with suppress(BadInput):
            assert len(Magnet.parse(candidate).key) == 32


@pytest.mark.parametrize("cut", [10, 40, 70, -1])
def test_a_cut_magnet_is_refused(cut: int) -> None:
    with pytest.raises(BadInput) as raised:
        Magnet.parse(_ONE.text()[:cut])
    assert raised.value.code == "magnet-malformed"


@pytest.mark.parametrize("size", ["0", "-1", "1_0", "٣", str(1 << 50), "9" * 3_000, ""])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    with pytest.raises(BadInput):
        Magnet.parse(_ONE.text().replace("xl=70000", f"xl={size}"))


def test_the_key_does_not_show_in_logs() -> None:
    assert repr(_ONE.key)[2:-1] not in repr(_ONE)
