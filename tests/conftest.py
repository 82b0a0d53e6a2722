"""Keeps tests away from the profile, settings, downloads and network of whoever runs them.

And has the slow ones start first, where several run at once.
"""

import os
import signal
import sys
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from xdist.remote import Producer

from tests.harness.schedule import Schedule, slow_first


def pytest_configure() -> None:
    """In the background Ctrl-C is ignored, and whatever tests start would inherit that."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Schedule:
    return Schedule(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items[:] = slow_first(items)


@pytest.fixture(autouse=True, scope="session")
def _nobodys_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A test that forgets to name a home gets an empty one; commands it starts inherit it."""
    home = tmp_path_factory.mktemp("nobody")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("P2PCHAT_")]:
            patch.delenv(name)
        for name in [name for name in os.environ if name.startswith("XDG_")]:
            patch.delenv(name)
        # A test that forgets to say so stays on this machine; `tests/harness/homes.py` insists.
        patch.setenv("P2PCHAT_NET_INTERFACES", '["lo"]')
        patch.setenv("HOME", str(home))
        patch.setenv("P2PCHAT_HOME", str(home / "profile"))
        yield


@pytest.fixture(autouse=True, scope="session")
def _nothing_leaves_this_machine() -> Iterator[None]:
    """What this process would send beyond loopback, or look up, fails the test instead."""
    refused: list[str] = []

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            address = arguments[1]
            host = address[0] if isinstance(address, tuple) else None
        elif event == "socket.getaddrinfo":
            host = arguments[0]
        else:
            return
        if watching and isinstance(host, str) and not _allowed(host):
            refused.append(f"{event} {host}")
            raise AssertionError(f"a test would use the network: {event} {host}")

    watching = True
    sys.addaudithook(watch)  # never to be taken back
    yield
    watching = False
    assert not refused


def _allowed(host: str) -> bool:
    if host in ("", "localhost", "0.0.0.0", "::", "nowhere.invalid.."):
        return True
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    # Multicast leaves by loopback, the one interface that is bound.
    return address.is_loopback or address.is_multicast
