from pathlib import Path

import pytest

from p2pchat.cli import archived, command
from p2pchat.cli.archived import asked_passphrase, fresh_passphrase
from p2pchat.cli.command import Common
from p2pchat.cli.output import Output
from p2pchat.errors import Usage
from p2pchat.store import keyfile
from tests.harness.homes import Home


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked for, at a terminal where `typed` is typed."""
    prompts: list[str] = []

    def prompt(text: str) -> str:
        prompts.append(text)
        return "typed"

    monkeypatch.setattr(archived, "prompt_secret", prompt)
    monkeypatch.setattr(command, "prompt_secret", prompt)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    return prompts


def _locked(home: Path) -> Common:
    home.mkdir()
    (home / "key").write_bytes(keyfile.lock(bytes(32), "profile", bytes))
    return Common(home)


def test_an_archive_has_a_prompt_of_its_own(
    tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("P2PCHAT_PASSPHRASE", "profile")
    common = _locked(tmp_path / "home")
    assert fresh_passphrase(Output(json=False), common, None) == "typed"
    assert asked == ["New passphrase of the archive: ", "Once more: "]
    assert asked_passphrase(common, None) == "typed"
    assert asked[2:] == ["Passphrase of the archive: "]


def test_what_was_typed_for_the_profile_is_not_the_archives(
    tmp_path: Path, asked: list[str]
) -> None:
    common = _locked(tmp_path / "home")
    common.ask_passphrase = lambda: None  # type: ignore[method-assign]
    common._prompted = "profile"
    assert asked_passphrase(common, None) == "typed"
    assert fresh_passphrase(Output(json=False), common, None) == "typed"


def test_what_is_named_for_the_archive_comes_first(
    tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("P2PCHAT_PASSPHRASE", "profile")
    monkeypatch.setenv("P2PCHAT_ARCHIVE_PASSPHRASE", "own")
    common = _locked(tmp_path / "home")
    assert fresh_passphrase(Output(json=False), common, None) == "own"
    (tmp_path / "file").write_text("filed\n")
    assert asked_passphrase(common, tmp_path / "file") == "filed"
    assert not asked


def test_a_profile_without_one_leaves_what_is_given_to_the_archive(
    tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("P2PCHAT_PASSPHRASE", "given")
    common = Common(tmp_path / "home")
    assert fresh_passphrase(Output(json=False), common, None) == "given"
    assert asked_passphrase(common, None) == "given"
    assert not asked


def test_where_nobody_can_be_asked_the_profiles_serves_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    common = _locked(tmp_path / "home")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    with pytest.raises(Usage, match="no passphrase") as caught:
        fresh_passphrase(Output(json=False), common, None)
    assert "P2PCHAT_ARCHIVE_PASSPHRASE" in caught.value.hint
    assert asked_passphrase(common, None) is None
    monkeypatch.setenv("P2PCHAT_PASSPHRASE", "profile")
    assert fresh_passphrase(Output(json=False), common, None) == "profile"
    assert "under the profile's passphrase" in capsys.readouterr().err
    assert asked_passphrase(common, None) == "profile"


def test_an_archive_goes_into_a_profile_under_another_passphrase(ann: Home, tmp_path: Path) -> None:
    profile, both = {"P2PCHAT_PASSPHRASE": "prof"}, {"P2PCHAT_ARCHIVE_PASSPHRASE": "other"}
    both |= profile
    ann.run("init", "--passphrase", env=profile)
    file = str(tmp_path / "archive")
    ann.run("export", "-o", file, "--format", "archive", env=both)
    assert ann.run("import", file, env=both).found("imported")[0]["added"] == 0
    (tmp_path / "secret").write_text("other\n")
    ann.run("import", file, "--archive-passphrase-file", str(tmp_path / "secret"), env=profile)
    error = ann.run("import", file, env=profile, code=4).found("error")[0]
    assert (error["code"], error["message"]) == (
        "passphrase-wrong",
        "that is not the archive's passphrase",
    )
