"""The profile directory: its lock, its key file, and where everything lies.

config.toml   settings                 journal.db    the encrypted database
key           its key (keyfile.py)     lock          held by the running node
api.sock      the local API            files/        sealed shares and downloads
generation    how often it was opened: a database that says otherwise was put back from a copy
"""

import errno
import fcntl
import hashlib
import os
import resource
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import platformdirs

from p2pchat.errors import Busy, Error
from p2pchat.store import keyfile
from p2pchat.store.keyfile import Passphrase

__all__ = ["REMEDY", "Profile", "default_home", "unwritable"]

REMEDY = (
    "restore an archive with p2pchat --home NEW import FILE, or put a copy of the profile back; "
    "without either, p2pchat --home NEW init begins anew"
)
"""What is left to do where no repair can help."""

# Never TMPDIR: another terminal's may differ, and gettempdir() looks elsewhere when the disk is
# full; the node would be there and not be found.
_TEMPORARY = Path("/tmp")  # noqa: S108  (what we lay there is checked)
_SOCKET_PATH_MAX = 100
"""sun_path has 108 bytes on Linux, 104 on macOS."""


def default_home() -> Path:
    """`P2PCHAT_HOME`, else the platform's data folder."""
    named = os.environ.get("P2PCHAT_HOME")
    return Path(named) if named else platformdirs.user_data_path("p2pchat", appauthor=False)


