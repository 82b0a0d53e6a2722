from p2pchat.core.password import PasswordExchange, password_key
from tests.harness.pair import random_from

PSK, T = b"p" * 32, b"t" * 32


def _psks(one: str, other: str, psk: bytes = PSK, transcript: bytes = T) -> bool:
    a = PasswordExchange("a", password_key(one), PSK, T, random_from(1))
    b = PasswordExchange("b", password_key(other), psk, transcript, random_from(2))
    mine, yours = a.psk(b.message), b.psk(a.message)
    assert mine is not None
    assert yours is not None
    assert PSK not in (mine, yours)
    return mine == yours


def test_the_psk_is_one_only_where_all_agrees() -> None:
    assert _psks("acid pelican", "acid pelican")
    assert not _psks("acid pelican", "acid Pelican")
    assert not _psks("x", "x", psk=bytes(32))
    assert not _psks("x", "x", transcript=bytes(32))


def test_a_password_is_one_however_its_letters_are_typed() -> None:
    assert password_key("Zu\u0308rich") == password_key("Z\u00fcrich")
    assert password_key("\uff41bc") == password_key("abc")
    assert password_key("a") != password_key("a ")


def test_a_malformed_message_is_no_psk() -> None:
    assert PasswordExchange("a", bytes(32), PSK, T, random_from(1)).psk(b"x") is None
