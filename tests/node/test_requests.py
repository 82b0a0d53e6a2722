"""Who asks to be let in is seen, whatever else is written."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from p2pchat.core.acts import ADMIT, MEMBER, Admit
from p2pchat.core.entry import DENIAL, REQUEST, DenialBody, RequestBody
from p2pchat.core.identity import Identity
from p2pchat.store.database import Connection
from p2pchat.store.requests import Standing, newest_of_each
from tests.harness.crew import Crew


async def test_of_requests_without_end_the_newest_of_each_author_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2pchat.node.requests.REQUESTS_MAX", 4)
    async with Crew.open(tmp_path, "ann") as crew:
        room = await crew.found("ann")
        ann = crew["ann"].node
        names = [f"guest {number}" for number in range(6)]
        for name in names:
            certificate = Identity.create(name, os.urandom).certificate
            await ann._parts.rooms.write(room, REQUEST, RequestBody(certificate, bytes(32)), ())
        requests = await ann._parts.joining.requests(crew["ann"].group(room))
        assert [request.certificate.name for request in requests] == names[2:]


async def test_empty_requests_denials_and_admissions_hide_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2pchat.node.requests.REQUESTS_MAX", 4)
    monkeypatch.setattr("p2pchat.node.requests.REQUESTS_READ", 6)
    async with Crew.open(tmp_path, "ann", "mallory", "dan", "nat") as crew:
        room = await crew.found("ann")
        await crew.bring("ann", "mallory")
        await crew.settle("ann", "mallory")
        await crew.bring("ann", "dan", ask=True)
        await crew.asked("ann")
        await (await crew["ann"].room()).deny("dan")
        await crew.bring("ann", "nat", ask=True)
        await crew.until(lambda: bool(crew["nat"].parts.joining.pending()))
        mallory, rooms = crew["mallory"], crew["mallory"].parts.rooms
        empty = RequestBody(mallory.node.identity.certificate, b"")
        for _ in range(20):
            await rooms.write(room, REQUEST, empty, ())
            await rooms.write(room, DENIAL, DenialBody(bytes(32)), ())
            puppet = Identity.create("puppet", os.urandom).certificate
            await mallory.parts.groups.act(
                mallory.group(room),
                ADMIT,
                lambda _, group, puppet=puppet: Admit(
                    group.membership.seen(mallory.person), puppet, MEMBER
                ),
            )
        await crew.settle("ann", "mallory")
        requests = await (await crew["ann"].room()).requests()
        assert [one.name for one in requests] == ["nat"]
        await (await crew["ann"].room()).approve("nat")
        await crew.until(lambda: crew["nat"].person in crew["ann"].group(room).members)


async def test_a_link_costs_a_look_for_requests_only_where_its_peer_may_have_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []

    def look(tx: Connection, room: bytes, kind: int, count: int) -> list[Standing]:
        looked.append(kind)
        return newest_of_each(tx, room, kind, count)

    async with Crew.open(tmp_path, "ann", "bob", "carol") as crew:
        await crew.found("ann")
        await crew.bring("ann", "bob")
        await crew.settle("ann", "bob")
        await crew.cut_all()
        monkeypatch.setattr("p2pchat.store.requests.newest_of_each", look)
        session = SimpleNamespace(peer=crew["bob"].person)
        await crew["ann"].parts.joining.entered(session)  # type: ignore[arg-type]
        assert looked == []
        session = SimpleNamespace(peer=crew["carol"].person)
        await crew["ann"].parts.joining.entered(session)  # type: ignore[arg-type]
        assert looked == [REQUEST]
