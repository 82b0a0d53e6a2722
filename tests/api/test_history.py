from pathlib import Path

import pytest

from p2pchat import Node, errors, events
from p2pchat.api.client import Client
from p2pchat.api.routes.history import ExportRequest, ImportRequest, SyncRequest


async def test_what_was_exported_is_imported(node: Node, client: Client, tmp_path: Path) -> None:
    await (await node.create_room("crew")).send("hello")
    path = str(tmp_path / "lines")
    out = await client.one("exports", ExportRequest(path=path))
    assert isinstance(out, events.Exported)
    back = await client.one("imports", ImportRequest(path=path))
    assert isinstance(back, events.Imported)
    assert (back.added, back.known) == (0, out.entries)


async def test_an_archive_needs_its_passphrase(client: Client, tmp_path: Path) -> None:
    path = str(tmp_path / "archive")
    await client.one("exports", ExportRequest(path=path, passphrase="a b c d"))
    with pytest.raises(errors.Usage) as caught:
        await client.one("imports", ImportRequest(path=path))
    assert caught.value.code == "passphrase-missing"


async def test_a_path_that_is_not_absolute_is_refused(client: Client) -> None:
    for route, request in (
        ("exports", ExportRequest(path="lines")),
        ("imports", ImportRequest(path="lines")),
    ):
        with pytest.raises(errors.Usage):
            await client.one(route, request)


async def test_without_a_network_nobody_is_compared_with(client: Client) -> None:
    with pytest.raises(errors.Error) as caught:
        await client.one("sync", SyncRequest())
    assert caught.value.code == "not-running"
