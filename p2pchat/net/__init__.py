"""Links over WebRTC: aiortc behind a few names of our own. Knows nothing of rooms or entries."""

__all__: list[str] = []
