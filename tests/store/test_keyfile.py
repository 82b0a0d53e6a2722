"""A passphrase keeps the database's key, and can be set, changed and removed."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.errors import Busy, Error, Refused
from p2pchat.store import keyfile

_KEY = bytes(range(32))


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfile, "_OPS", 1)
    monkeypatch.setattr(keyfile, "_MEM", 8_192)


def test_a_bare_key_needs_nothing() -> None:
    data = keyfile.plain(_KEY)
    assert not keyfile.is_locked(data)
    assert keyfile.unlock(data, lambda: pytest.fail("asked for nothing")) == _KEY


def test_a_locked_key_opens_with_its_passphrase_alone() -> None:
    data = keyfile.lock(_KEY, "caf\u00e9", os.urandom)
    assert keyfile.is_locked(data)
    assert _KEY.hex().encode() not in data
    # As another keyboard writes it: e and an accent of its own.
    assert keyfile.unlock(data, lambda: "cafe\u0301") == _KEY
    with pytest.raises(Refused) as refused:
        keyfile.unlock(data, lambda: "cafe")
    assert refused.value.code == "passphrase-wrong"
    with pytest.raises(Busy) as busy:
        keyfile.unlock(data, lambda: None)
    assert busy.value.code == "home-locked"


def test_two_locks_of_one_key_have_nothing_in_common() -> None:
    one, other = (json.loads(keyfile.lock(_KEY, "x", os.urandom)) for _ in range(2))
    assert one["salt"] != other["salt"]
    assert one["box"] != other["box"]


def test_a_key_file_of_a_newer_version() -> None:
    with pytest.raises(Error) as raised:
        keyfile.unlock(b'{"version": 2}', lambda: None)
    assert raised.value.code == "home-newer"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("opslimit", 10_000),
        ("memlimit", 1 << 40),
        ("opslimit", "1"),
        ("salt", "00"),
        ("box", "00"),
        ("protection", "rot13"),
    ],
)
def test_a_damaged_key_file_costs_nothing(field: str, value: object) -> None:
    fields = json.loads(keyfile.lock(_KEY, "x", os.urandom)) | {field: value}
    with pytest.raises(ValueError, match=r"."):
        keyfile.unlock(json.dumps(fields).encode(), lambda: "x")


@given(st.binary() | st.recursive(st.none() | st.integers(), st.lists).map(json.dumps))
def test_what_is_no_key_file_is_refused(data: bytes | str) -> None:
    with pytest.raises(ValueError, match=r"."):
        keyfile.unlock(data.encode() if isinstance(data, str) else data, lambda: "x")
