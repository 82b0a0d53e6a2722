"""A DHT of our own: eight libtorrent nodes on 127.0.0.x, in this process, packets on loopback only.

with own_dht() as bootstrap:    # ["127.0.0.10:40123", …], as dht.bootstrap wants it
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import libtorrent as lt

__all__ = ["own_dht"]

NODES = 8
_SETTLE_S = 10.0


def _settings(address: str) -> dict[str, object]:
    """A node that serves the DHT on one address, for any number of nodes on one machine."""
    quiet = (
        "enable_lsd",
        "enable_upnp",
        "enable_natpmp",
        "enable_incoming_tcp",
        "enable_outgoing_tcp",
        "enable_incoming_utp",
        "enable_outgoing_utp",
        # By default a node takes others of its own address for one that pretends to be many.
        "dht_restrict_routing_ips",
        "dht_restrict_search_ips",
        "dht_prefer_verified_node_ids",
        "dht_enforce_node_id",
        "dht_ignore_dark_internet",
    )
    return dict.fromkeys(quiet, False) | {
        "listen_interfaces": f"{address}:0",
        "enable_dht": True,
        "dht_bootstrap_nodes": "",
        "dht_upload_rate_limit": 1_000_000,
        "dht_block_ratelimit": 10_000,
        "alert_mask": lt.alert.category_t.dht_notification,
    }


@contextmanager
def own_dht(nodes: int = NODES) -> Iterator[list[str]]:
    """`host:port` of each; all of them know each other when this is entered."""
    sessions = [lt.session(_settings(f"127.0.0.{10 + number}")) for number in range(nodes)]
    ends = [
        (f"127.0.0.{10 + number}", session.listen_port()) for number, session in enumerate(sessions)
    ]
    for session in sessions:
        for end in ends:
            session.add_dht_node(end)
    deadline = time.monotonic() + _SETTLE_S
    while not all(_known(session) >= nodes - 1 for session in sessions):
        assert time.monotonic() < deadline, "the nodes did not find each other"
    try:
        yield [f"{host}:{port}" for host, port in ends]
    finally:
        for session in sessions:
            session.pause()


def _known(session: "lt.session") -> int:
    """Other nodes in the routing table."""
    session.post_dht_stats()
    session.wait_for_alert(100)
    counts = [
        sum(row["num_nodes"] for row in alert.routing_table)
        for alert in session.pop_alerts()
        if isinstance(alert, lt.dht_stats_alert)
    ]
    return max(counts, default=0)
