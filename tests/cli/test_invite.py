import pytest

from p2pchat.cli.invite import duration
from p2pchat.errors import Usage
from tests.harness.homes import Home


def test_durations() -> None:
    assert duration("90s") == 90
    assert duration(" 24H ") == 86_400
    assert duration("7d") == 604_800
    for text in ("", "0h", "soon", "1y", "-1h", "9999999d"):
        with pytest.raises(Usage):
            duration(text)


def test_the_blob_stands_alone_on_stdout(ann: Home) -> None:
    ann.up()
    shown = ann.run("invite", "--no-wait", json=False)
    (blob,) = shown.out.split()
    assert blob.startswith("p2p1")
    assert len(blob) <= 300
    assert "p2pchat join" in shown.err


def test_leaving_an_invite_starts_the_background_node(ann: Home) -> None:
    blob = ann.run("invite", "--no-wait").found("invite")[0]
    assert blob["expires"].endswith("Z")
    assert ann.run("status").found("status")[0]["invites"] == 1


def test_waiting_ends_with_its_time(ann: Home) -> None:
    outcome = ann.run("invite", "--timeout", "1", code=5)
    assert outcome.found("error")[0]["code"] == "unreachable"
