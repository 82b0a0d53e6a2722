"""What comes in from a file is checked as if a peer had sent it."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from p2pchat.errors import Error
from p2pchat.node import archive
from p2pchat.node.node import Node
from p2pchat.store import journal
from p2pchat.store.pages import PAGE_BYTES, Pages
from p2pchat.store.profile import Profile
from p2pchat.store.salvage import Salvage
from tests.harness.crew import Crew
from tests.node.people import acquaint, person

Lines = list[dict[str, Any]]


async def _exported(node: Node, path: Path) -> Lines:
    await node.export(path)
    return [json.loads(line) for line in path.read_text().splitlines()]


def _write(path: Path, lines: Lines) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def _refuse() -> str:
    pytest.fail("asked for a passphrase")


async def _import(node: Node, path: Path) -> tuple[int, int]:
    event = await node.import_(path, passphrase=_refuse)
    return event.added, event.known


def _restore(path: Path, home: Path) -> None:
    profile = Profile.open(home)
    archive.restore(profile, path, lambda: "secret")
    profile.close()


def _swap(lines: Lines) -> Lines:
    return [*lines[:2], lines[3], lines[2], *lines[4:]]


def _without(field: str) -> Callable[[Lines], Lines]:
    def change(lines: Lines) -> Lines:
        entry = {key: value for key, value in lines[-1]["entry"].items() if key != field}
        return [*lines[:-1], {**lines[-1], "entry": entry}]

    return change


def _other(field: str, value: object) -> Callable[[Lines], Lines]:
    def change(lines: Lines) -> Lines:
        return [*lines[:-1], {**lines[-1], "entry": {**lines[-1]["entry"], field: value}}]

    return change


@pytest.mark.parametrize(
    "change",
    [
        _swap,
        _without("header"),
        _without("signature"),
        _other("signature", "AAAA"),
        _other("signature", None),
        _other("body", "AAAA"),
        _other("header", "no base64"),
        _other("header", 7),
        lambda lines: lines[1:],
        lambda lines: [{"event": "export"}, *lines[1:]],
        lambda lines: [{**lines[0], "room": "a" * 51}, *lines[1:]],
        lambda lines: [*lines, {"event": "message"}],
    ],
)
async def test_lines_that_were_changed_are_refused(
    tmp_path: Path, change: Callable[[Lines], Lines]
) -> None:
    await acquaint(tmp_path, "Ann", "Bob")
    async with person(tmp_path, "Ann", online=False) as ann:
        await ann.export(tmp_path / "archive", passphrase="secret")
        room = await ann.room("Bob")
        for number in range(3):
            await room.send(f"number {number}")
        lines = await _exported(ann, tmp_path / "lines")
    _restore(tmp_path / "archive", tmp_path / "earlier")
    async with person(tmp_path, "earlier", online=False) as earlier:
        with pytest.raises(Error) as raised:
            await _import(earlier, _write(tmp_path / "changed", change(lines)))
        assert raised.value.code == "import-malformed"
        added, known = await _import(earlier, _write(tmp_path / "good", lines))
        assert added + known == len(lines) - 1
        room = await earlier.room("Bob")
        found = [message.text async for message in room.history()]
        assert found == [f"number {number}" for number in range(3)]


@pytest.mark.parametrize("turned", [False, True])
async def test_a_room_of_many_comes_back_from_an_archive_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, turned: bool
) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        bob = crew["bob"]
        await bob.node.export(tmp_path / "early", passphrase="secret")
        await crew.found("ann")
        await crew.bring("ann", "bob", "carol")
        await crew.link_all()
        for name in ("carol", "bob", "ann", "carol"):
            await crew[name].say(f"{name} is here")
        await crew.settle()
        said = await bob.texts()
        total = bob.group((await bob.room()).key).total
        await bob.node.export(tmp_path / "late", passphrase="secret")
    _restore(tmp_path / "early", tmp_path / "again")
    heads = journal.heads
    # Of who is known to be a member by no act yet, all waits for those that say so.
    monkeypatch.setattr(journal, "heads", lambda tx, room: heads(tx, room)[:: -1 if turned else 1])
    async with person(tmp_path, "again", online=False) as again:
        imported = await again.import_(tmp_path / "late", passphrase=lambda: "secret")
        assert (imported.added, imported.known) == (total, 0)
        (row,) = [row for row in await again.rooms() if row.kind == "group"]
        room = await again.room(row.room)
        assert [message.text async for message in room.history(last=None)] == said
        imported = await again.import_(tmp_path / "late", passphrase=lambda: "secret")
        assert (imported.added, imported.known) == (0, total)


async def test_what_is_missing_comes_back_from_a_file(tmp_path: Path) -> None:
    await acquaint(tmp_path, "Ann", "Bob")
    async with person(tmp_path, "Ann", online=False) as ann:
        room = await ann.room("Bob")
        await room.send("one")
        early = await _exported(ann, tmp_path / "early")
        archive_path = tmp_path / "archive"
        await ann.export(archive_path, passphrase="secret")
        await room.send("two")
        late = await _exported(ann, tmp_path / "late")
        assert await _import(ann, tmp_path / "late") == (0, len(late) - 1)
    async with person(tmp_path, "again", online=False) as again:
        assert again.created
        with pytest.raises(Error) as raised:
            await _import(again, tmp_path / "late")
        assert raised.value.code == "import-foreign"
    _restore(archive_path, tmp_path / "restored")
    async with person(tmp_path, "restored", online=False) as restored:
        assert restored.peer_id == ann.peer_id
        assert await _import(restored, tmp_path / "late") == (1, len(early) - 1)
        room = await restored.room("Bob")
        await room.send("three")
        assert [message.text async for message in room.history()] == ["one", "two", "three"]
        chains = restored._parts.rooms.get(room.key)
        assert chains is not None
        assert len(chains.heads) == 2, "a restored profile goes on in a chain of its own"


async def test_what_stands_before_a_fault_is_taken_and_told(tmp_path: Path) -> None:
    await acquaint(tmp_path, "Ann", "Bob")
    async with person(tmp_path, "Ann", online=False) as ann:
        room = await ann.room("Bob")
        await ann.export(tmp_path / "archive", passphrase="secret")
        for number in range(3):
            await room.send(f"number {number}")
        lines = await _exported(ann, tmp_path / "lines")
    _restore(tmp_path / "archive", tmp_path / "earlier")
    async with person(tmp_path, "earlier", online=False) as earlier:
        for change, text in (
            (lambda lines: [{}, *lines], "line 1 is no line of an export; nothing of it was taken"),
            (_other("signature", 64 * "AAAA"), f"up to line {len(lines)} the file has entries"),
        ):
            with pytest.raises(Error) as raised:
                await _import(earlier, _write(tmp_path / "changed", change(lines)))
            assert text in raised.value.message
        assert f"{len(lines) - 2} entries before that were added, 0 known" in raised.value.message
        assert await _import(earlier, tmp_path / "lines") == (1, len(lines) - 2)


async def test_a_foreign_room_is_named_and_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    await acquaint(tmp_path, "Ann", "Bob")
    async with person(tmp_path, "Ann", online=False) as ann:
        await (await ann.room("Bob")).send("hello")
        lines = await _exported(ann, tmp_path / "lines")
        marked = tmp_path / "marked"
        marked.write_bytes(b"\xef\xbb\xbf" + (tmp_path / "lines").read_bytes())
        assert await _import(ann, marked) == (0, len(lines) - 1)
    async with person(tmp_path, "Cat", online=False) as cat:
        for name, shown in (("Bob\x1b[31m", "of Bob\ufffd[31m ["), (7, "of [")):
            _write(tmp_path / "other", [{**lines[0], "name": name}, *lines[1:]])
            with pytest.raises(Error) as raised:
                await _import(cat, tmp_path / "other")
            assert raised.value.code == "import-foreign"
            assert shown + lines[0]["room"][:8] in raised.value.message


async def test_of_a_damaged_journal_no_archive_is_made_and_the_lines_are(tmp_path: Path) -> None:
    await acquaint(tmp_path, "Ann", "Bob")
    async with person(tmp_path, "Ann", online=False) as ann:
        await (await ann.room("Bob")).send("hello")
        path, key = ann.profile.database_path, ann._key
    with closing(Pages(path, key)) as pages:
        start = (Salvage(pages).roots["shares"] - 1) * PAGE_BYTES
    data = bytearray(path.read_bytes())
    data[start + 9] ^= 1
    path.write_bytes(data)
    async with person(tmp_path, "Ann", online=False) as ann:
        with pytest.raises(Error) as raised:
            await ann.export(tmp_path / "archive", passphrase="secret")
        assert raised.value.code == "home-damaged"
        assert "no archive was written" in raised.value.message
        assert "doctor --repair first" in raised.value.hint
        assert not (tmp_path / "archive").exists()
        assert not list((tmp_path / "Ann").glob("*.new*"))
        assert (await ann.export(tmp_path / "lines")).entries == 3
