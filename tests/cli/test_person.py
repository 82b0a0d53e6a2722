from collections.abc import AsyncIterator

import msgspec
import pytest

from p2pchat import errors, events
from p2pchat.api.routes.people import AliasRequest, BlockRequest, PeerRequest, VerifyRequest
from p2pchat.api.slash import Slash
from p2pchat.cli.person import about


class Members:
    """A client of a room with these others."""

    def __init__(self, *others: str) -> None:
        self._others = others

    async def ask(self, route: str, request: object = None) -> AsyncIterator[events.Event]:
        assert route == "members"
        yield events.Member(room="r", peer="ann", name="Ann", me=True)
        for other in self._others:
            yield events.Member(room="r", peer=other, name=other)


async def asked(line: str, *others: str) -> tuple[str, msgspec.Struct]:
    name, _, argument = line.partition(" ")
    return await about(Members(*others), "r", Slash(name, argument))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "route", "request_"),
    [
        ("whois Mary Ann", "people", PeerRequest(peer="Mary Ann")),
        ("whois", "people", PeerRequest(peer="bob")),
        ("verify", "safety-numbers", PeerRequest(peer="bob")),
        ("verify O'Brien", "safety-numbers", PeerRequest(peer="O'Brien")),
        ("verify Bob confirm", "verifications", VerifyRequest(peer="Bob", verified=True)),
        ("verify revoke", "verifications", VerifyRequest(peer="bob", verified=False)),
        ("alias Bob Bobby", "aliases", AliasRequest(peer="Bob", alias="Bobby")),
        ('alias "Mary Ann" Mary', "aliases", AliasRequest(peer="Mary Ann", alias="Mary")),
        ("alias Bob", "aliases", AliasRequest(peer="Bob", alias="")),
        ("block Mary Ann", "blocks", BlockRequest(peer="Mary Ann", blocked=True)),
        ("unblock Bob", "blocks", BlockRequest(peer="Bob", blocked=False)),
    ],
)
async def test_a_line_is_what_the_node_is_asked(
    line: str, route: str, request_: msgspec.Struct
) -> None:
    assert await asked(line, "bob") == (route, request_)


@pytest.mark.parametrize("line", ["alias", "alias a b c", "block", "unblock"])
async def test_who_is_meant_has_to_be_said(line: str) -> None:
    with pytest.raises(errors.Usage):
        await asked(line, "bob")


@pytest.mark.parametrize("line", ["verify", "whois", "verify confirm"])
async def test_among_many_nobody_is_meant_unsaid(line: str) -> None:
    with pytest.raises(errors.Usage):
        await asked(line, "bob", "cat")
