"""A share as one ciphertext (docs/protocol.md, 9).

STREAM (Hoang, Reyhanitabar, Rogaway, Vizar 2015): chunks of 64 KiB, each under AES-256-GCM with its
index and a last-chunk flag in the nonce, so that a chunk moved, dropped or cut off is noticed. The
key belongs to one share alone, so nonces never repeat. Everything here blocks: call it in a thread.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from p2pchat.errors import BadInput, Error
from p2pchat.files.names import safe_part, unique

__all__ = ["CHUNK", "Sealed", "seal", "unseal"]

CHUNK = 65_536
_TAG = 16
_CONTEXT = b"p2pchat/1/share"
_MANIFEST_MAX = 16 * 1024 * 1024
_ENTRIES_MAX = 100_000
_DEPTH_MAX = 64
_FILE, _EXECUTABLE, _FOLDER = 0, 1, 2
# What no honest manifest leads to: a file where a folder is, or a path too long for any disk.
_NOT_OF_A_FOLDER = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)


class _Item(msgspec.Struct, frozen=True, array_like=True):
    parts: tuple[str, ...]
    size: int
    mode: int


class _Manifest(msgspec.Struct, frozen=True, array_like=True):
    version: int
    name: str
    items: tuple[_Item, ...]


@dataclass(frozen=True, slots=True)
class Sealed:
    """`size`: bytes of the contents; `sealed_size`: of the ciphertext."""

    name: str
    size: int
    sealed_size: int


def _ignore(_: int) -> None:
    pass


def seal(
    paths: Sequence[Path], target: Path, key: bytes, progress: Callable[[int], None] = _ignore
) -> Sealed:
    """Write files and folders into `target` as one ciphertext. Links inside folders are left out.

    `progress` hears the bytes written so far; what it raises ends the work and leaves nothing.
    Raises BadInput `file-missing`, `file-unreadable`; Error `disk-full`, `transfer-failed`.
    """
    sources = list(_collect(paths))
    top = dict.fromkeys(item.parts[0] for item, _ in sources)
    first = next(iter(top), "nothing")
    name = first if len(top) < 2 else f"{first} and {len(top) - 1} more"
    manifest = msgspec.msgpack.encode(_Manifest(1, name, tuple(item for item, _ in sources)))
    if len(manifest) > _MANIFEST_MAX or len(sources) > _ENTRIES_MAX:
        raise BadInput(
            "file-unreadable",
            f"more than {_ENTRIES_MAX} files in one share",
            "share parts of it, or an archive",
        )

    def plaintext() -> Iterator[bytes]:
        yield len(manifest).to_bytes(4, "big") + manifest
        for item, source in sources:
            if item.mode != _FOLDER:
                yield from _contents(source, item.size)

    temporary = target.with_name(target.name + ".new")
    try:
        with temporary.open("wb") as output:
            for chunk in _encrypted(_rechunked(plaintext()), AESGCM(key)):
                output.write(chunk)
                progress(output.tell())
            sealed_size = output.tell()
            output.flush()
            os.fsync(output.fileno())
        temporary.replace(target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return Sealed(name, sum(item.size for item, _ in sources), sealed_size)


def _collect(paths: Sequence[Path]) -> Iterator[tuple[_Item, Path]]:
    taken: set[str] = set()
    for path in paths:
        try:
            resolved = path.resolve(strict=True)
            status = resolved.stat()
        except FileNotFoundError:
            raise BadInput(
                "file-missing", f"{path} does not exist", "check the name and the folder"
            ) from None
        except OSError as error:
            raise _unreadable(path, error) from error
        top = unique(safe_part(resolved.name), taken.__contains__)
        taken.add(top)
        if stat.S_ISDIR(status.st_mode):
            yield from _collect_folder(resolved, top)
        elif stat.S_ISREG(status.st_mode):
            yield _item((top,), resolved, status), resolved
        else:
            raise BadInput(
                "file-unreadable", f"{path} is no file and no folder", "share files or folders"
            )


def _collect_folder(root: Path, top: str) -> Iterator[tuple[_Item, Path]]:
    def fail(error: OSError) -> None:
        raise _unreadable(root, error)

    for folder, folders, files in os.walk(root, onerror=fail):
        folders.sort()
        here = Path(folder)
        parts = (top, *map(_utf8, here.relative_to(root).parts))
        # Those of links alone are empty to the other side.
        yield _Item(parts, 0, _FOLDER), here
        for name in sorted(files):
            source = here / name
            try:
                status = source.lstat()
            except OSError as error:
                raise _unreadable(source, error) from error
            if stat.S_ISREG(status.st_mode):
                yield _item((*parts, _utf8(name)), source, status), source


def _utf8(name: str) -> str:
    """A name of this disk, whose bytes need not be UTF-8."""
    return os.fsencode(name).decode(errors="replace")


def _item(parts: tuple[str, ...], source: Path, status: os.stat_result) -> _Item:
    if not os.access(source, os.R_OK):
        raise _unreadable(source, PermissionError(errno.EACCES, "permission denied"))
    return _Item(parts, status.st_size, _EXECUTABLE if status.st_mode & 0o100 else _FILE)


def _contents(source: Path, size: int) -> Iterator[bytes]:
    try:
        with source.open("rb") as file:
            left = size
            while left:
                block = file.read(min(left, 1024 * 1024))
                if not block:
                    raise Error(
                        "transfer-failed",
                        f"{source} became shorter while it was read",
                        "share it again when nothing writes to it",
                    )
                left -= len(block)
                yield block
    except OSError as error:
        raise _unreadable(source, error) from error


def _rechunked(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of CHUNK, the last one shorter."""
    held = bytearray()
    for block in blocks:
        held += block
        if len(held) >= CHUNK:
            whole = len(held) - len(held) % CHUNK
            view = bytes(held[:whole])
            del held[:whole]
            for start in range(0, whole, CHUNK):
                yield view[start : start + CHUNK]
    if held:
        yield bytes(held)


