"""The pages of a database file, deciphered one by one where SQLite gives up (SQLCipher 4's format).

A page that has been altered fails its code, and SQLite reads nothing more from then on. Here each
page stands for itself, and what the log holds of it (`-wal`) stands before the file's. Knows
nothing of trees and tables: that is `salvage`. Nothing is written.
"""

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

__all__ = ["PAGE_BYTES", "USABLE_BYTES", "Page", "Pages"]

PAGE_BYTES = 4096
_IV, _CODE, _SALT = 16, 64, 16
USABLE_BYTES = PAGE_BYTES - _IV - _CODE
_MAGIC = b"SQLite format 3\x00"
_WAL_HEADER, _FRAME_HEADER = 32, 24


@dataclass(frozen=True, slots=True)
class Page:
    """`whole`: its code holds. Else at most some of it is what was written."""

    data: bytes
    whole: bool


class Pages:
    """Use as `Pages(path, key)`; numbers begin at 1. Raises OSError where nothing can be read."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._key = key
        self._file = path.open("rb")
        self._wal = path.with_name(path.name + "-wal")
        self._logged: dict[int, bytes] = {}
        salt = self._file.read(_SALT)
        masked = bytes(byte ^ 0x3A for byte in salt)
        self._code_key = hashlib.pbkdf2_hmac("sha512", key, masked, 2, 32)
        self.count = path.stat().st_size // PAGE_BYTES
        try:
            self._read_log()
        except OSError:
            self._logged = {}
        self.count = max([self.count, *self._logged])

    def close(self) -> None:
        self._file.close()

    def __getitem__(self, number: int) -> Page | None:
        """None where the file has no such page, or the disk does not give it."""
        sealed = self._logged.get(number)
        if sealed is None:
            try:
                self._file.seek((number - 1) * PAGE_BYTES)
                sealed = self._file.read(PAGE_BYTES)
            except (OSError, ValueError):
                return None
        if len(sealed) != PAGE_BYTES or number < 1:
            return None
        return self._open(number, sealed)

    def _open(self, number: int, sealed: bytes) -> Page:
        start = _SALT if number == 1 else 0
        iv = sealed[USABLE_BYTES : USABLE_BYTES + _IV]
        code = sealed[USABLE_BYTES + _IV :]
        counted = sealed[start : USABLE_BYTES + _IV] + number.to_bytes(4, "little")
        whole = hmac.compare_digest(hmac.digest(self._code_key, counted, "sha512"), code)
        cipher = Cipher(algorithms.AES256(self._key), modes.CBC(iv)).decryptor()
        data = cipher.update(sealed[start:USABLE_BYTES]) + cipher.finalize()
        return Page((_MAGIC if number == 1 else b"") + data, whole)

    def _read_log(self) -> None:
        """What was committed last of each page, and is not in the file yet."""
        if not self._wal.exists():
            return
        with self._wal.open("rb") as file:
            salts = file.read(_WAL_HEADER)[16:24]
            waiting: dict[int, bytes] = {}
            while len(header := file.read(_FRAME_HEADER)) == _FRAME_HEADER:
                page = file.read(PAGE_BYTES)
                # Frames of an earlier round of the log lie behind, with other salts.
                if header[8:16] != salts or len(page) != PAGE_BYTES:
                    break
                waiting[int.from_bytes(header[:4], "big")] = page
                if header[4:8] != bytes(4):
                    self._logged.update(waiting)
                    waiting.clear()
