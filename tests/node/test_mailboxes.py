import asyncio
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from p2pchat import config, errors, events
from p2pchat.node import mailboxes as module
from p2pchat.node.mailboxes import Mailboxes
from p2pchat.node.node import Node
from p2pchat.store.database import Connection, Database
from signaling.invite import Invite
from signaling.server.app import Server, Settings
from signaling.tasks import owned_tasks
from tests.node.people import WAIT_S

OWN = "ws://127.0.0.1:1/own/mailbox"
THEIRS = "ws://127.0.0.1:1/theirs/mailbox"
ANN = b"a" * 32


def _mailboxes(tasks: asyncio.TaskGroup, own: str = OWN) -> Mailboxes:
    return Mailboxes(own, ["lo"], tasks, bytes, time.time)


async def test_ours_is_for_all_and_a_friends_for_the_friend(tmp_path: Path) -> None:
    async with owned_tasks() as tasks:
        mailboxes = _mailboxes(tasks)
        (own,) = mailboxes.always()
        assert own.name == "mailbox"
        assert mailboxes.named(OWN) == []
        (named,) = mailboxes.named(THEIRS)
        assert named is not own
        database = await Database.open(tmp_path / "db", bytes(32))

        def remember(tx: Connection) -> None:
            mailboxes.remember(tx, ANN, THEIRS)

        await database.write(remember)
        assert mailboxes.beside(ANN) == [named]
        assert mailboxes.beside(b"b" * 32) == []
        later = _mailboxes(tasks)
        await database.read(later.load)
        assert len(later.beside(ANN)) == 1
        await database.aclose()


async def test_what_stays_on_this_machine_follows_no_invite_to_a_server_elsewhere() -> None:
    async with owned_tasks() as tasks:
        assert _mailboxes(tasks).named("wss://192.0.2.1/mailbox") == []
        assert _mailboxes(tasks, "wss://192.0.2.1/mailbox").always() == []
        assert _mailboxes(tasks).named(THEIRS)


async def test_without_a_setting_there_is_none() -> None:
    async with owned_tasks() as tasks:
        mailboxes = _mailboxes(tasks, "")
        assert mailboxes.always() == []
        assert mailboxes.named("") == []
        assert mailboxes.named("wss://a:b@c/mailbox") == []


async def test_few_servers_of_friends_are_kept_and_idle_ones_make_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_FOREIGN_MAX", 2)
    async with owned_tasks() as tasks:
        mailboxes = _mailboxes(tasks)
        (own,) = mailboxes.always()
        for number in range(10):
            assert mailboxes.named(f"ws://127.0.0.1:1/{number}/mailbox")
        assert len(mailboxes._carriers) == len(mailboxes._running) <= 3
        assert mailboxes.always() == [own]


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(errors.Usage) as caught:
        config.load(None, {}, ["mailbox.url=signal.example"])
    assert caught.value.code == "config-malformed"
    settings = config.load(None, {}, ["mailbox.url=https://signal.example"])
    assert settings.mailbox_address() == "wss://signal.example/mailbox"
    assert config.Config().mailbox_address() == ""


def _person(folder: Path, name: str, url: str) -> AbstractAsyncContextManager[Node]:
    chosen = ['net.interfaces=["lo"]', "lan.enabled=false", "dht.enabled=false"]
    chosen += [f'mailbox.url="{url}"', f'files.dir="{folder}"']
    return Node.open(folder / name, config=config.load(None, {}, chosen), name=name)


async def test_a_guest_meets_at_the_inviters_mailbox_and_again_after_both_restart(
    tmp_path: Path,
) -> None:
    async with asyncio.timeout(2 * WAIT_S), Server.open(Settings(port=0)) as server:
        url = f"http://127.0.0.1:{server.port}"
        async with _person(tmp_path, "Ann", url) as ann, _person(tmp_path, "Bob", "") as bob:
            invitation = await ann.invite()
            assert Invite.parse(invitation.blob, 0).description is not None
            said: list[events.Event] = []
            await bob.join(invitation.blob, timeout=WAIT_S, on_event=said.append)
            assert [event.via for event in said if isinstance(event, events.Peer)] == ["mailbox"]
        async with _person(tmp_path, "Ann", url) as ann, _person(tmp_path, "Bob", "") as bob:
            began = time.monotonic()
            while not (ann.online() and bob.online()):
                await asyncio.sleep(0.05)
            assert time.monotonic() - began < 15
