"""How two WebRTC endpoints that share a secret find each other and swap an offer for an answer.

Knows nothing of chat: invites carry their user's part as opaque bytes, and carriers move sealed
envelopes only.
"""

__all__: list[str] = []
