"""What decides: entries, chains, order, handshake, reconciliation.

Touches nothing: no asyncio, sockets or files; time and randomness are handed in. Machines have the
shape of `core.machine` and are driven by `node/runner.py`.
"""

__all__: list[str] = []
