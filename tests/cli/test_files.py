from pathlib import Path

from tests.harness.homes import Home


def test_a_magnet_stands_alone_on_stdout_and_its_share_can_be_withdrawn(
    ann: Home, tmp_path: Path
) -> None:
    ann.up()
    (tmp_path / "note.txt").write_text("hello")
    magnet = ann.run("share", str(tmp_path / "note.txt"), json=False).out.strip()
    assert magnet.startswith("magnet:?xt=urn:btih:")
    row = ann.run("files").found("transfer")[0]
    assert row["name"] == "note.txt"
    ann.run("unshare", row["id"][:10])
    assert not ann.run("files").found("transfer")
    assert not list((ann.path / "files").iterdir())


def test_nobody_who_has_it_is_a_timeout(ann: Home, tmp_path: Path) -> None:
    magnet = f"magnet:?xt=urn:btih:{'ab' * 20}&dn=x&xl=1000&x.p2pkey={'A' * 43}"
    outcome = ann.run("get", magnet, "-o", str(tmp_path / "d"), "--timeout", "2", code=5)
    assert outcome.found("error")[0]["code"] == "transfer-timeout"
    assert not (tmp_path / "d").exists()