class Profile:
    """An open, locked profile. Close it with `close`."""

    def __init__(self, home: Path, lock: int) -> None:
        self.home = home
        self._lock = lock

    @classmethod
    def open(cls, home: Path) -> "Profile":
        """Create the directory if needed (0700), and lock it.

        Raises Busy `home-in-use`, Error `home-unwritable`, `disk-full`.
        """
        os.umask(0o077)
        # A core dump would hold every key.
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        home = home.expanduser().absolute()
        try:
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unwritable(home, error) from error
        try:
            _take(descriptor)
        except BlockingIOError:
            owner = os.read(descriptor, 32).decode(errors="replace").strip()
            os.close(descriptor)
            raise Busy(
                "home-in-use",
                f"the profile {home} is in use by another p2pchat"
                + (f" (process {owner})" if owner else ""),
                "stop it with p2pchat down, or choose another --home",
            ) from None
        except OSError as error:  # a file system without locks
            os.close(descriptor)
            raise unwritable(home, error) from error
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            # Who it is, others need not know; whether the disk is full matters to who writes.
            if not _is_full(error):
                os.close(descriptor)
                raise unwritable(home, error) from error
        return cls(home, descriptor)

    @staticmethod
    def owner(home: Path) -> int | None:
        """The process that holds a profile, None if it is free; 0 where it has not said yet."""
        try:
            descriptor = os.open(home / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(descriptor, 32).decode(errors="replace").strip()
            return int(text) if text.isdigit() else 0
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return None

    def close(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def config_path(self) -> Path:
        return self.home / "config.toml"

    @property
    def database_path(self) -> Path:
        return self.home / "journal.db"

    @property
    def dht_path(self) -> Path:
        """Our port in the DHT, and nodes that were met last."""
        return self.home / "dht"

    @property
    def files_path(self) -> Path:
        return self.home / "files"

    @property
    def socket_path(self) -> Path:
        return self.socket_for(self.home)

    @staticmethod
    def socket_for(home: Path) -> Path:
        """Where the API of a home listens; for a long path, in a short folder of ours."""
        home = home.expanduser().absolute()
        path = home / "api.sock"
        if len(os.fsencode(path)) <= _SOCKET_PATH_MAX:
            return path
        name = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
        folder = _TEMPORARY / f"p2pchat-{os.getuid()}"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            status = folder.lstat()
        except OSError as error:
            raise unwritable(folder, error) from error
        if (
            status.st_uid != os.getuid()
            or not stat.S_ISDIR(status.st_mode)
            or status.st_mode & 0o77
        ):
            raise Error(
                "home-unwritable",
                f"{folder} belongs to somebody else",
                "choose a --home with a shorter path",
            )
        return folder / f"{name}.sock"

    def key(self, random: Callable[[int], bytes], passphrase: Passphrase = lambda: None) -> bytes:
        """The database's key, 32 bytes; made on first use and never overwritten.

        `passphrase` is asked only where the key file is locked. Takes most of a second then.
        Raises Busy `home-locked`, Refused `passphrase-wrong`, Error `home-damaged`, `home-newer`,
        `home-unwritable`, `disk-full`.
        """
        data = self._key_file()
        if data is not None:
            try:
                return keyfile.unlock(data, passphrase)
            except ValueError as error:
                raise self._key_damaged() from error
        if self.database_path.exists():
            raise Error(
                "home-damaged",
                f"the key file {self._key_path} is missing",
                "restore it from a copy: without it the profile cannot be read",
            )
        key = random(keyfile.KEY_BYTES)
        self.keep_key(keyfile.plain(key))
        return key

    def check_database(self) -> None:
        """Raises Error `home-damaged` where the journal is gone, though there has been one."""
        path = self.database_path
        wal = path.with_name(path.name + "-wal")
        if not self.generation() or any(one.exists() and one.stat().st_size for one in (path, wal)):
            return
        state = "is empty" if path.exists() else "is missing"
        what = f"the journal {path} {state}, and has not always been so"
        raise Error("home-damaged", what, REMEDY)

    def is_locked(self) -> bool:
        """Whether a passphrase is set. Raises as `key` does."""
        data = self._key_file()
        try:
            return data is not None and keyfile.is_locked(data)
        except ValueError as error:
            raise self._key_damaged() from error

    def keep_key(self, data: bytes) -> None:
        """Put a key file in the place of the one there is, whole or not at all."""
        try:
            _write_durably(self._key_path, data)
        except OSError as error:
            raise unwritable(self.home, error) from error

    def generation(self) -> int:
        """How often the profile was opened, by the count beside the database; 0 if that is gone."""
        try:
            return int((self.home / "generation").read_text())
        except (OSError, ValueError):
            return 0

    def keep_generation(self, generation: int) -> None:
        """Raises Error `home-unwritable`, `disk-full`."""
        try:
            _write_durably(self.home / "generation", str(generation).encode())
        except OSError as error:
            raise unwritable(self.home, error) from error

    def generation_mark(self) -> int:
        """What no copy of the file has, whatever copied it: when its inode last changed, in ns."""
        try:
            return (self.home / "generation").stat().st_ctime_ns
        except OSError:
            return 0

    @property
    def _key_path(self) -> Path:
        return self.home / "key"

    def _key_file(self) -> bytes | None:
        try:
            return self._key_path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unwritable(self.home, error) from error

    def _key_damaged(self) -> Error:
        return Error(
            "home-damaged",
            f"the key file {self._key_path} is damaged",
            "restore it from a copy: without it the profile cannot be read",
        )


_LOCK_TRIES = 5
_LOCK_PAUSE_S = 0.02


def _take(descriptor: int) -> None:
    """Lock, or raise BlockingIOError. `owner` holds it for a moment too, to see if it is free."""
    for _ in range(_LOCK_TRIES - 1):
        with suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(_LOCK_PAUSE_S)
    return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _write_durably(path: Path, data: bytes) -> None:
    """Write 0600, whole or not at all, also across a power cut."""
    temporary = path.with_name(path.name + ".new")
    try:
        # Mode by umask; a file object writes all of it, or raises.
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o600)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def unwritable(home: Path, error: OSError) -> Error:
    """An OSError on the profile, as an error for people."""
    if _is_full(error):
        return Error(
            "disk-full",
            f"the disk of {home} is full",
            "free some space, or choose another --home",
        )
    return Error(
        "home-unwritable",
        f"the profile {home} cannot be used: {error.strerror}",
        "check the permissions, or choose another --home",
    )
