"""The routers of the lab: that each does what it is called."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.internet import Internet, Nat, needs_internet
from tests.harness.lab import Host

# Prints where each packet came from; each line of input names a place, which is sent a packet.
_SERVE = """
import socket, sys, threading
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
s.bind((sys.argv[1], int(sys.argv[2])))
s.settimeout(float(sys.argv[3]))
print("bound", flush=True)
def send():
    for line in sys.stdin:
        host, port = line.split()
        s.sendto(b"x", (host, int(port)))
threading.Thread(target=send, daemon=True).start()
while True:
    try:
        print(*s.recvfrom(10)[1][:2], flush=True)
    except TimeoutError:
        print("nothing", flush=True)
        break
"""


@pytest.fixture
def net() -> Iterator[Internet]:
    with Internet() as internet:
        yield internet


def _socket(host: Host, address: str, port: int, wait_s: float = 10) -> subprocess.Popen[Any]:
    process = host.run([sys.executable, "-c", _SERVE, address, str(port), str(wait_s)])
    assert _heard(process) == "bound"
    return process


def _send(process: subprocess.Popen[Any], address: str, port: int) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{address} {port}\n")
    process.stdin.flush()


def _heard(process: subprocess.Popen[Any]) -> str:
    assert process.stdout is not None
    return str(process.stdout.readline()).strip()


@needs_internet()
@pytest.mark.parametrize(("nat", "ports"), [("cone", 1), ("symmetric", 2)])
def test_a_cone_has_one_port_for_all_and_a_symmetric_nat_one_for_each(
    net: Internet, nat: Nat, ports: int
) -> None:
    one, other = net.server("one"), net.server("other")
    home = net.router("home", nat)
    inside = net.behind(home, "ann")
    servers = [_socket(one, one.address, 5000), _socket(other, other.address, 5000)]
    client = _socket(inside, inside.address, 4000)
    seen = set()
    for server, process in ((one, servers[0]), (other, servers[1])):
        _send(client, server.address, 5000)
        address, port = _heard(process).split()
        assert address == home.address
        seen.add(port)
    assert len(seen) == ports


@needs_internet()
def test_a_router_lets_in_answers_alone_and_an_early_packet_takes_no_port(net: Internet) -> None:
    one = net.server("one")
    home = net.router("home", "cone")
    inside = net.behind(home, "ann")
    asked = _socket(one, one.address, 5000)
    stranger = _socket(one, one.address, 5001)
    client = _socket(inside, inside.address, 4000, 1)
    _send(asked, home.address, 4000)
    _send(asked, one.address, 5000)
    assert _heard(asked) == f"{one.address} 5000"  # so what it sent before is on its way
    _send(client, one.address, 5000)
    assert _heard(asked) == f"{home.address} 4000"
    _send(stranger, home.address, 4000)
    assert _heard(client) == "nothing"


@needs_internet()
def test_a_binding_is_forgotten_when_nothing_is_sent(net: Internet) -> None:
    one = net.server("one")
    home = net.router("home", "cone", udp_s=1)
    inside = net.behind(home, "ann")
    server = _socket(one, one.address, 5000)
    client = _socket(inside, inside.address, 4000, 3)
    _send(client, one.address, 5000)
    _heard(server)
    _send(server, home.address, 4000)
    assert _heard(client) == f"{one.address} 5000"
    assert _heard(client) == "nothing"
    client = _socket(inside, inside.address, 4001, 1)
    _send(server, home.address, 4000)
    assert _heard(client) == "nothing"


@needs_internet()
def test_no_udp_passes_where_it_is_blocked_and_tcp_does(net: Internet) -> None:
    one = net.server("one")
    inside = net.behind(net.router("home", "no-udp"), "ann")
    server = _socket(one, one.address, 5000, 1)
    _send(_socket(inside, inside.address, 4000), one.address, 5000)
    assert _heard(server) == "nothing"
    listen = "import socket,sys\ns=socket.create_server((sys.argv[1],80))\nprint(1,flush=True)\n"
    web = one.run([sys.executable, "-c", f"{listen}s.accept()", one.address])
    assert _heard(web) == "1"
    connect = f"import socket; socket.create_connection(('{one.address}', 80), 5)"
    assert inside.run([sys.executable, "-c", connect]).wait(10) == 0


@needs_internet()
def test_with_ipv6_there_is_no_nat_and_only_answers_come_in(net: Internet) -> None:
    one = net.server("one")
    inside = net.behind(net.router("home", "firewall"), "ann", v6=True)
    server = _socket(one, net.address6(one), 5000)
    client = _socket(inside, inside.address, 4000, 1)
    _send(server, inside.address, 4000)
    assert _heard(client) == "nothing"
    client = _socket(inside, inside.address, 4000)
    _send(client, net.address6(one), 5000)
    assert _heard(server) == f"{inside.address} 4000"
    _send(server, inside.address, 4000)
    assert _heard(client) == f"{net.address6(one)} 5000"


@needs_internet()
def test_with_ipv6_two_behind_firewalls_reach_each_other_once_both_have_sent(net: Internet) -> None:
    walls = [net.router(name, "firewall") for name in ("home", "away")]
    ann, bob = (net.behind(wall, f"at{wall.name}", v6=True) for wall in walls)
    near, far = (_socket(host, host.address, 4000) for host in (ann, bob))
    _send(near, bob.address, 4000)
    _send(near, ann.address, 4000)
    assert _heard(near) == f"{ann.address} 4000"  # so what it sent before is on its way
    _send(far, ann.address, 4000)
    assert _heard(near) == f"{bob.address} 4000"
    _send(near, bob.address, 4000)
    assert _heard(far) == f"{ann.address} 4000"


@needs_internet()
def test_two_homes_see_nothing_of_each_others_networks(net: Internet) -> None:
    ann = net.behind(net.router("home", "cone"), "ann")
    bob = net.behind(net.router("away", "cone"), "bob")
    assert ann.address == bob.address
    listener = _socket(bob, bob.address, 5000, 1)
    _send(_socket(ann, ann.address, 4000), "192.168.1.11", 5000)
    assert _heard(listener) == "nothing"
