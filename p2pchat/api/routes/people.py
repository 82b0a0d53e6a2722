"""Routes of people: who they are to us, and what we say of them."""

from typing import TYPE_CHECKING

from p2pchat.api.routes.asking import Nothing, Request, Stream

if TYPE_CHECKING:
    # Commands import this for its requests, and most of them need no node of their own.
    from p2pchat.node.node import Node

__all__ = [
    "AliasRequest",
    "BlockRequest",
    "PeerRequest",
    "ProofRequest",
    "VerifyRequest",
    "alias",
    "block",
    "number",
    "peers",
    "person",
    "proof",
    "verify",
]


class PeerRequest(Request, frozen=True, kw_only=True):
    peer: str


class VerifyRequest(Request, frozen=True, kw_only=True):
    """`proof`: a text with the peer's proof in it. Else `verified`: whether numbers agree."""

    peer: str
    verified: bool = True
    proof: str | None = None


class ProofRequest(Request, frozen=True, kw_only=True):
    """`place`: the address where it will be posted, may be empty."""

    place: str = ""


class AliasRequest(Request, frozen=True, kw_only=True):
    """An empty `alias` takes it away."""

    peer: str
    alias: str


class BlockRequest(Request, frozen=True, kw_only=True):
    peer: str
    blocked: bool = True


async def peers(node: "Node", _: Nothing) -> Stream:
    for row in await node.peers():
        yield row
    for waiting in await node.waiting():
        yield waiting


async def person(node: "Node", request: PeerRequest) -> Stream:
    yield node.people.row(node.people.find(request.peer))


async def number(node: "Node", request: PeerRequest) -> Stream:
    yield await node.people.number(node.people.find(request.peer))


async def verify(node: "Node", request: VerifyRequest) -> Stream:
    found = node.people.find(request.peer)
    if request.proof is not None:
        yield await node.people.check(found, request.proof)
        yield node.people.row(found)
    elif request.verified:
        yield await node.people.confirm(found)
    else:
        yield await node.people.revoke(found)


async def proof(node: "Node", request: ProofRequest) -> Stream:
    yield node.people.proof(request.place)


async def alias(node: "Node", request: AliasRequest) -> Stream:
    yield await node.people.rename(node.people.find(request.peer), request.alias)


async def block(node: "Node", request: BlockRequest) -> Stream:
    yield await node.block(node.people.find(request.peer), blocked=request.blocked)
