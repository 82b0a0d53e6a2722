"""A node with a network: opened, found by others, closed."""

import asyncio
from pathlib import Path

import pytest

from p2pchat import events
from signaling.carriers.lan import LanCarrier
from tests.node.people import WAIT_S, heard, person


async def test_two_that_share_a_network_meet_on_it_and_find_each_other_again(
    tmp_path: Path,
) -> None:
    async with person(tmp_path, "Ann", lan=True) as ann:
        with ann.events() as feed:
            async with person(tmp_path, "Bob", lan=True) as bob:
                invitation = await ann.invite()
                joined = await bob.join(invitation.blob, timeout=30)
                assert joined.name == "Ann"
                waited = await invitation.wait()
                assert (waited.room, waited.invite) == (joined.room, invitation.id)
                assert (await heard(feed, events.Peer, state="connected")).via == "lan"
            await heard(feed, events.Peer, state="disconnected")
            async with person(tmp_path, "Bob", lan=True):
                await heard(feed, events.Peer, state="connected", via="lan")


async def test_what_was_wired_for_the_network_is_taken_off_with_it(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann") as ann:
        parts, online = ann._parts, ann.online_parts
        assert online.mesh.gossip in parts.rooms.listeners
        assert online.following.moved in parts.groups.listeners
    assert parts.online is None
    assert online.mesh.gossip not in parts.rooms.listeners
    assert online.following.moved not in parts.groups.listeners
    assert list(parts.marks.sessions()) == []


async def test_where_discovery_does_not_start_the_rest_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no interface to listen on")

    monkeypatch.setattr(LanCarrier, "__init__", refuse)
    async with person(tmp_path, "Ann", lan=True) as ann:
        assert ann.online_parts.lan is None
        assert not (await ann.status()).lan
        assert (await ann.invite()).blob


async def test_discovery_begins_anew_where_the_machine_has_moved(tmp_path: Path) -> None:
    async with person(tmp_path, "Ann", lan=True) as ann:
        lan = ann.online_parts.lan
        assert lan is not None
        before = lan._discovery._binding
        ann.online_parts.reconnect()
        async with asyncio.timeout(WAIT_S):
            while lan._discovery._binding is before or not lan._discovery._binding.servers:
                await asyncio.sleep(0.01)  # nobody announces it
