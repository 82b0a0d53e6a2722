import pytest

from signaling.address import mailbox_url


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("https://signal.example", "wss://signal.example/mailbox"),
        ("http://127.0.0.1:8080/", "ws://127.0.0.1:8080/mailbox"),
        ("wss://signal.example/mailbox", "wss://signal.example/mailbox"),
        ("https://example.org/p2p/", "wss://example.org/p2p/mailbox"),
        ("http://[::1]:8080", "ws://[::1]:8080/mailbox"),
    ],
)
def test_an_address_is_what_a_person_would_write(written: str, meant: str) -> None:
    assert mailbox_url(written) == meant
    assert mailbox_url(meant) == meant


@pytest.mark.parametrize(
    "written",
    ["", "signal.example", "ftp://a", "https://", "https://a:b@c", "https://a:99999", "http://a?b"],
)
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"mailbox|Port"):
        mailbox_url(written)
