from pathlib import Path

import pytest

from p2pchat.files.durable import write_durably


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_durably(path, b"one")
    write_durably(path, b"two")
    assert path.read_bytes() == b"two"
    assert [found.name for found in tmp_path.iterdir()] == ["state"]


def test_what_cannot_be_written_leaves_the_earlier(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_durably(path, b"one")
    (tmp_path / "state.new").mkdir()
    with pytest.raises(OSError, match="state"):
        write_durably(path, b"two")
    assert path.read_bytes() == b"one"
