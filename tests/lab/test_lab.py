"""The lab itself: what other tests take for granted about its hosts."""

import subprocess
import sys
from typing import Any

import pytest

from tests.harness.lab import Lab, needs_lab

_LISTEN = """
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 5000))
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
             socket.inet_aton("224.0.0.251") + socket.inet_aton("0.0.0.0"))
s.settimeout(float(sys.argv[1]))
print("listening", flush=True)
try:
    print(*s.recvfrom(100), flush=True)
except TimeoutError:
    print("nothing", flush=True)
"""
_SAY = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(b"hello", (sys.argv[1], 5000))
"""


def _line(process: subprocess.Popen[Any]) -> str:
    assert process.stdout is not None
    return str(process.stdout.readline()).strip()


@needs_lab
@pytest.mark.parametrize("target", ["10.77.0.2", "224.0.0.251"])
def test_hosts_reach_each_other_and_by_multicast(target: str) -> None:
    with Lab() as lab:
        alice, bob = lab.host("alice"), lab.host("bob")
        listener = bob.run([sys.executable, "-c", _LISTEN, "10"])
        assert _line(listener) == "listening"
        assert alice.run([sys.executable, "-c", _SAY, target]).wait(10) == 0
        heard = _line(listener)
    assert "hello" in heard
    assert alice.address in heard


@needs_lab
def test_an_unplugged_host_hears_nothing_until_plugged_in() -> None:
    with Lab() as lab:
        alice, bob = lab.host("alice"), lab.host("bob")
        say = [sys.executable, "-c", _SAY, bob.address]
        bob.unplug()
        deaf = bob.run([sys.executable, "-c", _LISTEN, "0.5"])
        assert _line(deaf) == "listening"
        assert alice.run(say).wait(10) == 0
        assert _line(deaf) == "nothing"
        bob.plug()
        listener = bob.run([sys.executable, "-c", _LISTEN, "10"])
        assert _line(listener) == "listening"
        assert alice.run(say).wait(10) == 0
        assert "hello" in _line(listener)


@needs_lab
def test_nothing_leads_out_of_a_lab() -> None:
    with Lab() as lab:
        process = lab.host("alice").run(["ip", "route"])
        routes = process.communicate(timeout=10)[0]
    assert "default" not in routes
    assert "10.77.0.0/24" in routes


@needs_lab
def test_a_lab_takes_its_processes_and_namespaces_with_it() -> None:
    with Lab() as lab:
        host = lab.host("alice")
        # A child of a child, which only the process group still knows.
        process = host.run(["sh", "-c", "sleep 600 & echo $!; wait"])
        child = int(_line(process))
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(child)], check=False, capture_output=True, text=True
    )
    # Letters behind the first say how it ran: with what priority, for one.
    assert state.stdout[:1].strip() in ("", "Z")
    left = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True)
    assert host.namespace not in left.stdout
