"""What follows when a room's members change."""

import logging
from pathlib import Path

import pytest

from p2pchat import errors
from tests.harness.crew import Crew


async def test_whoever_was_let_in_is_looked_for_by_all_members(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob", "carol")
        await crew.settle()
        bob, carol = crew["bob"], crew["carol"]
        await crew.until(lambda: carol.person in bob.peers.contacts)


async def test_a_room_is_followed_no_more_once_that_is_over(tmp_path: Path) -> None:
    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        await crew.found("ann")
        ann, bob = crew["ann"], crew["bob"]
        await crew.bring("ann", "bob")
        await crew.settle("ann", "bob")
        bob.parts.network.following.close()
        await crew.bring("ann", "carol")
        await crew.settle()
        await bob.parts.network.following.follow(bob.group((await ann.room()).key), contested=False)
        assert crew["carol"].person not in bob.peers.contacts


async def test_a_full_disk_ends_no_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with Crew.open(tmp_path, "ann") as crew:
        room = await crew.found("ann")
        ann = crew["ann"]

        async def fail(*_: object, **__: object) -> None:
            raise errors.Error("disk-full", "no space left", "free some")

        monkeypatch.setattr(ann.mesh, "follow", fail)
        with caplog.at_level(logging.WARNING, "p2pchat.node.following"):
            await ann.parts.network.following.follow(ann.group(room), contested=False)
        assert "no space left" in caplog.text
