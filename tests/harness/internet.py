"""An internet for tests: servers with public addresses, and networks behind routers that do NAT.

Built from the parts of `harness/lab.py`: one bridge is the backbone, on which every address is one
hop away; a router is a namespace with an interface on it, and a bridge of its own inside. Public
addresses are from 198.18.0.0/15 (RFC 2544) and 2001:db8::/32 (RFC 3849), each host in a /24 of its
own, as the DHT wants it; all networks inside are 192.168.1.0/24, as at home. Nothing leads out.
"""

import contextlib
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any, Literal

import pytest

from tests.harness.lab import Host, _ip, lab_missing, prefix

__all__ = ["Internet", "Nat", "Router", "internet_missing", "needs_internet"]

Nat = Literal["cone", "symmetric", "no-udp", "firewall"]
"""What a router does to what passes it. All of them let in only answers (RFC 4787's address and
port-dependent filtering), and drop the rest before conntrack remembers it; else a peer's early
packet would hold the place of ours and give it another port.

cone: masquerade, which keeps the port where it can: endpoint-independent mapping ("port-restricted
cone"). symmetric: masquerade fully-random, a new port for each destination. no-udp: cone, and drops
all UDP. firewall: no NAT at all (IPv6).
"""

_RULES = """
table inet router {
  chain input {
    type filter hook input priority 0;
    iifname "eth0" meta l4proto { udp, tcp } ct state new drop
  }
  chain forward {
    type filter hook forward priority 0;
    %(forward)s
    iifname "eth0" ct state { new, invalid } drop
  }
  %(nat)s
}
"""
_NAT = """chain outwards {
    type nat hook postrouting priority srcnat;
    oifname "eth0" meta nfproto ipv4 masquerade %s
  }"""


@dataclass
class Router:
    """`address` is the public one."""

    name: str
    namespace: str
    address: str
    hosts: int = 0


