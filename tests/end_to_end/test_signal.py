"""Two homes that have nothing in common but a p2pchat-signal: one paste connects them."""

import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.homes import LOOPBACK, NO_CARRIER, Home, events
from tests.harness.signal import SIGNAL, signal_server


@pytest.fixture
def server() -> Iterator[str]:
    with signal_server() as url:
        yield url


def _apart(home: Home, *more: str) -> Home:
    home.settings = (*LOOPBACK, *NO_CARRIER, *more)
    return home


def _invited(host: Home) -> str:
    blob: str = host.run("invite", "--no-wait").found("invite")[0]["blob"]
    return blob


def test_one_paste_connects_over_the_mailbox(ann: Home, bob: Home, cat: Home, server: str) -> None:
    _apart(ann, f"mailbox.url={server}").up()
    # Bob's settings name no mailbox: the invite does.
    _apart(bob).up()
    _apart(cat).up()
    blob = _invited(ann)
    assert len(blob) <= 300
    joined = bob.run("join", blob, "--no-chat", "--timeout", "15")
    assert joined.found("joined")[0]["name"] == "Ann"
    assert ann.run("peers").found("peer")[0]["via"] == "mailbox"
    ann.run("send", "Bob", "hello Bob", "--wait")
    assert bob.texts("Ann") == ["hello Bob"]
    used = cat.run("join", blob, "--no-chat", code=4)
    assert used.found("error")[0]["code"] == "invite-used"


def test_an_inviter_that_restarts_in_between_is_met(ann: Home, bob: Home, server: str) -> None:
    _apart(ann, f"mailbox.url={server}").up()
    _apart(bob, f"mailbox.url={server}").up()
    blob = _invited(ann)
    ann.run("down")
    joining = bob.start("join", blob, "--no-chat")
    assert next(row for row in events(joining) if row["event"] == "reply")
    ann.up()
    assert joining.wait(20) == 0
    assert ann.run("peers").found("peer")[0]["via"] == "mailbox"


def test_contacts_find_each_other_again_over_the_mailbox(ann: Home, bob: Home, server: str) -> None:
    _apart(ann, f"mailbox.url={server}").up()
    _apart(bob).up()
    bob.run("join", _invited(ann), "--no-chat")
    for home, other in ((ann, "Bob"), (bob, "Ann")):
        home.kill()
        home.up()
        home.run("send", other, "still there?", "--wait", "--timeout", "15")


def test_a_server_that_restarts_loses_nobody(ann: Home, bob: Home) -> None:
    with signal_server() as url:
        port = int(url.rpartition(":")[2])
        _apart(ann, f"mailbox.url={url}").up()
        _apart(bob, f"mailbox.url={url}").up()
        blob = _invited(ann)
    with signal_server(port=port):
        bob.run("join", blob, "--no-chat", timeout=90)
    assert ann.run("peers").found("peer")[0]["via"] == "mailbox"


def test_a_mailbox_that_is_away_costs_the_network_nothing(ann: Home, bob: Home) -> None:
    for home in (ann, bob):
        home.settings = (*LOOPBACK, "mailbox.url=http://127.0.0.1:9")
        home.up()
    began = time.monotonic()
    bob.run("join", _invited(ann), "--no-chat")
    # Generous, since the machine may be busy: it is half a second.
    assert time.monotonic() - began < 15
    assert ann.run("peers").found("peer")[0]["via"] == "lan"


def test_an_address_that_is_none_is_refused_with_a_hint(ann: Home) -> None:
    refused = _apart(ann, "mailbox.url=signal.example").run("invite", "--no-wait", code=2)
    assert refused.found("error")[0]["code"] == "config-malformed"
    assert "mailbox.url" in refused.found("error")[0]["message"]


# -- the command itself ----------------------------------------------------------------------------


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        text: str = answer.read().decode()
        return text


def test_the_command_serves_health_and_metrics_and_ends_on_sigterm() -> None:
    process = subprocess.Popen(
        [*SIGNAL, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    url = process.stdout.readline().split()[-1]
    assert '"ok": true' in _get(f"{url}/health")
    assert "p2pchat_signal_mailbox_clients 0" in _get(f"{url}/metrics")
    process.terminate()
    out, err = process.communicate(timeout=5)
    assert process.returncode == 0
    assert not out
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--state", "/"), "cannot use /"),
        (("--state", "redis://127.0.0.1:1"), "redis"),
        (("--host", "192.0.2.1"), "cannot listen on 192.0.2.1"),
        (("--port", "99999"), "cannot listen on"),
    ],
)
def test_what_cannot_start_says_why_and_what_to_do(arguments: tuple[str, ...], said: str) -> None:
    done = subprocess.run(
        [*SIGNAL, "--port", "0", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert said.lower() in done.stderr.lower()
    assert "\nhint: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_state_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "signal.db"
    with signal_server("--state", str(path)):
        assert path.stat().st_mode & 0o077 == 0
        second = subprocess.run(
            [*SIGNAL, "--port", "0", "--state", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode == 1
        assert "another process uses" in second.stderr
