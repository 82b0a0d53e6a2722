"""The node's local HTTP API: routes, server, typed client, attach-or-host, slash commands.

All faces use the client, also in the process that hosts the node: there is one way in.
"""

__all__: list[str] = []
