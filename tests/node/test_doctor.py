"""Every finding says what it saw, and what to do where something is wrong."""

import shutil
from pathlib import Path

import pytest

from p2pchat.events import Finding
from p2pchat.node import doctor
from p2pchat.node.node import Node
from tests.node.people import acquaint, person


async def _findings(node: Node) -> dict[str, Finding]:
    found = doctor.examine(node.profile, node._parts.database, await node.clocks.finding())
    return {finding.check: finding async for finding in found}


async def test_a_healthy_profile(tmp_path: Path) -> None:
    await acquaint(tmp_path, "Ann", "Bob")
    async with person(tmp_path, "Ann", online=False) as ann:
        await (await ann.room("Bob")).send("hello")
        found = [finding async for finding in ann.doctor()]
    assert all(finding.ok for finding in found), found
    checks = [finding.check for finding in found]
    assert checks[:5] == ["packages", "profile", "disk", "clock", "journal"]
    assert {"interfaces", "udp", "lan", "dht", "mailbox"} <= set(checks[5:])
    assert all(finding.hint is None for finding in found[:5])
    assert "3 entries" in found[4].text


async def test_what_is_wrong_has_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with person(tmp_path, "Ann", online=False) as ann:
        (tmp_path / "Ann" / "key").chmod(0o644)
        usage = type(shutil.disk_usage("/"))(10, 9, 1)
        monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
        monkeypatch.setattr(ann._parts.rooms, "_wall", lambda: 0.0)
        found = await _findings(ann)
        for check in ("profile", "disk", "clock"):
            assert not found[check].ok
            assert found[check].hint


async def test_a_foreign_signaling_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "signaling").mkdir()
    (tmp_path / "signaling" / "__init__.py").touch()
    monkeypatch.setattr("p2pchat.__file__", str(tmp_path / "elsewhere" / "p2pchat" / "x.py"))
    async with person(tmp_path, "Ann", online=False) as ann:
        found = (await _findings(ann))["packages"]
    assert not found.ok
    assert "signaling" in found.text
