from pathlib import Path

import pytest

from p2pchat.config import ROUTERS, STUN, Config, NetConfig, is_here, keys, load
from p2pchat.errors import Usage


def test_each_value_knows_where_it_came_from(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[net]\nstun = ["stun:a:1"]\ninterfaces = ["eth0"]\n[api]\nport = 5\n')
    found = load(
        file, {"P2PCHAT_NET_INTERFACES": '["wlan0"]', "P2PCHAT_HOME": "x"}, ["files.dir=downloads"]
    )
    assert found.net.stun == ["stun:a:1"]
    assert found.net.interfaces == ["wlan0"]
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


OUTSIDE = {
    "net.stun": ["stun:stun.example:3478", "stun:192.0.2.1", "stun:[2001:db8::1]:1"],
    "net.turn": ["turn:me:x@turn.example:3478", "turn:127.0.0.1:x@192.0.2.1?transport=tcp"],
    "dht.bootstrap": ["router.example:6881", "127.0.0.1.example:1", "[2001:db8::1]:1"],
    "mailbox.url": "https://signal.example",
}
HERE = {
    "net.stun": ["stun:127.0.0.1:3478", "stun:localhost", "stun:[::1]:1"],
    "net.turn": ["turn:me:x@127.0.0.1", "turns:me:x@y@localhost:1?transport=tcp"],
    "dht.bootstrap": ["127.0.0.10:1", "[::1]:2", "localhost:3"],
    "mailbox.url": "http://127.0.0.1:8080/prefix",
}


def _value(found: Config, name: str) -> object:
    section, key = name.split(".")
    return getattr(getattr(found, section), key)


@pytest.mark.parametrize("interfaces", ['["lo"]', '["lo0"]', '["lo", "lo0"]'])
def test_with_loopback_alone_no_server_beyond_it_is_in_force(interfaces: str) -> None:
    local = f"net.interfaces={interfaces}"
    found = load(None, {}, [local])
    assert (found.net.stun, found.net.turn, found.dht.bootstrap) == ([], [], [])
    assert found.sources["net.stun"] == found.sources["dht.bootstrap"] == "net.interfaces"
    for name, value in OUTSIDE.items():
        found = load(None, {}, [local, f"{name}={value!r}"])
        assert not _value(found, name)
        assert found.sources[name] == "net.interfaces"
        assert _value(load(None, {}, [f"{name}={value!r}"]), name) == value
    for name, value in HERE.items():
        found = load(None, {}, [local, f"{name}={value!r}"])
        assert _value(found, name) == value
        assert found.sources[name] == "--set"


def test_a_config_made_in_code_is_held_to_it_too() -> None:
    assert Config().net.stun == list(STUN)
    assert Config().dht.bootstrap == list(ROUTERS)
    assert Config(net=NetConfig(interfaces=["lo"])).net.stun == []
    assert Config(net=NetConfig(interfaces=["lo", "eth0"])).net.stun == list(STUN)


@pytest.mark.parametrize(
    "address", ["", "localhost.example:1", "127.0.0.1@192.0.2.1", "stun:", "//", "http://[::1"]
)
def test_what_is_not_surely_here_is_elsewhere(address: str) -> None:
    assert not is_here(address)
