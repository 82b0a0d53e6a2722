"""Files between two machines that only WebRTC connects; the test carries their signals."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.harness.lab import Host, Lab, needs_lab

_ROOT = Path(__file__).parents[2]
_END_S = 90


def _peer(host: Host, *arguments: str) -> subprocess.Popen[Any]:
    program = str(Path(__file__).with_name("files_peer.py"))
    return host.run([sys.executable, program, *arguments], {"PYTHONPATH": str(_ROOT)})


def _carry(
    source: subprocess.Popen[Any],
    target: subprocess.Popen[Any],
    heard: Callable[[dict[str, Any]], None],
) -> threading.Thread:
    """Pass the signals of one to the other; `heard` is called with all that it says."""

    def run() -> None:
        assert source.stdout is not None
        assert target.stdin is not None
        for line in source.stdout:
            fields = json.loads(line)
            if "signal" in fields:
                try:
                    target.stdin.write(line)
                    target.stdin.flush()
                except (OSError, ValueError):
                    return  # it has all and is gone
            heard(fields)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def _transfer(
    lab: Lab,
    folder: Path,
    megabytes: int,
    heard: Callable[[dict[str, Any]], None],
    upload_rate: int = 0,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the seed said first, and the other one last."""
    seed = _peer(lab.host("seed"), "seed", str(folder / "seed"), str(megabytes), str(upload_rate))
    assert seed.stdout is not None
    first = json.loads(seed.stdout.readline())
    fetch = _peer(lab.host("fetch"), "fetch", str(folder / "fetch"), first["magnet"])
    said: list[dict[str, Any]] = []

    def both(fields: dict[str, Any]) -> None:
        said.append(fields)
        heard(fields)

    _carry(seed, fetch, lambda _: None)
    thread = _carry(fetch, seed, both)
    thread.join(_END_S)
    assert not thread.is_alive(), f"after {_END_S} s it stands at {said[-1:]}"
    return first, said[-1]


@needs_lab
def test_a_share_crosses_by_webrtc_alone(tmp_path: Path) -> None:
    with Lab() as lab:
        first, last = _transfer(lab, tmp_path, 50, lambda _: None)
    assert last.get("complete"), last
    assert last["digest"] == first["digest"]
    assert last["transports"] == ["webrtc"]
    print(f"{50 * 1.048576 / max(last['moving'], 0.2):.0f} MB/s")


@needs_lab
def test_a_transfer_that_falls_silent_is_connected_anew_and_ends(tmp_path: Path) -> None:
    offers = 0
    with Lab() as lab:

        def heard(fields: dict[str, Any]) -> None:
            nonlocal offers
            if fields.get("state") == "downloading" and fields["done"] and offers == 1:
                lab.host("fetch").unplug()
            if fields.get("signal", {}).get("kind") == "offer":
                offers += 1
                if offers == 2:
                    lab.host("fetch").plug()

        # The cut comes in the middle, however fast the machine is.
        first, last = _transfer(lab, tmp_path, 24, heard, upload_rate=6_000_000)
    assert last.get("complete"), last
    assert last["digest"] == first["digest"]
    assert offers >= 2
