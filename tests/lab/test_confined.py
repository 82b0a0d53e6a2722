"""With loopback as the only interface, not one packet leaves the machine, whatever else is set."""

from pathlib import Path

import pytest

from tests.harness.homes import Home, events
from tests.harness.internet import Internet, _in, needs_internet

_COUNT = """
table inet watch {
  chain output {
    type filter hook output priority 0;
    oifname "eth0" ip daddr 198.18.200.0/24 counter
  }
}
"""
_OUTSIDE = (
    "lan.enabled=false",
    'net.stun=["stun:198.18.200.1:3478"]',
    'net.turn=["turn:me:secret@198.18.200.2:3478"]',
    'dht.bootstrap=["198.18.200.3:6881"]',
    "mailbox.url=http://198.18.200.4",
)


@needs_internet()
@pytest.mark.parametrize(("interfaces", "quiet"), [('["lo"]', True), ("[]", False)])
def test_no_server_is_spoken_to_from_loopback(
    tmp_path: Path, interfaces: str, *, quiet: bool
) -> None:
    with Internet() as net:
        host = net.server("ann")
        _in(host.namespace, "nft", "-f", "-", text=_COUNT)
        settings = (*_OUTSIDE, f"net.interfaces={interfaces}")
        ann = Home("Ann", tmp_path / "ann", settings, tuple(host.command(())))
        try:
            inviting = ann.start("invite", "--no-chat", "--timeout", "6")
            assert next(row["event"] for row in events(inviting)) == "invite"
            assert inviting.wait(20) == 5
        finally:
            ann.end()
        counted = _in(host.namespace, "nft", "list", "table", "inet", "watch")
    assert ("packets 0 " in counted) is quiet
