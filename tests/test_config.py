from pathlib import Path

import pytest

from p2pchat.config import keys, load
from p2pchat.errors import Usage


def test_each_value_knows_where_it_came_from(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[net]\nstun = ["stun:a:1"]\ninterfaces = ["eth0"]\n[api]\nport = 5\n')
    found = load(
        file, {"P2PCHAT_NET_INTERFACES": '["lo"]', "P2PCHAT_HOME": "x"}, ["files.dir=downloads"]
    )
    assert found.net.stun == ["stun:a:1"]
    assert found.net.interfaces == ["lo"]
    assert found.files.dir == "downloads"
    assert found.api.port == 5
    assert {
        name: source for name, source in found.sources.items() if source != "default"
    } == {
        "net.stun": "file",
        "net.interfaces": "environment",
        "files.dir": "--set",
        "api.port": "file",
    }  # fmt: skip
    assert set(found.sources) == set(keys())


@pytest.mark.parametrize(
    "setting",
    ["nonsense", "net.colour=1", "lan.enabled=maybe", "net.stun=word", "api.port=[]", "sources={}"],
)
def test_settings_that_are_none(setting: str) -> None:
    with pytest.raises(Usage) as caught:
        load(None, {}, [setting])
    assert caught.value.code == "config-malformed"


@pytest.mark.parametrize("text", ["net = 5", "[net", "[net]\ncolour = 1", "\udcff"])
def test_files_that_are_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(Usage):
        load(file, {})


def test_no_file_is_all_defaults(tmp_path: Path) -> None:
    assert load(tmp_path / "none.toml", {}).lan.enabled
