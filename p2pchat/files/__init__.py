"""Files: sealed into one ciphertext each, moved by libtorrent in a process of its own.

Knows nothing of links or rooms: where libtorrent's offers must travel, the tracker hands out
signals, and `node` passes them.
"""

__all__: list[str] = []
