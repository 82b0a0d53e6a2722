"""A DHT of our own: eight libtorrent nodes on 127.0.0.x, in this process, packets on loopback only.

with own_dht() as bootstrap:    # ["127.0.0.10:40123", …], as dht.bootstrap wants it
"""

import time
from collections.abc import Iterator, Sequence
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
def own_dht(nodes: int = NODES, addresses: Sequence[str] = ()) -> Iterator[list[str]]:
    """`host:port` of each; all of them know each other when this is entered."""
    places = addresses or [f"127.0.0.{10 + number}" for number in range(nodes)]
    nodes = len(places)
    sessions = [lt.session(_settings(f"[{place}]" if ":" in place else place)) for place in places]
    ends = [(place, session.listen_port()) for place, session in zip(places, sessions, strict=True)]
    deadline = time.monotonic() + _SETTLE_S
    # With a public address a node soon takes another id (BEP 42), and some forget the former one.
    enough = nodes // 2 if addresses else nodes - 1
    lonely = sessions
    while lonely:
        assert time.monotonic() < deadline, "the nodes did not find each other"
        for session in lonely:
            for end in ends:
                session.add_dht_node(end)
        time.sleep(0.1)
        lonely = [session for session in sessions if _known(session) < enough]
    try:
        yield [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in ends]
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
