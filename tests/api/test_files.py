import pytest

from p2pchat import errors
from p2pchat.api.client import Client
from p2pchat.api.routes.files import GetRequest, ShareRequest, UnshareRequest


@pytest.mark.parametrize("paths", [[], ["here"], ["/tmp", "here"]])
async def test_what_is_shared_is_named_from_the_root_on(client: Client, paths: list[str]) -> None:
    with pytest.raises(errors.Usage) as caught:
        await client.one("shares", ShareRequest(paths=paths))
    assert caught.value.code == "usage"


async def test_a_share_nobody_told_of_is_unknown(client: Client) -> None:
    with pytest.raises(errors.BadInput) as caught:
        await client.one("transfers", GetRequest(target="abcd"))
    assert caught.value.code == "share-unknown"


async def test_without_a_network_there_are_no_files(client: Client) -> None:
    for route, request in (
        ("files", None),
        ("removals", UnshareRequest(share="abcd")),
        ("shares", ShareRequest(paths=["/etc/hostname"])),
    ):
        with pytest.raises(errors.Error) as caught:
            await client.one(route, request)
        assert caught.value.code == "not-running"
