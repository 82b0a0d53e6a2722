"""What a node logs: in node.log of its profile, never among what a command says.

Without this, Python prints each warning of a node that lives within a command to stderr. Where
somebody looks for a fault (P2PCHAT_DEBUG, `up --foreground`) that is the place for it.
"""

import logging
import os
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path

__all__ = ["file_for", "is_debug", "keep", "show"]

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_MAX = 4 * 1024 * 1024
"""Bytes; what is older than twice as many goes."""


class _File(logging.FileHandler):
    """Opened with the first record, so that a command without any leaves no file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "node.log", encoding="utf-8", delay=True)
        self.setFormatter(logging.Formatter(_FORMAT))
        self._folder = folder

    def emit(self, record: logging.LogRecord) -> None:
        # Its folder is made by whoever opens the profile.
        if self._folder.is_dir():
            with suppress(OSError):
                super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (its name there)
        """A log that cannot be written is no reason to spoil what the command says."""

    def _open(self) -> TextIOWrapper:
        file_for(self._folder)
        return super()._open()


def keep(folder: Path) -> None:
    """Log to the profile's file, warnings and worse; with P2PCHAT_DEBUG all, to stderr."""
    if is_debug():
        show()
        return
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(_File(folder))


def show() -> None:
    """Log to stderr."""
    # ICE tells every candidate pair at info.
    for name in ("aioice", "aiortc"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.basicConfig(
        level=logging.DEBUG if is_debug() else logging.INFO, format=_FORMAT, force=True
    )


def file_for(folder: Path) -> Path:
    """The profile's log, begun anew where it has grown too long."""
    path = folder / "node.log"
    if path.exists() and path.stat().st_size > _MAX:
        path.replace(path.with_suffix(".log.1"))
    return path


def is_debug() -> bool:
    """Whether somebody looks for a fault."""
    return bool(os.environ.get("P2PCHAT_DEBUG"))
