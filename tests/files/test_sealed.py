"""Sealing: what goes in comes out, and nothing else does, wherever."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from p2pchat.errors import BadInput, Error
from p2pchat.files import sealed
from p2pchat.files.sealed import CHUNK, seal, unseal

_KEY = bytes(range(32))


def _tree(root: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes()
        for path in sorted(root.rglob("*"))
    }


def _forge(target: Path, items: list[tuple[list[str], int, int]], contents: bytes = b"") -> Path:
    """A sealed file with the manifest that a hostile member would write."""
    manifest = msgspec.msgpack.encode([1, "n", items])
    plain = len(manifest).to_bytes(4, "big") + manifest + contents
    blocks = [plain[start : start + CHUNK] for start in range(0, len(plain), CHUNK)]
    target.write_bytes(b"".join(sealed._encrypted(blocks, AESGCM(_KEY))))
    return target


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(size=st.sampled_from([0, 1, CHUNK - 60, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7]))
def test_a_file_of_any_size_comes_back(tmp_path_factory: pytest.TempPathFactory, size: int) -> None:
    folder = tmp_path_factory.mktemp("any")
    content = os.urandom(size)
    (folder / "data.bin").write_bytes(content)
    result = seal([folder / "data.bin"], folder / "sealed", _KEY)
    assert (result.name, result.size) == ("data.bin", size)
    assert result.sealed_size == (folder / "sealed").stat().st_size
    assert unseal(folder / "sealed", _KEY, folder / "out") == [folder / "out" / "data.bin"]
    assert (folder / "out" / "data.bin").read_bytes() == content


@given(st.binary(max_size=400), st.integers(1, 60))
def test_chunks_in_any_cut_are_the_same_bytes(data: bytes, step: int) -> None:
    with mock.patch.object(sealed, "CHUNK", 16):
        blocks = (data[start : start + step] for start in range(0, len(data), step))
        chunks = list(sealed._rechunked(blocks))
    assert b"".join(chunks) == data
    assert all(len(chunk) == 16 for chunk in chunks[:-1])


def test_a_folder_of_200_files_comes_back_with_empty_ones(tmp_path: Path) -> None:
    source = tmp_path / "Fotos 日本"
    for number in range(200):
        path = source / f"dir{number % 7}" / f"ä {number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * number)
    (source / "empty" / "nested").mkdir(parents=True)
    (source / ".hidden").write_bytes(b"kept inside a folder")
    (source / "run.sh").write_bytes(b"#!")
    (source / "run.sh").chmod(0o755)
    seal([source], tmp_path / "sealed", _KEY)
    (placed,) = unseal(tmp_path / "sealed", _KEY, tmp_path / "out")
    assert placed.name == source.name
    assert _tree(placed) == _tree(source)
    assert placed.joinpath("run.sh").stat().st_mode & stat.S_IXUSR
    assert not placed.joinpath(".hidden").stat().st_mode & stat.S_IXUSR


def test_links_in_a_folder_are_left_out_and_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    source = tmp_path / "source"
    source.mkdir()
    (source / "link").symlink_to(tmp_path / "secret")
    (source / "dir").symlink_to(tmp_path)
    os.mkfifo(source / "pipe")
    seal([source], tmp_path / "sealed", _KEY)
    (placed,) = unseal(tmp_path / "sealed", _KEY, tmp_path / "out")
    assert _tree(placed) == {}


def test_names_that_are_not_utf_8_are_sealed_all_the_same(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for byte in (b"\xff", b"\xfe"):
        Path(os.fsdecode(os.fsencode(source) + b"/a" + byte)).write_bytes(byte)
    seal([source], tmp_path / "sealed", _KEY)
    (placed,) = unseal(tmp_path / "sealed", _KEY, tmp_path / "out")
    assert sorted(_tree(placed).values()) == [b"\xfe", b"\xff"]


def test_nothing_is_ever_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"new")
    seal([tmp_path / "a.txt"], tmp_path / "sealed", _KEY)
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.txt").write_bytes(b"mine")
    assert unseal(tmp_path / "sealed", _KEY, out) == [out / "a (1).txt"]
    assert (out / "a.txt").read_bytes() == b"mine"


def test_a_file_that_comes_in_between_is_not_overwritten_either(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"new")
    seal([tmp_path / "a.txt"], tmp_path / "sealed", _KEY)
    out = tmp_path / "out"
    real = sealed.unique

    def late(name: str, taken: Callable[[str], bool], start: int = 1) -> str:
        chosen = real(name, taken, start)
        # Unpacking is over once the place in `out` itself is chosen.
        if taken.__closure__[0].cell_contents == out and chosen == "a.txt":  # type: ignore[attr-defined]
            (out / "a.txt").write_bytes(b"mine")
        return chosen

    with mock.patch.object(sealed, "unique", late):
        placed = unseal(tmp_path / "sealed", _KEY, out)
    assert (out / "a.txt").read_bytes() == b"mine"
    assert placed == [out / "a (1).txt"]
    assert placed[0].read_bytes() == b"new"


@pytest.mark.parametrize("change", ["cut", "chunk", "flip", "swap", "longer", "empty", "key"])
def test_a_change_anywhere_is_noticed_and_leaves_nothing(tmp_path: Path, change: str) -> None:
    (tmp_path / "a").write_bytes(os.urandom(4 * CHUNK))
    file = tmp_path / "sealed"
    seal([tmp_path / "a"], file, _KEY)
    data, piece = file.read_bytes(), CHUNK + 16
    changed = {
        "cut": data[:-1],
        "chunk": data[: 2 * piece],
        "flip": data[:-1] + bytes((data[-1] ^ 1,)),
        "swap": data[piece : 2 * piece] + data[:piece] + data[2 * piece :],
        "longer": data + b"x",
        "empty": b"",
        "key": data,
    }[change]
    file.write_bytes(changed)
    with pytest.raises(BadInput) as raised:
        unseal(file, bytes(32) if change == "key" else _KEY, tmp_path / "out")
    assert raised.value.code == "share-damaged"
    assert _tree(tmp_path / "out") == {}


_HOSTILE: list[list[tuple[list[str], int, int]]] = [
    [([".."], 3, 0)],
    [(["..", "..", "up"], 3, 0)],
    [(["/etc/passwd"], 3, 0)],
    [(["/", "etc"], 3, 0)],
    [(["a", "..", "..", "b"], 3, 0)],
    [(["a\0b"], 3, 0)],
    [([".ssh", "authorized_keys"], 3, 0)],
    [(["C:\\Windows"], 3, 0)],
    [([".bashrc"], 3, 0)],
]


@pytest.mark.parametrize("items", _HOSTILE)
def test_no_path_leads_out_of_the_folder(
    tmp_path: Path, items: list[tuple[list[str], int, int]]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    placed = unseal(_forge(tmp_path / "sealed", items, b"abc"), _KEY, home / "out")
    assert [path.parent for path in placed] == [home / "out"]
    assert not placed[0].name.startswith(".")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "sealed"]
    assert sorted(path.name for path in home.iterdir()) == ["out"]


@pytest.mark.parametrize(
    "items",
    [
        [(["a"], 3, 0), (["a", "b"], 0, 0)],
        [(["a"], 3, 0), (["a"], 0, 2)],
        [(["a"], 4, 0)],
        [(["a"], 2, 0)],
        [(["a"], -1, 0)],
        [(["a"], 1 << 63, 0)],
        [([], 3, 0)],
        [(["a"] * 65, 3, 0)],
        [(["d" * 200] * 60, 3, 0)],
    ],
)
def test_a_manifest_that_contradicts_itself_is_damage(
    tmp_path: Path, items: list[tuple[list[str], int, int]]
) -> None:
    with pytest.raises(BadInput) as raised:
        unseal(_forge(tmp_path / "sealed", items, b"abc"), _KEY, tmp_path / "out")
    assert raised.value.code == "share-damaged"
    assert _tree(tmp_path / "out") == {}


def test_many_files_of_one_name_cost_no_quadratic_time(tmp_path: Path) -> None:
    items = [(["d", "same"], 0, 0)] * 3_000
    with mock.patch.object(sealed.os.path, "lexists", wraps=os.path.lexists) as asked:
        (placed,) = unseal(_forge(tmp_path / "sealed", items), _KEY, tmp_path / "out")
    assert len(list(placed.iterdir())) == 3_000
    assert asked.call_count < 10_000


@given(st.binary(max_size=300))
def test_any_bytes_under_the_right_key_are_damage_or_files(
    tmp_path_factory: pytest.TempPathFactory, plain: bytes
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "sealed").write_bytes(b"".join(sealed._encrypted([plain or b"x"], AESGCM(_KEY))))
    with pytest.raises(BadInput):
        unseal(folder / "sealed", _KEY, folder / "out")


def test_what_a_killed_process_left_is_cleared_but_not_what_a_live_one_uses(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    seal([tmp_path / "a"], tmp_path / "sealed", _KEY)
    out = tmp_path / "out"
    unseal(tmp_path / "sealed", _KEY, out)
    tag = sealed.hashlib.sha256(_KEY).hexdigest()[:12]
    dead, live = out / f".p2pchat-{tag}-dead", out / f".p2pchat-{tag}-live"
    dead.mkdir()
    live.mkdir()
    with sealed._locked(live):
        unseal(tmp_path / "sealed", _KEY, out)
    assert not dead.exists()
    assert live.exists()


class _Stop(Exception):
    pass


def test_progress_may_end_the_work_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(5 * CHUNK))

    def stop(done: int) -> None:
        if done > 2 * CHUNK:
            raise _Stop

    with pytest.raises(_Stop):
        seal([tmp_path / "a"], tmp_path / "sealed", _KEY, stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]
    seal([tmp_path / "a"], tmp_path / "sealed", _KEY)
    with pytest.raises(_Stop):
        unseal(tmp_path / "sealed", _KEY, tmp_path / "out", stop)
    assert _tree(tmp_path / "out") == {}


def test_what_cannot_be_shared_is_said_precisely(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, code in (("nothing", "file-missing"), ("pipe", "file-unreadable")):
        with pytest.raises(BadInput) as raised:
            seal([tmp_path / path], tmp_path / "sealed", _KEY)
        assert raised.value.code == code


@pytest.fixture
def full_disk() -> Iterator[None]:
    class Full:
        def __call__(self, *_: object) -> None:
            raise OSError(28, "No space left on device")

    with mock.patch.object(sealed.os, "fsync", Full()):
        yield


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_is_said_so_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(Error) as raised:
        seal([tmp_path / "a"], tmp_path / "sealed", _KEY)
    assert raised.value.code == "disk-full"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]