def _nonce(index: int, *, last: bool) -> bytes:
    return bytes(7) + index.to_bytes(4, "big") + bytes((last,))


def _encrypted(chunks: Iterable[bytes], cipher: AESGCM) -> Iterator[bytes]:
    held: bytes | None = None
    index = 0
    for chunk in chunks:
        if held is not None:
            yield cipher.encrypt(_nonce(index, last=False), held, _CONTEXT)
            index += 1
        held = chunk
    assert held is not None, "the manifest is never empty"
    yield cipher.encrypt(_nonce(index, last=True), held, _CONTEXT)


def unseal(
    sealed: Path, key: bytes, folder: Path, progress: Callable[[int], None] = _ignore
) -> list[Path]:
    """Put the contents into `folder`, and answer what now stands there (top-level paths).

    Nothing is overwritten (`name (1)`), and nothing appears before all of it is verified.
    `progress` hears the bytes read so far; what it raises ends the work and leaves nothing. Raises
    BadInput `share-damaged`; Error `disk-full`, `transfer-failed`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            _temporary(folder, hashlib.sha256(key).hexdigest()[:12]) as temporary,
            _Reader(sealed, key, progress) as reader,
        ):
            return [_place(temporary / name, folder) for name in _unpack(reader, temporary)]
    except OSError as error:
        raise _unwritable(folder, error) from error


@contextmanager
def _temporary(folder: Path, tag: str) -> Iterator[Path]:
    """A new folder in `folder`, gone in the end; those that a killed process left go first."""
    for left in folder.glob(f".p2pchat-{tag}-*"):
        with _locked(left) as free:
            if free:
                shutil.rmtree(left, ignore_errors=True)
    path = folder / f".p2pchat-{tag}-{os.urandom(6).hex()}"
    path.mkdir(0o700)
    try:
        with _locked(path):
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder, if nobody else does; whether we do."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
        except OSError:
            locked = False
        yield locked
    finally:
        os.close(descriptor)


def _place(source: Path, folder: Path) -> Path:
    """Move `source` into `folder` under its name or the next free one."""
    while True:
        final = folder / unique(source.name, _taken_in(folder))
        try:
            if source.is_dir():
                # Fails if a file or a folder that is not empty has come there since.
                source.rename(final)
            else:
                try:
                    # Unlike a rename, a link never replaces what has come there since.
                    os.link(source, final)
                except OSError as error:
                    if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
                        raise
                    source.rename(final)  # a file system without links
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
            continue
        return final


def _unpack(reader: "_Reader", target: Path) -> list[str]:
    length = int.from_bytes(reader.read(4), "big")
    if length > _MANIFEST_MAX:
        raise _damaged()
    try:
        manifest = msgspec.msgpack.decode(reader.read(length), type=_Manifest)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise _damaged() from error
    if manifest.version != 1 or len(manifest.items) > _ENTRIES_MAX:
        raise _damaged()
    folders = {target}
    numbers: dict[Path, int] = {}
    top: dict[str, None] = {}
    for item in manifest.items:
        if not 0 < len(item.parts) <= _DEPTH_MAX or not 0 <= item.size < 1 << 62:
            raise _damaged()
        path = target / safe_part(item.parts[0], hidden=False)
        path = path.joinpath(*map(safe_part, item.parts[1:]))
        try:
            for parent in reversed([path, *path.parents] if item.mode == _FOLDER else path.parents):
                if parent not in folders and parent.is_relative_to(target):
                    parent.mkdir()
                    folders.add(parent)
        except OSError as error:
            if error.errno in _NOT_OF_A_FOLDER:
                raise _damaged() from error
            raise
        if len(folders) > _ENTRIES_MAX:
            raise _damaged()
        if item.mode != _FOLDER:
            path = _unpack_file(reader, item, path, numbers)
        top[path.relative_to(target).parts[0]] = None
    reader.finish()
    return list(top)


def _unpack_file(reader: "_Reader", item: _Item, path: Path, numbers: dict[Path, int]) -> Path:
    """Write one file. Two names may become one when made safe, or on this file system."""
    number = numbers.get(path, 1)
    free = path.with_name(unique(path.name, _taken_in(path.parent), number))
    if free != path:
        # So that 100,000 files of one name do not try 100,000 numbers each.
        numbers[path] = number + 1
    try:
        output = free.open("xb")
    except OSError as error:
        if error.errno in _NOT_OF_A_FOLDER:
            raise _damaged() from error
        raise
    with output:
        left = item.size
        while left:
            block = reader.read(min(left, CHUNK))
            output.write(block)
            left -= len(block)
        if item.mode == _EXECUTABLE:
            # For those who may read it, as the person's umask has decided.
            mode = stat.S_IMODE(os.fstat(output.fileno()).st_mode)
            os.fchmod(output.fileno(), mode | (mode & 0o444) >> 2)
    return free


def _taken_in(folder: Path) -> Callable[[str], bool]:
    return lambda name: os.path.lexists(folder / name)


class _Reader:
    """The plaintext of a sealed file, chunk by verified chunk."""

    def __init__(self, path: Path, key: bytes, progress: Callable[[int], None]) -> None:
        self._cipher = AESGCM(key)
        self._file = path.open("rb")
        self._left = os.fstat(self._file.fileno()).st_size
        self._index = 0
        self._held = bytearray()
        self._progress = progress

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises BadInput `share-damaged`."""
        while len(self._held) < size:
            self._held += self._next()
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    def finish(self) -> None:
        if self._held or self._left:
            raise _damaged()

    def _next(self) -> bytes:
        if not self._left:
            raise _damaged()
        data = self._file.read(CHUNK + _TAG)
        self._left -= len(data)
        try:
            nonce = _nonce(self._index, last=not self._left)
            chunk = self._cipher.decrypt(nonce, data, _CONTEXT)
        except InvalidTag:
            raise _damaged() from None
        self._index += 1
        self._progress(self._file.tell())
        return chunk


def _damaged() -> BadInput:
    return BadInput(
        "share-damaged",
        "what arrived does not unseal with this link's key",
        "ask for the whole magnet link again",
    )


def _unreadable(path: Path, error: OSError) -> BadInput:
    return BadInput(
        "file-unreadable",
        f"{path} cannot be read: {error.strerror}",
        "check its permissions",
    )


def _unwritable(path: Path, error: OSError) -> Error:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Error(
            "disk-full", f"the disk of {path} is full", "free some space, then run it again"
        )
    return Error(
        "transfer-failed",
        f"{path} cannot be written: {error.strerror}",
        "check the permissions, or choose another folder with -o",
    )
