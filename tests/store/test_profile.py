"""One node per home, nothing readable by others, and a key that is never lost by accident."""

import errno
import fcntl
import json
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from p2pchat.errors import Busy, Error
from p2pchat.store import profile as module
from p2pchat.store.database import Database
from p2pchat.store.profile import Profile, default_home


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_everything_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    os.umask(0)
    home = tmp_path / "one" / "two"
    profile = Profile.open(home)
    database = await Database.open(profile.database_path, profile.key(os.urandom))
    files = {file.name: mode(file) for file in home.iterdir()}
    await database.aclose()
    profile.close()
    assert mode(home) == 0o700
    assert files == dict.fromkeys(
        ("lock", "key", "journal.db", "journal.db-wal", "journal.db-shm"), 0o600
    )


def test_no_core_dump_will_hold_the_keys(tmp_path: Path) -> None:
    Profile.open(tmp_path).close()
    assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0


def test_a_home_is_held_by_one_and_free_when_it_closes(tmp_path: Path) -> None:
    assert Profile.owner(tmp_path) is None
    first = Profile.open(tmp_path)
    with pytest.raises(Busy) as raised:
        Profile.open(tmp_path)
    assert raised.value.code == "home-in-use"
    assert f"process {os.getpid()}" in raised.value.message
    assert Profile.owner(tmp_path) == os.getpid()
    first.close()
    first.close()
    assert Profile.owner(tmp_path) is None
    Profile.open(tmp_path).close()


def test_a_home_whose_process_was_killed_is_free(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from p2pchat.store.profile import Profile\n"
        "held = Profile.open(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(Busy, match=f"process {other.pid}"):
            Profile.open(tmp_path)
        other.kill()
        other.wait()
        Profile.open(tmp_path).close()


def test_a_look_at_the_owner_does_not_keep_anybody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(looking, fcntl.LOCK_SH)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        fcntl.flock(looking, fcntl.LOCK_UN)

    monkeypatch.setattr("time.sleep", pause)
    Profile.open(tmp_path).close()
    os.close(looking)
    assert len(pauses) == 1


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Error) as raised:
        Profile.open(tmp_path / "file")
    assert raised.value.code == "home-unwritable"
    assert str(tmp_path / "file") in raised.value.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_home_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(Error) as raised:
        Profile.open(tmp_path)
    tmp_path.chmod(0o700)
    assert raised.value.code == "home-unwritable"


_ON_ITS_OWN_DISK = """
import os, subprocess, sys
from pathlib import Path
from p2pchat.errors import Error
from p2pchat.store.profile import Profile

disk = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=True)
profile = Profile.open(disk)
try:
    (disk / "filler").write_bytes(bytes(1 << 20))
except OSError:
    pass
try:
    profile.key(os.urandom)
except Error as error:
    print(error.code, sorted(p.name for p in disk.iterdir()) == ["filler", "lock"])
(disk / "filler").unlink()
print(profile.key(os.urandom) == profile.key(os.urandom))
profile.close()
subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
for home in (disk, disk / "new"):
    try:
        Profile.open(home)
    except Error as error:
        print(error.code)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_full_and_read_only_disks_are_named(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine allows no mount namespace")
    run = ["unshare", "--mount", sys.executable, "-c", _ON_ITS_OWN_DISK, str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == [
        "disk-full",
        "True",
        "True",
        "home-unwritable",
        "home-unwritable",
    ], done.stderr


def test_the_key_is_made_once(tmp_path: Path) -> None:
    profile = Profile.open(tmp_path)
    made = profile.key(os.urandom)
    assert len(made) == 32
    assert profile.key(os.urandom) == made
    assert not (tmp_path / "key.new").exists()
    profile.close()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", "home-damaged"),
        (b"\xff\xfe", "home-damaged"),
        (b"[]", "home-damaged"),
        (b"{}", "home-damaged"),
        (b'{"version": 1, "protection": "none", "key": "00"}', "home-damaged"),
        (b'{"version": 1, "protection": "none", "key": 7}', "home-damaged"),
        (b'{"version": 1, "protection": "other", "key": ""}', "home-damaged"),
        (b'{"version": "x"}', "home-damaged"),
        (b'{"version": 2}', "home-newer"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_named_and_kept(
    tmp_path: Path, text: bytes, code: str
) -> None:
    (tmp_path / "key").write_bytes(text)
    profile = Profile.open(tmp_path)
    with pytest.raises(Error) as raised:
        profile.key(os.urandom)
    profile.close()
    assert raised.value.code == code
    assert (tmp_path / "key").read_bytes() == text


def test_a_missing_key_is_not_replaced_while_there_is_a_database(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"something")
    profile = Profile.open(tmp_path)
    with pytest.raises(Error, match="is missing") as raised:
        profile.key(os.urandom)
    profile.close()
    assert raised.value.code == "home-damaged"
    assert not (tmp_path / "key").exists()


def test_the_key_file_says_its_version_and_protection(tmp_path: Path) -> None:
    profile = Profile.open(tmp_path)
    made = profile.key(os.urandom)
    profile.close()
    fields = json.loads((tmp_path / "key").read_text())
    assert fields == {"version": 1, "protection": "none", "key": made.hex()}


def test_a_short_home_has_its_socket_inside(tmp_path: Path) -> None:
    assert Profile.socket_for(Path("/h")) == Path("/h/api.sock")


def test_a_long_home_has_its_socket_in_a_folder_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TEMPORARY", tmp_path)
    home = Path("/") / ("long" * 40)
    path = Profile.socket_for(home)
    assert path == Profile.socket_for(home)
    assert path != Profile.socket_for(home.with_name("other" * 40))
    assert path.parent.parent == tmp_path
    assert mode(path.parent) == 0o700


@pytest.mark.parametrize("trap", ["open to others", "a link", "a file"])
def test_a_socket_folder_that_another_could_have_laid_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: str
) -> None:
    monkeypatch.setattr(module, "_TEMPORARY", tmp_path)
    folder = tmp_path / f"p2pchat-{os.getuid()}"
    if trap == "open to others":
        folder.mkdir()
        folder.chmod(0o777)
    elif trap == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.write_text("")
    with pytest.raises(Error) as raised:
        Profile.socket_for(Path("/") / ("long" * 40))
    assert raised.value.code == "home-unwritable"


def test_the_home_is_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("P2PCHAT_HOME", str(tmp_path))
    assert default_home() == tmp_path
    monkeypatch.delenv("P2PCHAT_HOME")
    assert default_home().name == "p2pchat"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk-full"),
        (errno.EDQUOT, "disk-full"),
        (errno.EROFS, "home-unwritable"),
        (errno.EACCES, "home-unwritable"),
    ],
)
def test_faults_of_the_disk_have_names(number: int, code: str) -> None:
    assert module.unwritable(Path("/h"), OSError(number, "said")).code == code
