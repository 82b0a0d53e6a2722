"""Joins that wait are named by number, or by who made the invite."""

import os

import pytest

from p2pchat import errors
from p2pchat.core.invite import app_bytes
from p2pchat.node.waiting import find_row, waiting_row
from p2pchat.store.pursuits import Row
from signaling.invite import Invite


def row(number: int, name: str) -> Row:
    invite = Invite(bytes(32), os.urandom(16), 1_900_000_000, app_bytes(name))
    return Row(number, invite.id, invite.text(), None, 1_900_000_300.0, 1_800_000_000.0)


def test_a_row_says_whose_invite_it_is_and_until_when() -> None:
    shown = waiting_row(row(3, "Ann"), "nobody is there")
    assert (shown.number, shown.name, shown.text) == (3, "Ann", "nobody is there")
    assert shown.expires.startswith("2030-03-17")
    assert shown.time < shown.expires


def test_a_join_is_found_by_number_or_name_if_that_is_one() -> None:
    rows = [row(1, "Ann"), row(2, "Bob"), row(4, "Bob"), row(5, "1")]
    assert find_row(rows, " 2 ").number == 2
    assert find_row(rows, "@Ann").number == 1
    # A number is one, whoever is called so.
    assert find_row(rows, "1").number == 1
    for unknown in ("Bob", "Eve", "9", ""):
        with pytest.raises(errors.BadInput) as caught:
            find_row(rows, unknown)
        assert caught.value.code == "join-unknown"
