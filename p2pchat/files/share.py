"""One share or download as it is remembered."""

from pathlib import Path
from typing import Literal

import msgspec

from p2pchat.files.magnet import Magnet

__all__ = ["Share"]


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """`size`: bytes of the contents, 0 while unknown; `sealed_size`: of what is swarmed.

    `dest`: where a download goes; `paths`: what was put there.
    """

    id: bytes
    key: bytes
    name: str
    size: int
    sealed_size: int
    info_hash: bytes
    state: Literal["seeding", "fetching", "complete"]
    created: float
    dest: str = ""
    paths: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Share({self.id.hex()})"

    @property
    def magnet(self) -> str:
        return Magnet(self.info_hash, self.name, self.sealed_size, self.key).text()

    def folder(self, root: Path) -> Path:
        return root / self.id.hex()

    def torrent(self, root: Path) -> Path:
        return self.folder(root) / "torrent"
