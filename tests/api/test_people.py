import os

import pytest

from p2pchat import Node, errors, events
from p2pchat.api.client import Client
from p2pchat.api.routes.people import (
    AliasRequest,
    BlockRequest,
    PeerRequest,
    ProofRequest,
    VerifyRequest,
)
from p2pchat.core import proof
from p2pchat.core.identity import Identity
from p2pchat.store import contacts


async def test_what_is_asked_of_people_nobody_knows_says_so(client: Client) -> None:
    for route, request in (
        ("people", PeerRequest(peer="Bob")),
        ("safety-numbers", PeerRequest(peer="Bob")),
        ("verifications", VerifyRequest(peer="Bob")),
        ("aliases", AliasRequest(peer="Bob", alias="B")),
        ("blocks", BlockRequest(peer="Bob")),
    ):
        with pytest.raises(errors.BadInput) as caught:
            await client.one(route, request)
        assert caught.value.code == "peer-unknown"


async def test_a_proof_of_ones_own_key_is_made(client: Client) -> None:
    identity = await client.one("identity")
    made = await client.one("proofs", ProofRequest(place="https://example.org"))
    assert isinstance(identity, events.Identity)
    assert isinstance(made, events.Proof)
    assert (made.peer, made.place) == (identity.peer, "https://example.org")
    assert identity.peer in (made.text or "")


async def test_people_are_verified_named_and_blocked_by_requests(
    node: Node, client: Client
) -> None:
    bob = Identity.create("Bob", os.urandom)
    await node._parts.database.write(lambda tx: contacts.put(tx, bob.certificate, bytes(32), 1.0))
    await node.people.load()
    number = await client.one("safety-numbers", PeerRequest(peer="Bob"))
    assert isinstance(number, events.SafetyNumber)
    page = "x" * 600_000 + proof.make(bob, 1.0)
    for route, request, field, value in (
        ("verifications", VerifyRequest(peer="Bob"), "verified", True),
        ("verifications", VerifyRequest(peer="Bob", verified=False), "verified", False),
        ("verifications", VerifyRequest(peer="Bob", proof=page), "how", "proof"),
        ("aliases", AliasRequest(peer="Bob", alias="Bobby"), "name", "Bobby"),
        ("blocks", BlockRequest(peer="Bobby"), "blocked", True),
        ("blocks", BlockRequest(peer="Bob", blocked=False), "blocked", False),
        ("people", PeerRequest(peer="Bobby"), "how", "proof"),
    ):
        row = [event async for event in client.ask(route, request)][-1]
        assert isinstance(row, events.Peer)
        assert getattr(row, field) == value
