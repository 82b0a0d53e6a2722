"""The LAN as it changes: IPv6 alone, two networks, new addresses, friends who come back."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.homes import Home
from tests.harness.lab import Host, Lab, needs_lab

_SLACK_S = 20.0
"""For machines under load: what is expected is two seconds, and after a dead link ten more."""


def ip(host: Host, *arguments: str) -> None:
    subprocess.run(["ip", "-n", host.namespace, *arguments], check=True, timeout=10)


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made


@pytest.fixture
def hosts(lab: Lab) -> tuple[Host, Host]:
    return lab.host("ann"), lab.host("bob")


@pytest.fixture
def pair(hosts: tuple[Host, Host], tmp_path: Path) -> Iterator[tuple[Home, Home]]:
    ann, bob = (
        Home(host.name.title(), tmp_path / host.name, ("dht.enabled=false",), host.command(()))
        for host in hosts
    )
    yield ann, bob
    for home in (ann, bob):
        home.end()


def connect(ann: Home, bob: Home) -> None:
    ann.up()
    bob.up()
    blob = ann.run("invite", "--no-wait").found("invite")[0]["blob"]
    assert bob.run("join", blob, "--no-chat", "--timeout", "20").found("joined")


def delivered(home: Home, to: str) -> float:
    """Seconds until a message is on the other's disk."""
    begun = time.monotonic()
    deadline = begun + 10 + _SLACK_S
    while time.monotonic() < deadline:
        if home.run("send", to, "there?", "--wait", code=None, timeout=60).found("delivered"):
            return time.monotonic() - begun
    raise AssertionError("they did not find each other again")


@needs_lab
@pytest.mark.parametrize("prefix", ["fe80::", "fd00:77::"])
def test_a_link_with_ipv6_alone_is_enough(
    hosts: tuple[Host, Host], pair: tuple[Home, Home], prefix: str
) -> None:
    for number, host in enumerate(hosts, 1):
        ip(host, "address", "flush", "dev", "eth0")
        ip(host, "address", "add", f"fe80::{number}/64", "dev", "eth0", "nodad")
        if prefix != "fe80::":
            ip(host, "address", "add", f"{prefix}{number}/64", "dev", "eth0", "nodad")
    ann, bob = pair
    connect(ann, bob)
    assert ann.run("send", "Bob", "hi", "--wait").found("delivered")
    assert bob.run("peers").found("peer")[0]["via"] == "lan"


@needs_lab
def test_a_contact_who_restarts_is_linked_again_at_once(pair: tuple[Home, Home]) -> None:
    ann, bob = pair
    connect(ann, bob)
    for home, other in ((bob, "Ann"), (ann, "Bob")):
        home.run("down")
        home.up()
        begun = time.monotonic()
        assert home.run("sync", other, "--wait", "--timeout", str(_SLACK_S)).found("sync")
        assert time.monotonic() - begun < 2 + _SLACK_S


@needs_lab
@pytest.mark.timeout(150)
def test_a_new_address_is_noticed_and_the_link_comes_back(
    hosts: tuple[Host, Host], pair: tuple[Home, Home]
) -> None:
    ann, bob = pair
    connect(ann, bob)
    ip(hosts[1], "address", "delete", "10.77.0.2/24", "dev", "eth0")
    ip(hosts[1], "address", "add", "10.77.0.52/24", "brd", "+", "dev", "eth0")
    assert delivered(ann, "Bob") < 10 + 2 + _SLACK_S


@needs_lab
@pytest.mark.timeout(150)
def test_with_two_networks_one_may_go(hosts: tuple[Host, Host], pair: tuple[Home, Home]) -> None:
    one, other = hosts
    cable = ("link", "add", "eth1", "type", "veth", "peer", "name", "eth1", "netns")
    ip(one, *cable, other.namespace)
    for number, host in enumerate(hosts, 1):
        ip(host, "link", "set", "eth1", "up")
        ip(host, "address", "add", f"10.88.0.{number}/24", "brd", "+", "dev", "eth1")
    ann, bob = pair
    connect(ann, bob)
    hosts[1].unplug()
    assert delivered(ann, "Bob") < 10 + 2 + _SLACK_S


@needs_lab
@pytest.mark.timeout(150)
def test_a_network_that_comes_up_later_is_taken(
    hosts: tuple[Host, Host], pair: tuple[Home, Home]
) -> None:
    ann, bob = pair
    ip(hosts[1], "link", "set", "eth0", "down")
    ann.up()
    bob.up()
    blob = ann.run("invite", "--no-wait").found("invite")[0]["blob"]
    joining = bob.start("join", blob, "--no-chat", "--timeout", "60")
    time.sleep(3)  # long enough for a search that finds nothing
    ip(hosts[1], "link", "set", "eth0", "up")
    begun = time.monotonic()
    assert joining.wait(60) == 0
    assert time.monotonic() - begun < 2 + _SLACK_S
