import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.identity import Identity, derive, direct_room, id_range, id_text, mac, signed_by
from tests.harness.pair import random_from

IDENTITY_POINT = bytes([1]) + bytes(31)


def test_a_certificate_of_ones_own_holds(ann: Identity) -> None:
    assert ann.certificate.holds()
    assert ann.renamed("Anna").certificate.holds()


def test_a_certificate_with_any_part_of_another_does_not_hold(ann: Identity, bob: Identity) -> None:
    for field in ("person", "device", "device_signature", "prekey", "prekey_signature"):
        forged = msgspec.structs.replace(
            ann.certificate, **{field: getattr(bob.certificate, field)}
        )
        assert not forged.holds(), field


def test_small_order_keys_are_refused(ann: Identity) -> None:
    # R = identity, S = 0 is a signature that OpenSSL accepts for this key.
    assert not signed_by(IDENTITY_POINT, b"anything", IDENTITY_POINT + bytes(32))
    small = msgspec.structs.replace(ann.certificate, prekey=bytes(32))
    assert not small.holds()


@given(st.binary(), st.binary())
def test_arbitrary_bytes_are_no_signature(key: bytes, signature: bytes) -> None:
    assert not signed_by(key, b"message", signature)


def test_derivation_is_rfc_5869() -> None:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    reference = HKDF(SHA256(), 32, salt=None, info=b"info").derive(b"key")
    assert derive(b"key", b"info") == reference


def test_a_room_of_two_is_the_same_from_both_ends(ann: Identity, bob: Identity) -> None:
    assert direct_room(ann.person, bob.person) == direct_room(bob.person, ann.person)


def test_ids_are_52_characters() -> None:
    assert len(id_text(bytes(32))) == 52
    assert len(mac(b"k", b"a", b"b")) == 32


def test_identities_repeat_with_their_randomness_and_hide_their_keys() -> None:
    one, other = (Identity.create("Ann", random_from(1)) for _ in range(2))
    assert one == other
    assert one.person_seed.hex() not in repr(one)


@given(
    st.binary(min_size=32, max_size=32).filter(lambda id_: id_ != b"\xff" * 32),
    st.binary(min_size=32, max_size=32),
    st.integers(1, 52),
)
def test_the_ids_that_begin_with_a_text(one: bytes, other: bytes, length: int) -> None:
    prefix = id_text(one)[:length]
    bounds = id_range(prefix)
    assert bounds is not None
    first, end = bounds
    assert first <= one < end
    assert (first <= other < end) == id_text(other).startswith(prefix) or other == b"\xff" * 32


@pytest.mark.parametrize("prefix", ["", "1", "abc!", "ABC", "a" * 53, "é"])
def test_what_no_id_begins_with(prefix: str) -> None:
    assert id_range(prefix) is None


def test_an_identity_holds_only_with_its_own_keys() -> None:
    random = random_from(7)
    one, other = Identity.create("Ann", random), Identity.create("Bob", random)
    assert one.holds()
    assert one.renamed("Anna").holds()
    for name in ("person_seed", "device_seed", "prekey_secret", "certificate"):
        assert not msgspec.structs.replace(one, **{name: getattr(other, name)}).holds()
    for name in ("person_seed", "device_seed", "prekey_secret"):
        assert not msgspec.structs.replace(one, **{name: b"short"}).holds()
    broken = msgspec.structs.replace(one.certificate, device_signature=bytes(64))
    assert not msgspec.structs.replace(one, certificate=broken).holds()
