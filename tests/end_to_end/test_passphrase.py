"""A profile under a passphrase: set, changed, removed, and closed to whoever does not know it."""

from pathlib import Path

from tests.harness.homes import Home


def _error(home: Home, *arguments: str, code: int, env: dict[str, str] | None = None) -> str:
    found: str = home.run(*arguments, code=code, env=env).found("error")[0]["code"]
    return found


def test_a_passphrase_is_set_changed_and_removed(ann: Home, tmp_path: Path) -> None:
    first, second = {"P2PCHAT_PASSPHRASE": "first"}, {"P2PCHAT_PASSPHRASE": "second"}
    assert _error(ann, "passphrase", code=2) == "passphrase-missing"
    peer = ann.run("id").found("identity")[0]["peer"]
    ann.run("passphrase", env=first)
    key = (ann.path / "key").read_bytes()
    assert _error(ann, "id", code=6) == "home-locked"
    assert _error(ann, "id", code=4, env=second) == "passphrase-wrong"
    assert _error(ann, "passphrase", code=4, env=second | {"P2PCHAT_NEW_PASSPHRASE": "x"})
    assert (ann.path / "key").read_bytes() == key
    new = tmp_path / "new"
    new.write_text("second\nnot this\n")
    ann.run("passphrase", "--new-file", str(new), env=first)
    assert _error(ann, "id", code=4, env=first) == "passphrase-wrong"
    assert ann.run("--passphrase-file", str(new), "id").found("identity")[0]["peer"] == peer
    ann.run("passphrase", "--remove", env=second)
    assert ann.run("id").found("identity")[0]["peer"] == peer


def test_a_node_runs_on_a_locked_profile_and_serves_without_the_passphrase(ann: Home) -> None:
    secret = {"P2PCHAT_PASSPHRASE": "correct horse"}
    ann.run("init", "--passphrase", env=secret)
    assert _error(ann, "up", code=6) == "home-locked"
    ann.run("up", env=secret)
    try:
        pid = ann.run("status").found("status")[0]["pid"]
        environment = Path(f"/proc/{pid}/environ")
        if environment.exists():
            assert b"correct horse" not in environment.read_bytes()
        assert _error(ann, "passphrase", "--remove", code=6, env=secret) == "home-in-use"
    finally:
        ann.run("down")
