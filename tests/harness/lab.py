"""Machines of their own for tests: network namespaces joined by one bridge.

A host here has its own loopback, one interface `eth0`, no default route and no IPv6, and multicast
reaches the others (DNS-SD works). Nothing leads out: the bridge too is in a namespace, so neither
this machine's network nor another lab sees any of it. Needs root and iproute2; tests that use it
carry `needs_lab`, which skips with the reason.
"""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from types import TracebackType
from typing import Any

import pytest

__all__ = ["Host", "Lab", "lab_missing", "needs_lab", "prefix"]

_COMMAND_S = 10
_END_S = 5
_HOSTS_MAX = 200
_numbers = itertools.count()


class Host:
    """One machine of a lab; made by `Lab.host`."""

    def __init__(self, name: str, namespace: str, address: str) -> None:
        self.name = name
        self.namespace = namespace
        self.address = address
        self.interface = "eth0"
        self._processes: list[subprocess.Popen[Any]] = []

    def command(self, argv: Sequence[str]) -> list[str]:
        """`argv` as it runs on this host, for whoever starts processes in another way.

        Such a process is the caller's to end, before the lab does.
        """
        return ["ip", "netns", "exec", self.namespace, *argv]

    def run(
        self, argv: Sequence[str], env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[Any]:
        """Start `argv` here; it and its children end with the lab.

        `env` is added to ours. Input and output are pipes, in text, unless `options` (those of
        Popen) say otherwise; errors go where the test's go.
        """
        options.setdefault("stdin", subprocess.PIPE)
        options.setdefault("stdout", subprocess.PIPE)
        if not options.keys() & {"text", "encoding", "universal_newlines"}:
            options["text"] = True
        process = subprocess.Popen(
            self.command(argv),
            env={**os.environ, **(env or {})},
            start_new_session=True,
            **options,
        )
        self._processes.append(process)
        return process

    def unplug(self) -> None:
        """Pull the cable: neither end is told."""
        # The bridge's side, since our own interface going down is something that programs notice.
        _ip("-n", _switch_of(self.namespace), "link", "set", "dev", self.name, "nomaster")

    def plug(self) -> None:
        _ip("-n", _switch_of(self.namespace), "link", "set", "dev", self.name, "master", "br0")

    def end(self) -> None:
        """End what `run` started, children too."""
        for process in self._processes:
            # The group outlives its leader when that was killed and its children were not. A
            # leader not waited for keeps the group's number from being given to others.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(_END_S)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    # What was left in a buffer has nobody to go to.
                    with contextlib.suppress(OSError):
                        stream.close()
        self._processes.clear()


class Lab:
    """`with Lab() as lab: alice = lab.host("alice")`. At its end all of it is gone."""

    def __init__(self) -> None:
        self._prefix = prefix()
        self._switch = f"{self._prefix}-switch"
        self._hosts: dict[str, Host] = {}

    def __enter__(self) -> "Lab":
        _ip("netns", "add", self._switch)
        try:
            # Without a querier on it, a bridge that snoops would soon drop multicast.
            _ip("-n", self._switch, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
            _ip("-n", self._switch, "link", "set", "br0", "up")
        except BaseException:
            _ip("netns", "delete", self._switch)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.ExitStack() as stack:
            # Each is tried, whichever fails; the hosts before the switch they hang on.
            stack.callback(_ip, "netns", "delete", self._switch)
            for host in self._hosts.values():
                stack.callback(_ip, "netns", "delete", host.namespace)
                stack.callback(host.end)

    def host(self, name: str) -> Host:
        """The host of this name (at most 15 letters and digits), made when first asked for."""
        if name in self._hosts:
            return self._hosts[name]
        number = len(self._hosts) + 1
        assert name.isalnum(), name
        assert len(name) <= 15, "an interface of the bridge is called so"
        assert number <= _HOSTS_MAX, "the network has no more addresses"
        host = Host(name, f"{self._prefix}-{name}", f"10.77.0.{number}")
        _ip("netns", "add", host.namespace)
        self._hosts[name] = host
        inside = ("-n", host.namespace)
        _ip(
            "link", "add", "name", name, "netns", self._switch,
            "type", "veth", "peer", "name", "eth0", "netns", host.namespace,
        )  # fmt: skip
        _ip("-n", self._switch, "link", "set", "dev", name, "master", "br0", "up")
        _ip(*inside, "link", "set", "lo", "up")
        # IPv6 would hold back its address for seconds (duplicate detection), and tests with it.
        _ip(*inside, "link", "set", "eth0", "addrgenmode", "none", "up")
        _ip(*inside, "address", "add", f"{host.address}/24", "brd", "+", "dev", "eth0")
        # There is no default route that would lead multicast to the bridge.
        _ip(*inside, "route", "add", "224.0.0.0/4", "dev", "eth0")
        return host


@cache
def lab_missing() -> str | None:
    """Why there can be no lab here; None if there can."""
    if shutil.which("ip") is None:
        return "a lab needs iproute2 (ip)"
    if os.geteuid() != 0:
        return "a lab needs root"
    try:
        with Lab() as lab:
            lab.host("probe")
    except (subprocess.SubprocessError, OSError) as error:
        return f"a lab needs network namespaces: {error}"
    return None


def prefix() -> str:
    """What the namespaces of one lab are called by."""
    return f"p2plab-{os.getpid()}-{next(_numbers)}"


def _switch_of(namespace: str) -> str:
    return namespace.rpartition("-")[0] + "-switch"


def _ip(*arguments: str) -> str:
    done = subprocess.run(
        ["ip", *arguments], check=False, capture_output=True, text=True, timeout=_COMMAND_S
    )
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


_missing = lab_missing()


def needs_lab(test: Any) -> Any:
    """Mark a test (or class) that uses a lab."""
    skip = pytest.mark.skipif(_missing is not None, reason=_missing or "")
    return pytest.mark.lab(skip(test))
