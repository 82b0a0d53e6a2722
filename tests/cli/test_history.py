"""What cannot be meant is refused before anything is opened."""

from pathlib import Path

from tests.harness.homes import Home


def test_an_archive_is_of_no_single_room(tmp_path: Path) -> None:
    home = Home("Ann", tmp_path / "ann")
    wrong = ("export", "Bob", "--format", "archive", "-o", str(tmp_path / "x"))
    assert home.run(*wrong, code=2).found("error")[0]["code"] == "usage"
    assert home.run("export", code=2).found("error")[0]["code"] == "usage"
    assert not home.path.exists()


def test_a_mistyped_path_makes_no_profile(tmp_path: Path) -> None:
    home = Home("Ann", tmp_path / "ann")
    error = home.run("import", str(tmp_path / "x.arhc"), code=3).found("error")[0]
    assert error["code"] == "file-missing"
    assert not home.path.exists()