class Internet:
    """`with Internet() as net: server = net.server("stun"); home = net.router("home", "cone")`."""

    def __init__(self) -> None:
        self._prefix = prefix()
        self._backbone = f"{self._prefix}-net"
        self._namespaces: list[str] = []
        self._hosts: list[Host] = []
        self._numbers = 0

    def __enter__(self) -> "Internet":
        self._add(self._backbone)
        try:
            self._bridge(self._backbone, "br0")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.ExitStack() as stack:
            for namespace in self._namespaces:
                stack.callback(_ip, "netns", "delete", namespace)
            for host in self._hosts:
                stack.callback(host.end)

    def server(self, name: str, addresses: int = 1) -> Host:
        """A host with as many public addresses, of each family."""
        namespace = self._add(f"{self._prefix}-{name}")
        self._plug(namespace, "eth0", self._backbone, "br0", name)
        public = []
        for _ in range(addresses):
            public.append(self._public())
            _ip("-n", namespace, "address", "add", f"{public[-1]}/32", "dev", "eth0")
            self._v6(namespace, self._numbers)
        _ip("-n", namespace, "route", "add", "default", "dev", "eth0")
        host = Host(name, namespace, public[0])
        self._hosts.append(host)
        return host

    def addresses(self, host: Host, version: int = 4) -> list[str]:
        """All public addresses of a host."""
        found = _ip("-n", host.namespace, f"-{version}", "-br", "address", "show", "dev", "eth0")
        return [
            field.partition("/")[0] for field in found.split()[2:] if not field.startswith("fe80:")
        ]

    def address6(self, host: Host) -> str:
        return self.addresses(host, 6)[0]

    def router(self, name: str, nat: Nat, udp_s: int = 30) -> Router:
        """A router that forgets UDP bindings after `udp_s` without a packet (RFC 4787 REQ-5)."""
        namespace = self._add(f"{self._prefix}-{name}")
        address = self._public()
        router = Router(name, namespace, address)
        self._plug(namespace, "eth0", self._backbone, "br0", name)
        self._bridge(namespace, "inside")
        rules = _RULES % {
            "forward": "meta l4proto udp drop" if nat == "no-udp" else "",
            "nat": "" if nat == "firewall" else _NAT % ("fully-random" * (nat == "symmetric")),
        }
        if nat == "firewall":
            self._v6(namespace, self._numbers)
            _ip("-n", namespace, "address", "add", f"2001:db8:{self._numbers:x}:1::1/64", "dev",
                "inside", "nodad")  # fmt: skip
        else:
            _ip("-n", namespace, "address", "add", f"{address}/32", "dev", "eth0")
            _ip("-n", namespace, "route", "add", "default", "dev", "eth0")
            _ip("-n", namespace, "address", "add", "192.168.1.1/24", "dev", "inside")
        settings = {
            "net.ipv4.ip_forward": 1,
            "net.ipv6.conf.all.forwarding": 1,
            "net.netfilter.nf_conntrack_udp_timeout": udp_s,
            "net.netfilter.nf_conntrack_udp_timeout_stream": udp_s,
        }
        _in(namespace, "nft", "-f", "-", text=rules)
        _in(namespace, "sysctl", "-qw", *(f"{key}={value}" for key, value in settings.items()))
        if nat == "firewall":
            # There is no routing protocol here, so the backbone is told by neighbour proxies.
            _in(namespace, "sysctl", "-qw", "net.ipv6.conf.eth0.proxy_ndp=1")
        return router

    def behind(self, router: Router, name: str, *, v6: bool = False) -> Host:
        """A host on the network inside; `v6`: with an IPv6 address alone."""
        router.hosts += 1
        namespace = self._add(f"{self._prefix}-{name}")
        self._plug(namespace, "eth0", router.namespace, "inside", name)
        if v6:
            number = int(router.address.split(".")[2])
            address = f"2001:db8:{number:x}:1::{router.hosts + 9:x}"
            _ip("-n", namespace, "address", "add", f"{address}/64", "dev", "eth0", "nodad")
            _ip("-n", namespace, "route", "add", "default", "via", f"2001:db8:{number:x}:1::1")
            _ip("-n", router.namespace, "neighbour", "add", "proxy", address, "dev", "eth0")
        else:
            address = f"192.168.1.{router.hosts + 9}"
            _ip("-n", namespace, "address", "add", f"{address}/24", "brd", "+", "dev", "eth0")
            _ip("-n", namespace, "route", "add", "default", "via", "192.168.1.1")
            _ip("-n", namespace, "route", "add", "224.0.0.0/4", "dev", "eth0")
        host = Host(name, namespace, address)
        self._hosts.append(host)
        return host

    def _add(self, namespace: str) -> str:
        _ip("netns", "add", namespace)
        self._namespaces.append(namespace)
        _ip("-n", namespace, "link", "set", "lo", "up")
        return namespace

    def _public(self) -> str:
        self._numbers += 1
        assert self._numbers < 250, "the internet has no more addresses"
        return f"198.18.{self._numbers}.1"

    def _bridge(self, namespace: str, name: str) -> None:
        # Without a querier on it, a bridge that snoops would soon drop multicast.
        _ip("-n", namespace, "link", "add", name, "type", "bridge", "mcast_snooping", "0")
        _ip("-n", namespace, "link", "set", name, "addrgenmode", "none", "up")

    def _plug(self, namespace: str, interface: str, at: str, bridge: str, port: str) -> None:
        _ip(
            "link", "add", "name", port, "netns", at,
            "type", "veth", "peer", "name", interface, "netns", namespace,
        )  # fmt: skip
        _ip("-n", at, "link", "set", "dev", port, "addrgenmode", "none", "master", bridge, "up")
        _ip("-n", namespace, "link", "set", interface, "addrgenmode", "none", "up")

    def _v6(self, namespace: str, number: int) -> None:
        """A public IPv6 address; every other is one hop away."""
        address = f"2001:db8:{number:x}::1/128"
        _ip("-n", namespace, "address", "add", address, "dev", "eth0", "nodad")
        # Whoever forwards asks its neighbours from a link-local address alone.
        _ip("-n", namespace, "address", "add", f"fe80::{number:x}/64", "dev", "eth0", "nodad")
        _ip("-n", namespace, "route", "replace", "2001:db8::/32", "dev", "eth0")


def _in(namespace: str, *argv: str, text: str = "") -> str:
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, *argv],
        check=False,
        capture_output=True,
        text=True,
        input=text,
        timeout=10,
    )
    if done.returncode:
        raise OSError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


@cache
def internet_missing(*tools: str) -> str | None:
    """Why there can be no internet here; None if there can."""
    for tool in ("nft", "sysctl", *tools):
        if shutil.which(tool) is None:
            return f"this lab needs {tool}"
    why = lab_missing()
    if why is not None:
        return why
    try:
        with Internet() as net:
            net.router("probe", "symmetric")
    except (subprocess.SubprocessError, OSError) as error:
        return f"this lab needs nftables and conntrack in namespaces: {error}"
    return None


def needs_internet(*tools: str) -> Any:
    """Mark a test (or class) that uses an internet, and these programs."""

    def marked(test: Any) -> Any:
        missing = internet_missing(*tools)
        return pytest.mark.lab(pytest.mark.skipif(missing is not None, reason=missing or "")(test))

    return marked
