"""The optional signalling server: a mailbox, and a WebTorrent tracker, in one small process.

    p2pchat-signal --port 8080 --state signal.db

Holds sealed bytes under names that it cannot link to anybody, and passes WebTorrent offers on. It
knows no identity, and can neither read nor forge. Run several on one Redis behind a load balancer.
"""

__all__: list[str] = []
