from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.invite import app_bytes, inviter_name


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


def test_a_name_is_what_it_was() -> None:
    assert inviter_name(app_bytes("Ann")) == "Ann"
    assert inviter_name(b"\x02\x00Ann") == "somebody"
