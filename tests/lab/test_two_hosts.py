"""Two machines on one network, with the installed command: meet, write, hand over files."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.homes import NO_CARRIER, Home, events
from tests.harness.lab import Lab, needs_lab


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Home, Home]]:
    with Lab() as lab:
        homes = tuple(
            Home(name, tmp_path / name.lower(), (), tuple(lab.host(name.lower()).command(())))
            for name in ("Ann", "Bob")
        )
        ann, bob = homes
        try:
            ann.up()
            bob.up()
            yield ann, bob
        finally:
            for home in homes:
                home.end()


def _connect(ann: Home, bob: Home) -> None:
    blob = ann.run("invite", "--no-wait").found("invite")[0]["blob"]
    assert bob.run("join", blob, "--no-chat", "--timeout", "20").found("joined")


@needs_lab
def test_one_paste_connects_two_hosts_of_one_network(pair: tuple[Home, Home]) -> None:
    ann, bob = pair
    _connect(ann, bob)
    assert ann.run("send", "Bob", "hi", "--wait").found("delivered")
    assert bob.run("peers").found("peer")[0]["via"] == "lan"


@needs_lab
def test_two_pastes_connect_two_hosts_without_discovery(pair: tuple[Home, Home]) -> None:
    ann, bob = pair
    for home in pair:
        home.run("down")
        home.settings = NO_CARRIER
        home.up()
    invite = ann.run("invite", "--no-wait").found("invite")[0]
    joining = bob.start("join", invite["blob"], "--no-chat")
    reply = next(row for row in events(joining) if row["event"] == "reply")
    assert ann.run("reply", reply["blob"]).found("joined")
    assert ann.run("send", "Bob", "hi", "--wait").found("delivered")
    assert bob.run("peers").found("peer")[0]["via"] == "paste"


@needs_lab
@pytest.mark.timeout(240)
def test_a_large_file_and_a_folder_arrive_over_webrtc_peers_only(
    pair: tuple[Home, Home], tmp_path: Path
) -> None:
    ann, bob = pair
    _connect(ann, bob)
    big = tmp_path / "big.bin"
    with big.open("wb") as file:
        for _ in range(300):
            file.write(os.urandom(1_000_000))
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number:03}.dat").write_bytes(os.urandom(2_000))
    for source in (big, folder):
        magnet = ann.run("share", str(source)).found("share")[0]["magnet"]
        got = bob.run("get", magnet, "-o", str(tmp_path / "down"), timeout=200)
        rows = got.found("transfer")
        # libtorrent's own peer list, as it stood with each report.
        carried = {kind for row in rows for kind in row.get("transports", {})}
        assert carried <= {"webrtc"}
        if source is big:
            assert carried == {"webrtc"}
        arrived = Path(rows[-1]["path"])
        for path in [source] if source.is_file() else sorted(source.iterdir()):
            there = arrived if source.is_file() else arrived / path.name
            assert _hash(there) == _hash(path)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
