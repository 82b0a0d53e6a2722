"""Exports and imports as they are asked for."""

import json
from pathlib import Path

import pytest

from p2pchat import errors
from tests.node.people import acquaint, person


async def test_one_room_is_exported_or_all(tmp_path: Path) -> None:
    await acquaint(tmp_path, "Ann", "Bob", "Cat")
    async with person(tmp_path, "Ann", online=False) as ann:
        for name in ("Bob", "Cat"):
            await (await ann.room(name)).send(f"hello {name}")
        everything = await ann.export(tmp_path / "all")
        one = await ann.export(tmp_path / "one", room="Cat")
        assert (everything.format, one.format) == ("jsonl", "jsonl")
        assert 0 < one.entries < everything.entries
        with pytest.raises(errors.BadInput) as caught:
            await ann.export(tmp_path / "none", room="@Dan")
        assert caught.value.code == "room-unknown"
    lines = [json.loads(line) for line in (tmp_path / "one").read_text().splitlines()]
    assert [line["name"] for line in lines if line["event"] == "export"] == ["Cat"]


async def test_whom_an_archive_brings_is_looked_for_at_once(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", online=False) as ann:
        early = tmp_path / "early"
        await ann.export(early, passphrase="a b c d")
    [bob] = await acquaint(tmp_path, "Ann", "Bob")
    async with person(tmp_path, "Ann", online=False) as ann:
        late = tmp_path / "late"
        exported = await ann.export(late, passphrase="a b c d")
        assert exported.format == "archive"
        await ann._parts.database.write(
            lambda tx: tx.execute("DELETE FROM contacts WHERE person = ?", (bob.person,))
        )
        await ann.people.load()
    async with person(tmp_path, "Ann") as ann:
        assert bob.person not in ann.online_parts.peers._registrations
        await ann.import_(early, passphrase="a b c d".__str__)
        assert bob.person not in ann.online_parts.peers._registrations
        await ann.import_(late, passphrase="a b c d".__str__)
        assert bob.person in ann.online_parts.peers._registrations
