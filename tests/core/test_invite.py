import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.invite import MAILBOX_BYTES_MAX, app_bytes, inviter_mailbox, inviter_name


@given(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=60))
def test_a_name_travels_cut_at_a_whole_character(name: str) -> None:
    app = app_bytes(name)
    assert len(app) <= 34
    assert app[2:].decode()


@given(st.binary(max_size=255))
def test_arbitrary_bytes_give_a_name_that_is_safe_to_print(app: bytes) -> None:
    name = inviter_name(app)
    assert name
    assert "\x1b" not in name
    assert inviter_mailbox(app).isprintable()


def test_a_name_is_what_it_was() -> None:
    assert inviter_name(app_bytes("Ann")) == "Ann"
    assert inviter_name(b"\x02\x00Ann") == "somebody"


@pytest.mark.parametrize(
    "mailbox", ["wss://signal.example/mailbox", "ws://127.0.0.1:8080/mailbox", "wss://a/b/mailbox"]
)
def test_an_invite_tells_where_its_maker_looks_for_letters(mailbox: str) -> None:
    app = app_bytes("Ann", mailbox)
    assert inviter_mailbox(app) == mailbox
    assert inviter_name(app) == "Ann"
    assert inviter_mailbox(app_bytes("Ann")) == ""


def test_a_mailbox_that_is_too_long_is_left_out_and_one_that_fits_leaves_room() -> None:
    longest = "wss://" + "a" * MAILBOX_BYTES_MAX + "/mailbox"
    assert inviter_mailbox(app_bytes("n" * 40, longest)) == longest
    assert len(app_bytes("n" * 40, longest)) == 3 + 32 + MAILBOX_BYTES_MAX
    assert app_bytes("Ann", longest.replace("a/", "aa/")) == app_bytes("Ann")


@pytest.mark.parametrize("app", [b"\x01\x01", b"\x01\x01\x09abc", b"\x01\x01\x31" + b"a" * 49])
def test_a_mailbox_cut_short_is_none(app: bytes) -> None:
    assert inviter_mailbox(app) == ""
    assert inviter_name(app) == "somebody"
