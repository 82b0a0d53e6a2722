"""Files and folders handed over by magnet link, on one machine."""

import hashlib
import os
import signal
from pathlib import Path

from tests.harness.homes import LOOPBACK, Home, events


def test_a_file_arrives_whole_by_its_magnet(friends: tuple[Home, Home], tmp_path: Path) -> None:
    ann, bob = friends
    source = tmp_path / "ünïcode näme.bin"
    source.write_bytes(os.urandom(5_000_000))
    share = ann.run("share", str(source), "--room", "Bob").found("share")[0]
    assert share["size"] == 5_000_000
    got = bob.run("get", share["magnet"], "-o", str(tmp_path / "down"))
    last = got.found("transfer")[-1]
    assert last["state"] == "complete"
    assert Path(last["path"]).name == source.name
    assert _hash(Path(last["path"])) == _hash(source)
    again = bob.run("get", share["id"][:10], "-o", str(tmp_path / "down"))
    assert Path(again.found("transfer")[-1]["path"]).name == "ünïcode näme (1).bin"


def test_a_folder_arrives_whole(friends: tuple[Home, Home], tmp_path: Path) -> None:
    ann, bob = friends
    source = tmp_path / "album"
    for number in range(20):
        folder = source / f"part {number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.txt").write_bytes(os.urandom(number * 1_000))
    (source / "empty").mkdir()
    (source / "run").write_text("#!/bin/sh\n")
    (source / "run").chmod(0o755)
    magnet = ann.run("share", str(source)).found("share")[0]["magnet"]
    bob.run("get", magnet, "-o", str(tmp_path / "down"))
    there = tmp_path / "down" / "album"
    names = sorted(path.relative_to(source) for path in source.rglob("*"))
    assert sorted(path.relative_to(there) for path in there.rglob("*")) == names
    for name in names:
        if (source / name).is_file():
            assert (source / name).read_bytes() == (there / name).read_bytes()
    assert os.access(there / "run", os.X_OK)


def test_a_download_goes_on_after_kill_9(friends: tuple[Home, Home], tmp_path: Path) -> None:
    ann, bob = friends
    # Slow enough that the cut comes in the middle, however fast the machine is.
    ann.run("down")
    ann.settings = (*LOOPBACK, "files.upload_rate=8_000_000")
    ann.up()
    source = tmp_path / "big"
    source.write_bytes(os.urandom(24_000_000))
    magnet = ann.run("share", str(source)).found("share")[0]["magnet"]
    node = bob.run("status").found("status")[0]["pid"]
    getting = bob.start("get", magnet, "-o", str(tmp_path / "down"))
    seen = []
    for row in events(getting):
        seen.append(row)
        if row.get("state") == "downloading" and row["done"]:
            os.kill(node, signal.SIGKILL)
            break
    assert seen[-1].get("state") == "downloading", seen
    assert getting.wait(20) != 0
    assert not (tmp_path / "down" / "big").exists()
    bob.up()
    got = bob.run("get", magnet, "-o", str(tmp_path / "down"), timeout=90)
    assert _hash(Path(got.found("transfer")[-1]["path"])) == _hash(source)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
