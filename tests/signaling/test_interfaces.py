import socket
from collections.abc import Sequence
from ipaddress import IPv4Interface, IPv6Interface

import ifaddr
import pytest

from signaling.carriers import interfaces
from signaling.carriers.interfaces import (
    Interface,
    host_of,
    interfaces_of,
    multicast_of,
    reachable,
    socket_address,
)

LOOPBACK = IPv4Interface("127.0.0.1/8")
HOME = IPv4Interface("192.168.1.20/24")
CAMPUS = IPv4Interface("128.30.5.6/16")
LINK = IPv6Interface("fe80::1%3/64")
ULA = IPv6Interface("fd00:1::5/64")
GLOBAL = IPv6Interface("2001:67c:1::5/64")


@pytest.mark.parametrize(
    ("own", "address", "allowed"),
    [
        ([HOME, LOOPBACK], "192.168.1.99", True),
        ([HOME, LOOPBACK], "10.9.8.7", True),
        ([HOME, LOOPBACK], "127.0.0.1", True),
        ([HOME], "127.0.0.1", False),
        ([HOME, LOOPBACK], "8.8.8.8", False),
        ([HOME, LOOPBACK], "128.30.99.1", False),
        ([CAMPUS, LOOPBACK], "128.30.99.1", True),
        ([HOME, LOOPBACK], "224.0.0.1", False),
        ([HOME, LOOPBACK], "0.0.0.0", False),
        ([LOOPBACK], "192.168.1.1", False),
        ([], "127.0.0.1", False),
        ([LINK], "fe80::2%3", True),
        ([LINK], "fe80::2%4", False),
        ([LINK], "fe80::2", False),
        ([HOME], "fe80::2%3", False),
        ([LINK, ULA], "fd00:2::1", True),
        ([HOME], "fd00:2::1", False),
        ([LINK, GLOBAL], "2001:67c:1::6", True),
        ([LINK, GLOBAL], "2001:67c:2::6", False),
        ([LINK, HOME], "::ffff:192.168.1.9", False),
        ([LINK, HOME], "::1", False),
        ([LINK], "ff02::fb", False),
        ([LINK], "::", False),
        ([LOOPBACK], "fe80::2%3", False),
        ([HOME], "printer.local", False),
    ],
)
def test_an_announcement_cannot_send_us_to_the_internet(
    own: Sequence[Interface], address: str, allowed: bool
) -> None:
    assert reachable(own, address) is allowed


def machine(monkeypatch: pytest.MonkeyPatch, *adapters: ifaddr.Adapter) -> None:
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: list(adapters))
    monkeypatch.setattr(interfaces, "_ready", lambda own: own != IPv6Interface("fd00::bad/64"))


def adapter(name: str, *ips: ifaddr.IP, index: int = 1) -> ifaddr.Adapter:
    return ifaddr.Adapter(name, name, list(ips), index=index)


def test_without_a_name_loopback_comes_last_but_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, adapter("eth0", ifaddr.IP("192.168.1.20", 24, "eth0")))
    assert interfaces_of([]) == [HOME, LOOPBACK]
    assert interfaces_of(["eth0"]) == [HOME]
    assert interfaces_of(["lo"]) == []


def test_several_interfaces_of_both_kinds_are_taken_with_their_scopes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine(
        monkeypatch,
        adapter("lo", ifaddr.IP("127.0.0.1", 8, "lo"), ifaddr.IP(("::1", 0, 0), 128, "lo")),
        adapter("eth0", ifaddr.IP(("fe80::1", 0, 3), 64, "eth0"), index=3),
        adapter(
            "wlan0",
            ifaddr.IP("192.168.1.20", 24, "wlan0"),
            ifaddr.IP(("fd00:1::5", 0, 0), 64, "wlan0"),
            ifaddr.IP(("fd00::bad", 0, 0), 64, "wlan0"),
        ),
        adapter("veth12", ifaddr.IP(("fe80::9", 0, 9), 64, "veth12")),
    )
    assert interfaces_of([]) == [HOME, LINK, ULA, LOOPBACK]
    assert interfaces_of(["lo"]) == [LOOPBACK]
    assert interfaces_of(["eth0"]) == [LINK]


def test_each_link_is_spoken_on_once() -> None:
    second = IPv6Interface("fe80::7%3/64")
    assert multicast_of([HOME, LINK, second, ULA, LOOPBACK]) == [
        "192.168.1.20", "fe80::1", "127.0.0.1",
    ]  # fmt: skip


def test_a_scope_goes_with_its_address() -> None:
    assert host_of(LINK) == "fe80::1%3"
    assert host_of(HOME) == "192.168.1.20"
    assert socket_address("fe80::2%3", 9)[4] == ("fe80::2", 9, 0, 3)
    assert socket_address("10.0.0.1", 9)[4] == ("10.0.0.1", 9)
    with pytest.raises(ValueError, match="printer"):
        socket_address("printer.local", 9)


def test_an_address_that_nobody_can_bind_is_not_ready() -> None:
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        pytest.skip("no IPv6 here")
    assert interfaces._ready(IPv6Interface("::1/128"))
    assert not interfaces._ready(IPv6Interface("2001:db8::1/64"))
